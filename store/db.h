/* The store from inside: what the files of this room share. Everybody else sees core/port/store.h.
 */
#pragma once
#include "core/base/thread.h"
#include "core/port/store.h"
#include "store/conn.h"
#include "store/readers.h"
#include "store/reserve.h"
#include "store/stmt.h"

#define STORE_FILE "vmmd.db"

struct group;

/* The way to the write connection, and the group of transactions that is open on it: txn.c. */
struct turnstile {
    struct lock lock;
    struct cond writer_may;           /* a transaction may begin */
    struct cond leader_may;           /* the group's leader may flush it */
    bool taken GUARDED_BY(lock);      /* somebody uses the write connection */
    unsigned queued GUARDED_BY(lock); /* threads that wait to begin */
    struct group *group;              /* of the open BEGIN, or NULL; changed under lock by whoever
                                       * has the turn, who therefore may read it without */
    uint64_t flushes GUARDED_BY(lock);
    uint64_t commits GUARDED_BY(lock);
    struct histogram flush;
};

struct store {
    int dir;     /* the state directory */
    int lock_fd; /* its lock, held as long as the store is open */
    char *path;  /* of the database, absolute */
    struct vfs *vfs;
    struct reserve reserve;
    struct conn *writer; /* used by whoever has the turn */
    atomic_bool poisoned;
    uint32_t epoch;
    struct turnstile turnstile;
    struct readers readers;
};

struct store_txn {
    struct store *store;
    struct conn *conn; /* store->writer */
};

/* The lock of a state directory; -1 with BUSY when a daemon has it: lock.c. */
int store_dir_lock(int dir, struct err *err) MUST_USE;
/* Puts a rebuilt database in place whose commit was cut off: rebuild.c. Under the lock. */
bool rebuild_settle(int dir, struct err *err) MUST_USE;
bool store_poison_check(struct store *store, struct err *err) MUST_USE; /* INTERNAL when poisoned */

void turnstile_init(struct turnstile *t);
void turnstile_clear(struct turnstile *t);
uint64_t turnstile_flushes(struct turnstile *t); /* commits of whole groups so far */

/* One SELECT on a connection of its own, on what was committed when it began. 'sql' is static.
 *
 *     CLEANUP(read_end) struct read r = {0};
 *     if (!read_begin(&r, store, sql, err)) … bind, step &r.stmt … */
struct read {
    struct store *store;
    struct conn *conn;
    struct stmt stmt;
};
bool read_begin(struct read *r, struct store *store, const char *sql, struct err *err) MUST_USE;
void read_end(struct read *r);
bool read_is_open(void); /* in this thread: a callback is running */
