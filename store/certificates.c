/* Users' certificates in the database: see core/port/store_who.h. */
#include "store/db.h"

bool store_certificate_put(struct store_txn *txn, const struct certificate_record *certificate,
                           struct err *err)
{
    static const char sql[] =
        "INSERT INTO user_certificate (id, user, sha256, subject, expires_ms, created_ms,"
        " created_by) VALUES (?, ?, ?, ?, ?, ?, ?)";
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, txn->conn, sql, err))
        return false;
    stmt_bind_uuid(&s, &certificate->id);
    stmt_bind_uuid(&s, &certificate->user);
    stmt_bind_blob(&s, certificate->sha256, sizeof certificate->sha256);
    stmt_bind_text(&s, certificate->subject);
    stmt_bind_int(&s, certificate->expires_ms);
    stmt_bind_int(&s, certificate->created_ms);
    stmt_bind_text(&s, certificate->created_by);
    return stmt_put(&s, "certificate", NULL, err);
}

bool store_certificate_remove(struct store_txn *txn, const struct uuid *id, struct err *err)
{
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, txn->conn, "DELETE FROM user_certificate WHERE id = ?", err))
        return false;
    stmt_bind_uuid(&s, id);
    return stmt_remove(&s, "certificate", err);
}

bool store_certificate_each(struct store *store,
                            bool (*each)(void *ctx, const struct certificate_record *), void *ctx,
                            struct err *err)
{
    static const char sql[] = "SELECT id, user, sha256, subject, expires_ms, created_ms, created_by"
                              " FROM user_certificate ORDER BY created_ms, rowid";
    CLEANUP(read_end) struct read r = {0};
    int n;

    if (!read_begin(&r, store, sql, err))
        return false;
    while ((n = stmt_step(&r.stmt, err)) > 0) {
        struct certificate_record certificate = {
            .id = stmt_uuid(&r.stmt, 0),
            .user = stmt_uuid(&r.stmt, 1),
            .subject = stmt_text(&r.stmt, 3),
            .expires_ms = stmt_int(&r.stmt, 4),
            .created_ms = stmt_int(&r.stmt, 5),
            .created_by = stmt_text(&r.stmt, 6),
        };
        stmt_blob(&r.stmt, 2, certificate.sha256, sizeof certificate.sha256);
        if (!each(ctx, &certificate))
            break;
    }
    return n >= 0;
}
