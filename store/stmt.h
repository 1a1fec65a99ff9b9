/* One use of a prepared statement: take it, bind its parameters in order, step, read columns.
 *
 *     CLEANUP(stmt_end) struct stmt s = {0};
 *     if (!stmt_begin(&s, conn, "SELECT name FROM vm WHERE id = ?", err))
 *         return false;
 *     stmt_bind_uuid(&s, id);
 *     while ((n = stmt_step(&s, err)) > 0) … stmt_text(&s, 0) …
 *
 * A failing bind is reported by the step after it. What is bound must live until stmt_end(). */
#pragma once
#include "core/base/id.h"
#include "store/conn.h"

struct stmt {
    struct conn *conn;
    sqlite3_stmt *raw;
    unsigned slot; /* in conn->cached */
    int bound;     /* parameters so far */
    int rc;        /* first failure of a bind */
};

/* 'sql' must be static; a statement cannot be taken twice at a time. */
bool stmt_begin(struct stmt *s, struct conn *conn, const char *sql, struct err *err) MUST_USE;
void stmt_end(struct stmt *s);

void stmt_bind_int(struct stmt *s, int64_t value);
void stmt_bind_text(struct stmt *s, const char *text); /* NULL binds NULL */
void stmt_bind_blob(struct stmt *s, const void *data, int len);
void stmt_bind_uuid(struct stmt *s, const struct uuid *id);
void stmt_bind_uuid_or_null(struct stmt *s, const struct uuid *id); /* a zero id binds NULL */

/* 1: a row, 0: the end, -1: failure. */
int stmt_step(struct stmt *s, struct err *err) MUST_USE;
/* Runs an INSERT or UPDATE of 'name' (NULL: it has none) in the family 'what' ("pool"). EXISTS: the
 * name, or something else unique, is taken; NOT_FOUND: it refers to a row that does not exist. */
bool stmt_put(struct stmt *s, const char *what, const char *name, struct err *err) MUST_USE;
/* Runs a DELETE. IN_USE: other rows refer to it. No such row is success. */
bool stmt_remove(struct stmt *s, const char *what, struct err *err) MUST_USE;
/* Binds how many rows are removed at once as the last parameter, runs the DELETE, and sets '*more'
 * when there were as many. */
bool stmt_trim(struct stmt *s, const char *what, bool *more, struct err *err) MUST_USE;
/* Rows that the statement changed. */
int stmt_changes(const struct stmt *s);

/* Columns of the present row. Texts live until the next step; NULL gives NULL, 0, a zero id. */
int64_t stmt_int(struct stmt *s, int column);
const char *stmt_text(struct stmt *s, int column);
bool stmt_is_null(struct stmt *s, int column);
struct uuid stmt_uuid(struct stmt *s, int column);
/* Copies a blob of exactly 'len' bytes; zeroes when it is of another length. */
void stmt_blob(struct stmt *s, int column, void *out, size_t len);
