/* Templates in the database: see core/port/store.h. */
#include "store/db.h"

bool store_template_put(struct store_txn *txn, const struct template_record *t, struct err *err)
{
    static const char sql[] =
        "INSERT INTO template (id, name, content, revision, created_ms, updated_ms, created_by)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET name = excluded.name, content = excluded.content,"
        " revision = excluded.revision, updated_ms = excluded.updated_ms";
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, txn->conn, sql, err))
        return false;
    stmt_bind_uuid(&s, &t->id);
    stmt_bind_text(&s, t->name);
    stmt_bind_text(&s, t->content);
    stmt_bind_int(&s, (int64_t)t->revision);
    stmt_bind_int(&s, t->created_ms);
    stmt_bind_int(&s, t->updated_ms);
    stmt_bind_text(&s, t->created_by);
    return stmt_put(&s, "template", t->name, err);
}

bool store_template_remove(struct store_txn *txn, const struct uuid *id, struct err *err)
{
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, txn->conn, "DELETE FROM template WHERE id = ?", err))
        return false;
    stmt_bind_uuid(&s, id);
    return stmt_remove(&s, "template", err);
}

bool store_template_each(struct store *store,
                         bool (*each)(void *ctx, const struct template_record *), void *ctx,
                         struct err *err)
{
    static const char sql[] = "SELECT id, name, content, revision, created_ms, updated_ms,"
                              " created_by FROM template ORDER BY name";
    CLEANUP(read_end) struct read r = {0};
    int n;

    if (!read_begin(&r, store, sql, err))
        return false;
    while ((n = stmt_step(&r.stmt, err)) > 0) {
        const struct template_record t = {
            .id = stmt_uuid(&r.stmt, 0),
            .name = stmt_text(&r.stmt, 1),
            .content = stmt_text(&r.stmt, 2),
            .revision = (uint64_t)stmt_int(&r.stmt, 3),
            .created_ms = stmt_int(&r.stmt, 4),
            .updated_ms = stmt_int(&r.stmt, 5),
            .created_by = stmt_text(&r.stmt, 6),
        };
        if (!each(ctx, &t))
            break;
    }
    return n >= 0;
}
