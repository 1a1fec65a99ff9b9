/* Idempotency keys in the database: see core/port/store.h. A key that is older than its 24 hours is
 * as good as gone, whether it was trimmed or not. */
#include "core/base/clock.h"
#include "store/db.h"

#define LIFE_MS (24ll * 60 * 60 * 1000)

bool store_idem_put(struct store_txn *txn, const struct idem_record *idem, struct err *err)
{
    static const char sql[] =
        "INSERT INTO idem (principal, key, route, body_sha256, object_type, object, note,"
        " created_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (principal, key) DO UPDATE SET route = excluded.route,"
        " body_sha256 = excluded.body_sha256, object_type = excluded.object_type,"
        " object = excluded.object, note = excluded.note, created_ms = excluded.created_ms"
        " WHERE created_ms < ?";
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, txn->conn, sql, err))
        return false;
    stmt_bind_text(&s, idem->principal);
    stmt_bind_text(&s, idem->key);
    stmt_bind_text(&s, idem->route);
    stmt_bind_blob(&s, idem->body_sha256, sizeof idem->body_sha256);
    stmt_bind_text(&s, idem->object_type);
    stmt_bind_uuid_or_null(&s, &idem->object);
    stmt_bind_text(&s, idem->note);
    stmt_bind_int(&s, idem->created_ms);
    stmt_bind_int(&s, idem->created_ms - LIFE_MS);
    if (!stmt_put(&s, "Idempotency-Key", NULL, err))
        return false;
    return stmt_changes(&s) == 1 ||
           err_set(err, ERR_EXISTS, "this Idempotency-Key was used already");
}

bool store_idem_get(struct store *store, const char *principal, const char *key,
                    bool (*each)(void *ctx, const struct idem_record *), void *ctx, bool *found,
                    struct err *err)
{
    static const char sql[] =
        "SELECT principal, key, route, body_sha256, object_type, object, note, created_ms"
        " FROM idem WHERE principal = ? AND key = ? AND created_ms >= ?";
    CLEANUP(read_end) struct read r = {0};
    struct idem_record idem;
    int n;

    if (!read_begin(&r, store, sql, err))
        return false;
    stmt_bind_text(&r.stmt, principal);
    stmt_bind_text(&r.stmt, key);
    stmt_bind_int(&r.stmt, clock_wall_ms() - LIFE_MS);
    n = stmt_step(&r.stmt, err);
    if (n < 0)
        return false;
    *found = n > 0;
    if (n == 0)
        return true;
    idem = (struct idem_record){
        .principal = stmt_text(&r.stmt, 0),
        .key = stmt_text(&r.stmt, 1),
        .route = stmt_text(&r.stmt, 2),
        .object_type = stmt_text(&r.stmt, 4),
        .object = stmt_uuid(&r.stmt, 5),
        .note = stmt_text(&r.stmt, 6),
        .created_ms = stmt_int(&r.stmt, 7),
    };
    stmt_blob(&r.stmt, 3, idem.body_sha256, sizeof idem.body_sha256);
    (void)each(ctx, &idem);
    return true;
}

bool store_idem_trim(struct store_txn *txn, int64_t older_than_ms, bool *more, struct err *err)
{
    static const char sql[] = "DELETE FROM idem WHERE (principal, key) IN"
                              " (SELECT principal, key FROM idem WHERE created_ms < ? LIMIT ?)";
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, txn->conn, sql, err))
        return false;
    stmt_bind_int(&s, older_than_ms);
    return stmt_trim(&s, "Idempotency-Key", more, err);
}
