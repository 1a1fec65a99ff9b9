/* The event log in the database: see core/port/store.h. */
#include "store/db.h"

bool store_event_add(struct store_txn *txn, const struct event_record *event, uint64_t *seq,
                     struct err *err)
{
    static const char sql[] =
        "INSERT INTO event (at_ms, type, object_type, object, data) VALUES (?, ?, ?, ?, ?)";
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, txn->conn, sql, err))
        return false;
    stmt_bind_int(&s, event->at_ms);
    stmt_bind_text(&s, event->type);
    stmt_bind_text(&s, event->object_type);
    stmt_bind_uuid_or_null(&s, &event->object);
    stmt_bind_text(&s, event->data);
    if (!stmt_put(&s, "event", NULL, err))
        return false;
    if (seq)
        *seq = (uint64_t)sqlite3_last_insert_rowid(txn->conn->db);
    return true;
}

bool store_event_each(struct store *store, uint64_t after, unsigned limit,
                      bool (*each)(void *ctx, const struct event_record *), void *ctx,
                      struct err *err)
{
    static const char sql[] = "SELECT seq, at_ms, type, object_type, object, data FROM event"
                              " WHERE seq > ? ORDER BY seq LIMIT ?";
    CLEANUP(read_end) struct read r = {0};
    int n;

    if (!read_begin(&r, store, sql, err))
        return false;
    stmt_bind_int(&r.stmt, after > INT64_MAX ? INT64_MAX : (int64_t)after);
    stmt_bind_int(&r.stmt, limit);
    while ((n = stmt_step(&r.stmt, err)) > 0) {
        const struct event_record event = {
            .seq = (uint64_t)stmt_int(&r.stmt, 0),
            .at_ms = stmt_int(&r.stmt, 1),
            .type = stmt_text(&r.stmt, 2),
            .object_type = stmt_text(&r.stmt, 3),
            .object = stmt_uuid(&r.stmt, 4),
            .data = stmt_text(&r.stmt, 5),
        };
        if (!each(ctx, &event))
            break;
    }
    return n >= 0;
}

bool store_event_bounds(struct store *store, uint64_t *oldest, uint64_t *newest, struct err *err)
{
    static const char sql[] = "SELECT (SELECT min(seq) FROM event), (SELECT max(seq) FROM event)";
    CLEANUP(read_end) struct read r = {0};

    if (!read_begin(&r, store, sql, err) || stmt_step(&r.stmt, err) < 0)
        return false;
    *oldest = (uint64_t)stmt_int(&r.stmt, 0);
    *newest = (uint64_t)stmt_int(&r.stmt, 1);
    return true;
}

/* Numbers have no gaps, so counting is subtracting. */
bool store_event_trim(struct store_txn *txn, unsigned keep, bool *more, struct err *err)
{
    static const char sql[] = "DELETE FROM event WHERE seq <= (SELECT max(seq) FROM event) - ?"
                              " AND seq < (SELECT min(seq) FROM event) + ?";
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, txn->conn, sql, err))
        return false;
    stmt_bind_int(&s, keep);
    return stmt_trim(&s, "event", more, err);
}
