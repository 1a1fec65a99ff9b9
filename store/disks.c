/* Disks in the database: see core/port/store.h. */
#include "store/db.h"

bool store_disk_put(struct store_txn *txn, const struct disk_record *disk, struct err *err)
{
    static const char sql[] =
        "INSERT INTO disk (id, vm, pool, position, size_bytes, format, bus, leaf, created_ms)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET vm = excluded.vm, pool = excluded.pool,"
        " position = excluded.position, size_bytes = excluded.size_bytes,"
        " format = excluded.format, bus = excluded.bus, leaf = excluded.leaf,"
        " created_ms = excluded.created_ms";
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, txn->conn, sql, err))
        return false;
    stmt_bind_uuid(&s, &disk->id);
    stmt_bind_uuid_or_null(&s, &disk->vm);
    stmt_bind_uuid(&s, &disk->pool);
    stmt_bind_int(&s, disk->position);
    stmt_bind_int(&s, (int64_t)disk->size_bytes);
    stmt_bind_text(&s, disk->format);
    stmt_bind_text(&s, disk->bus);
    stmt_bind_uuid(&s, &disk->leaf);
    stmt_bind_int(&s, disk->created_ms);
    return stmt_put(&s, "disk", NULL, err);
}

bool store_disk_remove(struct store_txn *txn, const struct uuid *id, struct err *err)
{
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, txn->conn, "DELETE FROM disk WHERE id = ?", err))
        return false;
    stmt_bind_uuid(&s, id);
    return stmt_remove(&s, "disk", err);
}

bool store_disk_each(struct store *store, bool (*each)(void *ctx, const struct disk_record *),
                     void *ctx, struct err *err)
{
    static const char sql[] =
        "SELECT id, vm, pool, position, size_bytes, format, bus, leaf, created_ms"
        " FROM disk ORDER BY vm, position, id";
    CLEANUP(read_end) struct read r = {0};
    int n;

    if (!read_begin(&r, store, sql, err))
        return false;
    while ((n = stmt_step(&r.stmt, err)) > 0) {
        const struct disk_record disk = {
            .id = stmt_uuid(&r.stmt, 0),
            .vm = stmt_uuid(&r.stmt, 1),
            .pool = stmt_uuid(&r.stmt, 2),
            .position = (uint32_t)stmt_int(&r.stmt, 3),
            .size_bytes = (uint64_t)stmt_int(&r.stmt, 4),
            .format = stmt_text(&r.stmt, 5),
            .bus = stmt_text(&r.stmt, 6),
            .leaf = stmt_uuid(&r.stmt, 7),
            .created_ms = stmt_int(&r.stmt, 8),
        };
        if (!each(ctx, &disk))
            break;
    }
    return n >= 0;
}
