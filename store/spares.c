/* Spared files in the database: see core/port/store_rebuild.h. */
#include "store/db.h"

bool store_spare_put(struct store_txn *txn, const struct uuid *pool, const char *name,
                     struct err *err)
{
    static const char sql[] = "INSERT OR IGNORE INTO spared (pool, name) VALUES (?, ?)";
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, txn->conn, sql, err))
        return false;
    stmt_bind_uuid(&s, pool);
    stmt_bind_text(&s, name);
    return stmt_put(&s, "spared file", NULL, err);
}

bool store_spare_each(struct store *store,
                      bool (*each)(void *ctx, const struct uuid *pool, const char *name), void *ctx,
                      struct err *err)
{
    CLEANUP(read_end) struct read r = {0};
    int n;

    if (!read_begin(&r, store, "SELECT pool, name FROM spared ORDER BY pool, name", err))
        return false;
    while ((n = stmt_step(&r.stmt, err)) > 0) {
        const struct uuid pool = stmt_uuid(&r.stmt, 0);
        if (!each(ctx, &pool, stmt_text(&r.stmt, 1)))
            break;
    }
    return n >= 0;
}
