/* Webhooks in the database: see core/port/store.h. The secret stands there in clear, since every
 * delivery is signed with it: the file is vmmd's alone (0600). */
#include "store/db.h"

bool store_webhook_put(struct store_txn *txn, const struct webhook_record *hook, struct err *err)
{
    static const char sql[] =
        "INSERT INTO webhook (id, name, url, types, secret, enabled, disabled_why, position,"
        " attempts, failing_ms, recent, created_ms, created_by)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET name = excluded.name, url = excluded.url,"
        " types = excluded.types, secret = excluded.secret, enabled = excluded.enabled,"
        " disabled_why = excluded.disabled_why, attempts = excluded.attempts,"
        " failing_ms = excluded.failing_ms";
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, txn->conn, sql, err))
        return false;
    stmt_bind_uuid(&s, &hook->id);
    stmt_bind_text(&s, hook->name);
    stmt_bind_text(&s, hook->url);
    stmt_bind_text(&s, hook->types);
    stmt_bind_text(&s, hook->secret);
    stmt_bind_int(&s, hook->enabled);
    stmt_bind_text(&s, hook->disabled_why);
    stmt_bind_int(&s, (int64_t)hook->position);
    stmt_bind_int(&s, hook->attempts);
    stmt_bind_int(&s, hook->failing_ms);
    stmt_bind_text(&s, hook->recent);
    stmt_bind_int(&s, hook->created_ms);
    stmt_bind_text(&s, hook->created_by);
    return stmt_put(&s, "webhook", hook->name, err);
}

bool store_webhook_move(struct store_txn *txn, const struct webhook_record *hook, struct err *err)
{
    static const char sql[] = "UPDATE webhook SET position = ?, attempts = ?, failing_ms = ?,"
                              " recent = ? WHERE id = ?";
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, txn->conn, sql, err))
        return false;
    stmt_bind_int(&s, (int64_t)hook->position);
    stmt_bind_int(&s, hook->attempts);
    stmt_bind_int(&s, hook->failing_ms);
    stmt_bind_text(&s, hook->recent);
    stmt_bind_uuid(&s, &hook->id);
    return stmt_put(&s, "webhook", NULL, err);
}

bool store_webhook_remove(struct store_txn *txn, const struct uuid *id, struct err *err)
{
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, txn->conn, "DELETE FROM webhook WHERE id = ?", err))
        return false;
    stmt_bind_uuid(&s, id);
    return stmt_remove(&s, "webhook", err);
}

bool store_webhook_each(struct store *store, bool (*each)(void *ctx, const struct webhook_record *),
                        void *ctx, struct err *err)
{
    static const char sql[] = "SELECT id, name, url, types, secret, enabled, disabled_why,"
                              " position, attempts, failing_ms, recent, created_ms, created_by"
                              " FROM webhook ORDER BY name";
    CLEANUP(read_end) struct read r = {0};
    int n;

    if (!read_begin(&r, store, sql, err))
        return false;
    while ((n = stmt_step(&r.stmt, err)) > 0) {
        const struct webhook_record hook = {
            .id = stmt_uuid(&r.stmt, 0),
            .name = stmt_text(&r.stmt, 1),
            .url = stmt_text(&r.stmt, 2),
            .types = stmt_text(&r.stmt, 3),
            .secret = stmt_text(&r.stmt, 4),
            .enabled = stmt_int(&r.stmt, 5) != 0,
            .disabled_why = stmt_text(&r.stmt, 6),
            .position = (uint64_t)stmt_int(&r.stmt, 7),
            .attempts = (uint32_t)stmt_int(&r.stmt, 8),
            .failing_ms = stmt_int(&r.stmt, 9),
            .recent = stmt_text(&r.stmt, 10),
            .created_ms = stmt_int(&r.stmt, 11),
            .created_by = stmt_text(&r.stmt, 12),
        };
        if (!each(ctx, &hook))
            break;
    }
    return n >= 0;
}
