/* Storage pools in the database: see core/port/store.h. */
#include "store/db.h"

bool store_pool_put(struct store_txn *txn, const struct pool_record *pool, struct err *err)
{
    static const char sql[] =
        "INSERT INTO pool (id, name, root, created_ms, quota_bytes, reserve_bytes, default_format,"
        " low_space) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET name = excluded.name, root = excluded.root,"
        " created_ms = excluded.created_ms, quota_bytes = excluded.quota_bytes,"
        " reserve_bytes = excluded.reserve_bytes, default_format = excluded.default_format,"
        " low_space = excluded.low_space";
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, txn->conn, sql, err))
        return false;
    stmt_bind_uuid(&s, &pool->id);
    stmt_bind_text(&s, pool->name);
    stmt_bind_text(&s, pool->root);
    stmt_bind_int(&s, pool->created_ms);
    stmt_bind_int(&s, (int64_t)pool->quota_bytes);
    stmt_bind_int(&s, (int64_t)pool->reserve_bytes);
    stmt_bind_text(&s, pool->default_format ? pool->default_format : "qcow2");
    stmt_bind_int(&s, pool->low_space);
    return stmt_put(&s, "pool", pool->name, err);
}

bool store_pool_remove(struct store_txn *txn, const struct uuid *id, struct err *err)
{
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, txn->conn, "DELETE FROM pool WHERE id = ?", err))
        return false;
    stmt_bind_uuid(&s, id);
    return stmt_remove(&s, "pool", err);
}

bool store_pool_each(struct store *store, bool (*each)(void *ctx, const struct pool_record *),
                     void *ctx, struct err *err)
{
    static const char sql[] = "SELECT id, name, root, created_ms, quota_bytes, reserve_bytes,"
                              " default_format, low_space FROM pool ORDER BY name";
    CLEANUP(read_end) struct read r = {0};
    int n;

    if (!read_begin(&r, store, sql, err))
        return false;
    while ((n = stmt_step(&r.stmt, err)) > 0) {
        const struct pool_record pool = {
            .id = stmt_uuid(&r.stmt, 0),
            .name = stmt_text(&r.stmt, 1),
            .root = stmt_text(&r.stmt, 2),
            .created_ms = stmt_int(&r.stmt, 3),
            .quota_bytes = (uint64_t)stmt_int(&r.stmt, 4),
            .reserve_bytes = (uint64_t)stmt_int(&r.stmt, 5),
            .default_format = stmt_text(&r.stmt, 6),
            .low_space = stmt_int(&r.stmt, 7),
        };
        if (!each(ctx, &pool))
            break;
    }
    return n >= 0;
}
