/* API tokens in the database: see core/port/store.h. */
#include "store/db.h"

bool store_token_put(struct store_txn *txn, const struct token_record *token, struct err *err)
{
    static const char sql[] =
        "INSERT INTO token (id, name, role, sha256, created_ms, expires_ms, created_by, owner,"
        " rights) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET name = excluded.name, role = excluded.role,"
        " sha256 = excluded.sha256, created_ms = excluded.created_ms,"
        " expires_ms = excluded.expires_ms, created_by = excluded.created_by,"
        " owner = excluded.owner, rights = excluded.rights";
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, txn->conn, sql, err))
        return false;
    stmt_bind_uuid(&s, &token->id);
    stmt_bind_text(&s, token->name);
    stmt_bind_text(&s, token->role);
    stmt_bind_blob(&s, token->sha256, sizeof token->sha256);
    stmt_bind_int(&s, token->created_ms);
    stmt_bind_int(&s, token->expires_ms);
    stmt_bind_text(&s, token->created_by);
    stmt_bind_uuid_or_null(&s, &token->owner);
    stmt_bind_text(&s, token->rights);
    return stmt_put(&s, "token", token->name, err);
}

bool store_token_remove(struct store_txn *txn, const struct uuid *id, struct err *err)
{
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, txn->conn, "DELETE FROM token WHERE id = ?", err))
        return false;
    stmt_bind_uuid(&s, id);
    return stmt_remove(&s, "token", err);
}

bool store_token_each(struct store *store, bool (*each)(void *ctx, const struct token_record *),
                      void *ctx, struct err *err)
{
    static const char sql[] = "SELECT id, name, role, sha256, created_ms, expires_ms, created_by,"
                              " owner, rights FROM token ORDER BY name";
    CLEANUP(read_end) struct read r = {0};
    int n;

    if (!read_begin(&r, store, sql, err))
        return false;
    while ((n = stmt_step(&r.stmt, err)) > 0) {
        struct token_record token = {
            .id = stmt_uuid(&r.stmt, 0),
            .name = stmt_text(&r.stmt, 1),
            .role = stmt_text(&r.stmt, 2),
            .created_ms = stmt_int(&r.stmt, 4),
            .expires_ms = stmt_int(&r.stmt, 5),
            .created_by = stmt_text(&r.stmt, 6),
            .owner = stmt_uuid(&r.stmt, 7),
            .rights = stmt_text(&r.stmt, 8),
        };
        stmt_blob(&r.stmt, 3, token.sha256, sizeof token.sha256);
        if (!each(ctx, &token))
            break;
    }
    return n >= 0;
}
