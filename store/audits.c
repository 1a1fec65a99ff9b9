/* The audit trail in the database: see core/port/store_audit.h. */
#include "store/db.h"

#include <string.h>

bool store_audit_last(struct store_txn *txn, uint64_t *seq, uint8_t hash[32], struct err *err)
{
    CLEANUP(stmt_end) struct stmt s = {0};
    int n;

    *seq = 0;
    memset(hash, 0, 32);
    if (!stmt_begin(&s, txn->conn, "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1", err))
        return false;
    n = stmt_step(&s, err);
    if (n > 0) {
        *seq = (uint64_t)stmt_int(&s, 0);
        stmt_blob(&s, 1, hash, 32);
    }
    return n >= 0;
}

bool store_audit_add(struct store_txn *txn, const struct audit_row *row, struct err *err)
{
    static const char sql[] = "INSERT INTO audit (seq, body, prev, hash) VALUES (?, ?, ?, ?)";
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, txn->conn, sql, err))
        return false;
    stmt_bind_int(&s, (int64_t)row->seq);
    stmt_bind_text(&s, row->body);
    stmt_bind_blob(&s, row->prev, sizeof row->prev);
    stmt_bind_blob(&s, row->hash, sizeof row->hash);
    return stmt_put(&s, "audit record", NULL, err);
}

bool store_audit_each(struct store *store, uint64_t after, bool newest_first,
                      bool (*each)(void *ctx, const struct audit_row *), void *ctx, struct err *err)
{
    static const char up[] = "SELECT seq, body, prev, hash FROM audit WHERE seq > ? ORDER BY seq";
    static const char down[] =
        "SELECT seq, body, prev, hash FROM audit WHERE seq < ? ORDER BY seq DESC";
    int64_t from = after > INT64_MAX ? INT64_MAX : (int64_t)after;
    CLEANUP(read_end) struct read r = {0};
    int n;

    if (!read_begin(&r, store, newest_first ? down : up, err))
        return false;
    stmt_bind_int(&r.stmt, newest_first && !from ? INT64_MAX : from);
    while ((n = stmt_step(&r.stmt, err)) > 0) {
        struct audit_row row = {
            .seq = (uint64_t)stmt_int(&r.stmt, 0),
            .body = stmt_text(&r.stmt, 1),
        };
        stmt_blob(&r.stmt, 2, row.prev, sizeof row.prev);
        stmt_blob(&r.stmt, 3, row.hash, sizeof row.hash);
        if (!each(ctx, &row))
            break;
    }
    return n >= 0;
}

bool store_audit_trim(struct store_txn *txn, unsigned keep, bool *more, struct err *err)
{
    static const char sql[] = "DELETE FROM audit WHERE seq <= (SELECT max(seq) FROM audit) - ?"
                              " AND seq < (SELECT min(seq) FROM audit) + ?";
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, txn->conn, sql, err))
        return false;
    stmt_bind_int(&s, keep);
    return stmt_trim(&s, "audit record", more, err);
}
