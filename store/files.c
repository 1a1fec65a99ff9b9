/* Image files in the database: see core/port/store.h. */
#include "store/db.h"

bool store_file_put(struct store_txn *txn, const struct file_record *file, struct err *err)
{
    static const char sql[] =
        "INSERT INTO file (id, pool, name, role, state, format, size_bytes, parent, vm, job)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET pool = excluded.pool, name = excluded.name,"
        " role = excluded.role, state = excluded.state, format = excluded.format,"
        " size_bytes = excluded.size_bytes, parent = excluded.parent, vm = excluded.vm,"
        " job = excluded.job";
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, txn->conn, sql, err))
        return false;
    stmt_bind_uuid(&s, &file->id);
    stmt_bind_uuid(&s, &file->pool);
    stmt_bind_text(&s, file->name);
    stmt_bind_text(&s, file->role);
    stmt_bind_text(&s, file->state);
    stmt_bind_text(&s, file->format);
    stmt_bind_int(&s, (int64_t)file->size_bytes);
    stmt_bind_uuid_or_null(&s, &file->parent);
    stmt_bind_uuid_or_null(&s, &file->vm);
    stmt_bind_uuid_or_null(&s, &file->job);
    return stmt_put(&s, "file", file->name, err);
}

bool store_file_remove(struct store_txn *txn, const struct uuid *id, struct err *err)
{
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, txn->conn, "DELETE FROM file WHERE id = ?", err))
        return false;
    stmt_bind_uuid(&s, id);
    return stmt_remove(&s, "file", err);
}

bool store_file_each(struct store *store, bool (*each)(void *ctx, const struct file_record *),
                     void *ctx, struct err *err)
{
    static const char sql[] =
        "SELECT id, pool, name, role, state, format, size_bytes, parent, vm, job FROM file"
        " ORDER BY pool, name";
    CLEANUP(read_end) struct read r = {0};
    int n;

    if (!read_begin(&r, store, sql, err))
        return false;
    while ((n = stmt_step(&r.stmt, err)) > 0) {
        const struct file_record file = {
            .id = stmt_uuid(&r.stmt, 0),
            .pool = stmt_uuid(&r.stmt, 1),
            .name = stmt_text(&r.stmt, 2),
            .role = stmt_text(&r.stmt, 3),
            .state = stmt_text(&r.stmt, 4),
            .format = stmt_text(&r.stmt, 5),
            .size_bytes = (uint64_t)stmt_int(&r.stmt, 6),
            .parent = stmt_uuid(&r.stmt, 7),
            .vm = stmt_uuid(&r.stmt, 8),
            .job = stmt_uuid(&r.stmt, 9),
        };
        if (!each(ctx, &file))
            break;
    }
    return n >= 0;
}
