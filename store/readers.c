/* The pool of reading connections: see readers.h. And struct read of db.h: one SELECT from it. */
#include "store/readers.h"

#include "store/db.h"

#include <assert.h>

/* Callbacks of store_…_each() must not call the store again: eight of them waiting for a ninth
 * connection, or for the writer who waits for one, would wait for ever. */
static _Thread_local bool reading;

void readers_init(struct readers *r, const char *path, const struct vfs *vfs)
{
    *r = (struct readers){.path = path, .vfs = vfs};
    lock_init(&r->lock);
    cond_init(&r->returned);
}

void readers_clear(struct readers *r)
{
    assert(r->n_idle == r->n_open);
    while (r->n_idle)
        conn_close(r->idle[--r->n_idle]);
    cond_clear(&r->returned);
    lock_clear(&r->lock);
}

static struct conn *open_one(struct readers *r, struct err *err)
{
    struct conn *conn = conn_open(r->path, r->vfs, NULL, err);

    if (conn)
        return conn;
    lock_take(&r->lock);
    r->n_open--;
    cond_wake_one(&r->returned);
    lock_drop(&r->lock);
    return NULL;
}

struct conn *readers_take(struct readers *r, struct err *err)
{
    struct conn *conn = NULL;

    lock_take(&r->lock);
    while (!r->n_idle && r->n_open == READERS_MAX)
        cond_wait(&r->returned, &r->lock);
    if (r->n_idle)
        conn = r->idle[--r->n_idle];
    else
        r->n_open++;
    lock_drop(&r->lock);
    return conn ? conn : open_one(r, err);
}

void readers_return(struct readers *r, struct conn *conn)
{
    lock_take(&r->lock);
    r->idle[r->n_idle++] = conn;
    cond_wake_one(&r->returned);
    lock_drop(&r->lock);
}

bool read_begin(struct read *r, struct store *store, const char *sql, struct err *err)
{
    assert(!reading);
    if (!store_poison_check(store, err))
        return false;
    r->conn = readers_take(&store->readers, err);
    if (!r->conn)
        return false;
    r->store = store;
    reading = true;
    return stmt_begin(&r->stmt, r->conn, sql, err);
}

void read_end(struct read *r)
{
    if (!r->conn)
        return;
    stmt_end(&r->stmt);
    readers_return(&r->store->readers, r->conn);
    r->conn = NULL;
    reading = false;
}

bool read_is_open(void)
{
    return reading;
}
