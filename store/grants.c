/* Users' grants in the database: see core/port/store_who.h. */
#include "store/db.h"

bool store_grant_put(struct store_txn *txn, const struct grant_record *grant, struct err *err)
{
    static const char sql[] =
        "INSERT INTO user_grant (id, user, label_key, label_value, pool, role, rights, created_ms,"
        " created_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, txn->conn, sql, err))
        return false;
    stmt_bind_uuid(&s, &grant->id);
    stmt_bind_uuid(&s, &grant->user);
    stmt_bind_text(&s, grant->label_key);
    stmt_bind_text(&s, grant->label_value);
    stmt_bind_uuid_or_null(&s, &grant->pool);
    stmt_bind_text(&s, grant->role);
    stmt_bind_text(&s, grant->rights);
    stmt_bind_int(&s, grant->created_ms);
    stmt_bind_text(&s, grant->created_by);
    return stmt_put(&s, "grant", NULL, err);
}

bool store_grant_remove(struct store_txn *txn, const struct uuid *id, struct err *err)
{
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, txn->conn, "DELETE FROM user_grant WHERE id = ?", err))
        return false;
    stmt_bind_uuid(&s, id);
    return stmt_remove(&s, "grant", err);
}

bool store_grant_each(struct store *store, bool (*each)(void *ctx, const struct grant_record *),
                      void *ctx, struct err *err)
{
    static const char sql[] = "SELECT id, user, label_key, label_value, pool, role, rights,"
                              " created_ms, created_by FROM user_grant ORDER BY created_ms, rowid";
    CLEANUP(read_end) struct read r = {0};
    int n;

    if (!read_begin(&r, store, sql, err))
        return false;
    while ((n = stmt_step(&r.stmt, err)) > 0) {
        struct grant_record grant = {
            .id = stmt_uuid(&r.stmt, 0),
            .user = stmt_uuid(&r.stmt, 1),
            .label_key = stmt_text(&r.stmt, 2),
            .label_value = stmt_text(&r.stmt, 3),
            .pool = stmt_uuid(&r.stmt, 4),
            .role = stmt_text(&r.stmt, 5),
            .rights = stmt_text(&r.stmt, 6),
            .created_ms = stmt_int(&r.stmt, 7),
            .created_by = stmt_text(&r.stmt, 8),
        };
        if (!each(ctx, &grant))
            break;
    }
    return n >= 0;
}
