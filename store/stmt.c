/* Statements: see stmt.h. */
#include "store/stmt.h"

#include "core/base/log.h"
#include "core/port/store.h"

#include <assert.h>
#include <string.h>

static bool prepare(struct stmt *s, struct conn *conn, const char *sql, struct err *err)
{
    int rc;

    assert(conn->n_cached < CONN_STATEMENTS);
    s->slot = conn->n_cached;
    rc = sqlite3_prepare_v3(conn->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &s->raw, NULL);
    if (rc != SQLITE_OK)
        return conn_fail(conn, rc, err);
    conn->cached[s->slot].sql = sql;
    conn->cached[s->slot].raw = s->raw;
    conn->n_cached++;
    return true;
}

bool stmt_begin(struct stmt *s, struct conn *conn, const char *sql, struct err *err)
{
    unsigned i = 0;

    *s = (struct stmt){0};
    while (i < conn->n_cached && conn->cached[i].sql != sql)
        i++;
    if (i == conn->n_cached) {
        if (!prepare(s, conn, sql, err))
            return false;
    } else {
        s->slot = i;
        s->raw = conn->cached[i].raw;
    }
    assert(!conn->cached[s->slot].used);
    conn->cached[s->slot].used = true;
    s->conn = conn;
    return true;
}

void stmt_end(struct stmt *s)
{
    if (!s->conn)
        return;
    sqlite3_reset(s->raw); /* repeats the failure that step reported */
    sqlite3_clear_bindings(s->raw);
    s->conn->cached[s->slot].used = false;
    s->conn = NULL;
}

static void note(struct stmt *s, int rc)
{
    if (s->rc == SQLITE_OK)
        s->rc = rc;
}

void stmt_bind_int(struct stmt *s, int64_t value)
{
    note(s, sqlite3_bind_int64(s->raw, ++s->bound, value));
}

void stmt_bind_text(struct stmt *s, const char *text)
{
    note(s, sqlite3_bind_text(s->raw, ++s->bound, text, -1, SQLITE_STATIC));
}

void stmt_bind_blob(struct stmt *s, const void *data, int len)
{
    note(s, sqlite3_bind_blob(s->raw, ++s->bound, data, len, SQLITE_STATIC));
}

void stmt_bind_uuid(struct stmt *s, const struct uuid *id)
{
    stmt_bind_blob(s, id->b, sizeof id->b);
}

void stmt_bind_uuid_or_null(struct stmt *s, const struct uuid *id)
{
    if (uuid_is_zero(id))
        note(s, sqlite3_bind_null(s->raw, ++s->bound));
    else
        stmt_bind_uuid(s, id);
}

static int step(struct stmt *s)
{
    return s->rc != SQLITE_OK ? s->rc : sqlite3_step(s->raw);
}

int stmt_step(struct stmt *s, struct err *err)
{
    int rc = step(s);

    if (rc == SQLITE_ROW || rc == SQLITE_DONE)
        return rc == SQLITE_ROW;
    conn_fail(s->conn, rc, err);
    return -1;
}

/* SQLite names the columns: "UNIQUE constraint failed: vm.name". */
static bool taken(struct stmt *s, const char *what, const char *name, struct err *err)
{
    const char *columns = strrchr(sqlite3_errmsg(s->conn->db), ':');
    const char *dot = columns ? strrchr(columns, '.') : NULL;

    if (name && dot && strcmp(dot, ".name") == 0)
        return err_field(err, ERR_EXISTS, "/name",
                         "there is a %s named \"%.128s\" already: choose another name", what, name);
    return err_set(err, ERR_EXISTS, "another %s has the same%s", what, dot ? dot : " value");
}

/* A value that a CHECK refuses is a bug of ours: the models check what clients send. */
static bool refused(struct stmt *s, const char *what, struct err *err)
{
    log_error("the database refuses a %s: %s", what, sqlite3_errmsg(s->conn->db));
    return err_set(err, ERR_INTERNAL, "the database refuses a value of the %s", what);
}

bool stmt_put(struct stmt *s, const char *what, const char *name, struct err *err)
{
    int rc = step(s);

    if (rc == SQLITE_DONE)
        return true;
    if ((rc & 0xff) != SQLITE_CONSTRAINT)
        return conn_fail(s->conn, rc, err);
    switch (rc) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
        return taken(s, what, name, err);
    case SQLITE_CONSTRAINT_FOREIGNKEY:
        return err_set(err, ERR_NOT_FOUND, "the %s refers to something that does not exist", what);
    default:
        return refused(s, what, err);
    }
}

bool stmt_remove(struct stmt *s, const char *what, struct err *err)
{
    int rc = step(s);

    if (rc == SQLITE_DONE)
        return true;
    if (rc == SQLITE_CONSTRAINT_FOREIGNKEY)
        return err_set(err, ERR_IN_USE, "something else still uses the %s", what);
    return conn_fail(s->conn, rc, err);
}

bool stmt_trim(struct stmt *s, const char *what, bool *more, struct err *err)
{
    stmt_bind_int(s, STORE_TRIM_ROWS);
    if (!stmt_remove(s, what, err))
        return false;
    *more |= stmt_changes(s) >= STORE_TRIM_ROWS;
    return true;
}

int stmt_changes(const struct stmt *s)
{
    return sqlite3_changes(s->conn->db);
}

int64_t stmt_int(struct stmt *s, int column)
{
    return sqlite3_column_int64(s->raw, column);
}

const char *stmt_text(struct stmt *s, int column)
{
    return (const char *)sqlite3_column_text(s->raw, column);
}

bool stmt_is_null(struct stmt *s, int column)
{
    return sqlite3_column_type(s->raw, column) == SQLITE_NULL;
}

void stmt_blob(struct stmt *s, int column, void *out, size_t len)
{
    const void *data = sqlite3_column_blob(s->raw, column);

    memset(out, 0, len);
    if (data && (size_t)sqlite3_column_bytes(s->raw, column) == len)
        memcpy(out, data, len);
}

struct uuid stmt_uuid(struct stmt *s, int column)
{
    struct uuid id = {0};

    stmt_blob(s, column, id.b, sizeof id.b);
    return id;
}
