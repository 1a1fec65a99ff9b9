/* Users and the sessions of their browsers in the database: see core/port/store_who.h. */
#include "core/base/str.h"
#include "store/db.h"

bool store_user_put(struct store_txn *txn, const struct user_record *user, struct err *err)
{
    static const char sql[] =
        "INSERT INTO user (id, name, role, password, password_ms, disabled, created_ms,"
        " changed_ms, created_by, password_source) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET name = excluded.name, role = excluded.role,"
        " password = excluded.password, password_ms = excluded.password_ms,"
        " disabled = excluded.disabled, changed_ms = excluded.changed_ms,"
        " password_source = excluded.password_source";
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, txn->conn, sql, err))
        return false;
    stmt_bind_uuid(&s, &user->id);
    stmt_bind_text(&s, user->name);
    stmt_bind_text(&s, user->role);
    stmt_bind_text(&s, user->password);
    stmt_bind_int(&s, user->password_ms);
    stmt_bind_int(&s, user->disabled);
    stmt_bind_int(&s, user->created_ms);
    stmt_bind_int(&s, user->changed_ms);
    stmt_bind_text(&s, user->created_by);
    stmt_bind_text(&s, user->pam ? "pam" : "own");
    return stmt_put(&s, "user", user->name, err);
}

bool store_user_remove(struct store_txn *txn, const struct uuid *id, struct err *err)
{
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, txn->conn, "DELETE FROM user WHERE id = ?", err))
        return false;
    stmt_bind_uuid(&s, id);
    return stmt_remove(&s, "user", err);
}

bool store_user_each(struct store *store, bool (*each)(void *ctx, const struct user_record *),
                     void *ctx, struct err *err)
{
    static const char sql[] = "SELECT id, name, role, password, password_ms, disabled, created_ms,"
                              " changed_ms, created_by, password_source FROM user"
                              " ORDER BY name";
    CLEANUP(read_end) struct read r = {0};
    int n;

    if (!read_begin(&r, store, sql, err))
        return false;
    while ((n = stmt_step(&r.stmt, err)) > 0) {
        struct user_record user = {
            .id = stmt_uuid(&r.stmt, 0),
            .name = stmt_text(&r.stmt, 1),
            .role = stmt_text(&r.stmt, 2),
            .password = stmt_text(&r.stmt, 3),
            .password_ms = stmt_int(&r.stmt, 4),
            .disabled = stmt_int(&r.stmt, 5) != 0,
            .created_ms = stmt_int(&r.stmt, 6),
            .changed_ms = stmt_int(&r.stmt, 7),
            .created_by = stmt_text(&r.stmt, 8),
            .pam = str_eq(stmt_text(&r.stmt, 9), "pam"),
        };
        if (!each(ctx, &user))
            break;
    }
    return n >= 0;
}

bool store_session_put(struct store_txn *txn, const struct session_record *session, struct err *err)
{
    static const char sql[] =
        "INSERT INTO session (id, user, sha256, created_ms, used_ms, expires_ms, origin)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET used_ms = excluded.used_ms";
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, txn->conn, sql, err))
        return false;
    stmt_bind_uuid(&s, &session->id);
    stmt_bind_uuid(&s, &session->user);
    stmt_bind_blob(&s, session->sha256, sizeof session->sha256);
    stmt_bind_int(&s, session->created_ms);
    stmt_bind_int(&s, session->used_ms);
    stmt_bind_int(&s, session->expires_ms);
    stmt_bind_text(&s, session->origin);
    return stmt_put(&s, "session", NULL, err);
}

static bool remove_by(struct store_txn *txn, const char *sql, const struct uuid *id,
                      struct err *err)
{
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, txn->conn, sql, err))
        return false;
    stmt_bind_uuid(&s, id);
    return stmt_remove(&s, "session", err);
}

bool store_session_remove(struct store_txn *txn, const struct uuid *id, struct err *err)
{
    static const char sql[] = "DELETE FROM session WHERE id = ?";

    return remove_by(txn, sql, id, err);
}

bool store_session_remove_of(struct store_txn *txn, const struct uuid *user, struct err *err)
{
    static const char sql[] = "DELETE FROM session WHERE user = ?";

    return remove_by(txn, sql, user, err);
}

bool store_session_each(struct store *store, bool (*each)(void *ctx, const struct session_record *),
                        void *ctx, struct err *err)
{
    static const char sql[] =
        "SELECT id, user, sha256, created_ms, used_ms, expires_ms, origin FROM session";
    CLEANUP(read_end) struct read r = {0};
    int n;

    if (!read_begin(&r, store, sql, err))
        return false;
    while ((n = stmt_step(&r.stmt, err)) > 0) {
        struct session_record session = {
            .id = stmt_uuid(&r.stmt, 0),
            .user = stmt_uuid(&r.stmt, 1),
            .created_ms = stmt_int(&r.stmt, 3),
            .used_ms = stmt_int(&r.stmt, 4),
            .expires_ms = stmt_int(&r.stmt, 5),
            .origin = stmt_text(&r.stmt, 6),
        };
        stmt_blob(&r.stmt, 2, session.sha256, sizeof session.sha256);
        if (!each(ctx, &session))
            break;
    }
    return n >= 0;
}
