/* One SQLite connection with its settings and its prepared statements, which are kept for its life.
 * A connection is used by one thread at a time; who that is, is the turnstile's (txn.c) and the
 * readers' (readers.c) business. */
#pragma once
#include "core/base/err.h"

#include <sqlite3.h>
#include <stdatomic.h>
#include <stdint.h>

#define CONN_STATEMENTS 96

struct vfs;

struct conn {
    sqlite3 *db;
    atomic_bool *poisoned; /* the store's flag; NULL for a connection that only reads */
    struct err last;       /* the latest failure that was not a constraint */
    unsigned wal_pages;    /* in the WAL after the latest commit */
    struct {
        const char *sql; /* compared by address: texts of statements are static */
        sqlite3_stmt *raw;
        bool used;
    } cached[CONN_STATEMENTS];
    unsigned n_cached;
};

/* 'poisoned' makes it the connection that writes. UNAVAILABLE (locked by another program),
 * NO_SPACE, INTERNAL (not a database, damaged, I/O). */
struct conn *conn_open(const char *path, const struct vfs *vfs, atomic_bool *poisoned,
                       struct err *err) MUST_USE;
void conn_close(struct conn *conn); /* NULL is fine */

/* Turns SQLite's result into *err and logs what a client must not see. An I/O error or a damaged
 * file poisons the store if this connection writes. */
bool conn_fail(struct conn *conn, int rc, struct err *err);
/* True when no transaction is open: SQLite rolls a whole one back by itself on some errors. */
bool conn_is_idle(const struct conn *conn);

/* A statement without parameters or result, prepared once. */
bool conn_run(struct conn *conn, const char *sql, struct err *err) MUST_USE;
/* Any number of statements in one text, not kept: migrations. */
bool conn_script(struct conn *conn, const char *sql, struct err *err) MUST_USE;
/* The first column of the first row; "" / 0 when there is no row. */
bool conn_text(struct conn *conn, const char *sql, char *out, size_t size,
               struct err *err) MUST_USE;
bool conn_int(struct conn *conn, const char *sql, int64_t *out, struct err *err) MUST_USE;
/* Moves the WAL into the database file as far as readers allow. A full disk is no failure: the WAL
 * just grows. */
bool conn_checkpoint(struct conn *conn, struct err *err) MUST_USE;
