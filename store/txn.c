/* Transactions with group commit. Called by core through store_begin(), store_commit(),
 * store_rollback(); the families (vms.c, …) only use 'txn->conn'.
 *
 * Theory of operation. There is one connection that writes. Whoever uses it has "the turn"; a
 * thread keeps the turn from store_begin() to store_commit(). Transactions that follow each other
 * closely are savepoints of one SQLite transaction, the group, and become durable by one COMMIT,
 * one fsync:
 *
 *   thread 1  begin(BEGIN, SAVEPOINT) … commit(RELEASE) ─ leads ─ waits ─────────── COMMIT ── true
 *   thread 2          queued          begin(SAVEPOINT) … commit(RELEASE) ─ waits ──────────── true
 *   thread 3          queued                   queued         begin … rollback(ROLLBACK TO)
 *
 * The first member that is sealed (released, but not durable) leads: it lets the threads that queue
 * already go through, then takes the turn and flushes. While it does, the next ones queue up and
 * make the next group; so a group is as large as the disk is slow, and a lone thread never waits
 * for company. The queue empties by itself, since sealed threads wait; GROUP_MAX bounds it for the
 * case that others roll back over and over.
 *
 * A group ends once: flushed, failed, or dropped because all its members were rolled back. It fails
 * for all of its members if COMMIT fails or if SQLite rolls the whole transaction back by itself in
 * the middle of one (I/O error). Nobody has been told true by then. There are no deferred foreign
 * keys, so a member's mistake shows in its own statement, never in the COMMIT of its neighbours. */
#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "store/db.h"

#include <assert.h>
#include <stdlib.h>

#define GROUP_MAX        256
#define CHECKPOINT_PAGES 1000

static const char sql_begin[] = "BEGIN IMMEDIATE";
static const char sql_commit[] = "COMMIT";
static const char sql_rollback[] = "ROLLBACK";
static const char sql_savepoint[] = "SAVEPOINT member";
static const char sql_release[] = "RELEASE member";
static const char sql_rollback_to[] = "ROLLBACK TO member";

/* All under the turnstile's lock. */
struct group {
    struct cond over;
    unsigned begun;  /* transactions that came in */
    unsigned sealed; /* members that wait for the end; the last one out frees the group */
    bool led;        /* one of them is the leader */
    bool ended, ok;
    struct err err; /* when it ended and is not ok */
};

static _Thread_local const struct store_txn *open_here;

void turnstile_init(struct turnstile *t)
{
    *t = (struct turnstile){0};
    lock_init(&t->lock);
    cond_init(&t->writer_may);
    cond_init(&t->leader_may);
}

void turnstile_clear(struct turnstile *t)
{
    assert(!t->taken && !t->group);
    cond_clear(&t->leader_may);
    cond_clear(&t->writer_may);
    lock_clear(&t->lock);
}

uint64_t turnstile_flushes(struct turnstile *t)
{
    uint64_t n;

    lock_take(&t->lock);
    n = t->flushes;
    lock_drop(&t->lock);
    return n;
}

/* ---- the turn ---- */

static bool group_is_full(const struct turnstile *t) REQUIRES(&t->lock)
{
    return t->group && t->group->begun >= GROUP_MAX;
}

static void turn_take(struct turnstile *t)
{
    lock_take(&t->lock);
    t->queued++;
    while (t->taken || group_is_full(t))
        cond_wait(&t->writer_may, &t->lock);
    t->queued--;
    t->taken = true;
    lock_drop(&t->lock);
}

static void turn_drop_locked(struct turnstile *t) REQUIRES(&t->lock)
{
    t->taken = false;
    if (t->queued && !group_is_full(t))
        cond_wake_one(&t->writer_may);
    else
        cond_wake_one(&t->leader_may);
}

static void turn_drop(struct turnstile *t)
{
    lock_take(&t->lock);
    turn_drop_locked(t);
    lock_drop(&t->lock);
}

/* ---- groups: by the thread that has the turn, unless it says otherwise ---- */

static void group_free(struct group *g)
{
    cond_clear(&g->over);
    free(g);
}

static bool group_join(struct store *store, struct err *err)
{
    struct turnstile *t = &store->turnstile;
    struct group *fresh = NULL;

    if (!t->group) {
        if (!conn_run(store->writer, sql_begin, err))
            return false;
        fresh = mem_alloc(sizeof *fresh);
        cond_init(&fresh->over);
    }
    lock_take(&t->lock);
    if (fresh)
        t->group = fresh;
    t->group->begun++;
    lock_drop(&t->lock);
    return true;
}

static void group_end(struct turnstile *t, bool ok, const struct err *err) REQUIRES(&t->lock)
{
    struct group *g = TAKE(t->group);

    g->ended = true;
    g->ok = ok;
    if (!ok)
        g->err = *err;
    cond_wake_all(&g->over);
    cond_wake_one(&t->leader_may);
    if (!g->sealed)
        group_free(g);
}

static void group_fail(struct turnstile *t, const struct err *err)
{
    lock_take(&t->lock);
    group_end(t, false, err);
    lock_drop(&t->lock);
}

/* Rolling back needs no disk; if it fails all the same, nobody knows what the next COMMIT would
 * bring. */
static void undo_all(struct store *store)
{
    struct err err = {0};

    if (conn_run(store->writer, sql_rollback, &err))
        return;
    atomic_store(&store->poisoned, true);
    log_error("rollback: %s", err.detail);
}

/* After a failure or a rollback. If SQLite has rolled everything back by itself, the group is lost;
 * if nobody is in it whose work counts, it is closed, so that it holds up no checkpoint. */
static void group_tidy(struct store *store)
{
    struct turnstile *t = &store->turnstile;
    struct err err = {0};
    bool empty;

    lock_take(&t->lock);
    empty = t->group && !t->group->sealed;
    lock_drop(&t->lock);
    if (empty && !conn_is_idle(store->writer))
        undo_all(store);
    if (t->group && conn_is_idle(store->writer))
        group_fail(t, empty ? &err : &store->writer->last);
}

static bool group_flush(struct store *store, struct err *err)
{
    if (store_poison_check(store, err) && conn_run(store->writer, sql_commit, err))
        return true;
    if (!conn_is_idle(store->writer))
        undo_all(store);
    return false;
}

static void checkpoint_if_due(struct store *store)
{
    struct err err = {0};

    if (store->writer->wal_pages < CHECKPOINT_PAGES || store_is_poisoned(store))
        return;
    if (conn_checkpoint(store->writer, &err))
        reserve_refill(&store->reserve);
    else
        log_error("checkpoint: %s", err.detail);
}

/* Waits until those who queue have gone through, then takes the turn; false when the group has
 * ended meanwhile. */
static bool leader_turn_take(struct turnstile *t, const struct group *g) REQUIRES(&t->lock)
{
    while (!g->ended && (t->taken || (t->queued && !group_is_full(t))))
        cond_wait(&t->leader_may, &t->lock);
    if (g->ended)
        return false;
    t->taken = true;
    return true;
}

/* With the turn, which it gives away. The members are woken before the checkpoint. */
static void group_lead(struct store *store)
{
    struct turnstile *t = &store->turnstile;
    int64_t begin_us = clock_mono_us();
    struct err err = {0};
    bool ok = group_flush(store, &err);

    histogram_note(&t->flush, &histogram_flushes, clock_mono_us() - begin_us);
    lock_take(&t->lock);
    t->flushes++;
    t->commits += ok ? t->group->sealed : 0;
    group_end(t, ok, &err);
    lock_drop(&t->lock);
    checkpoint_if_due(store);
    turn_drop(t);
}

/* Gives the turn away and comes back when the group has ended. */
static bool group_wait(struct store *store, struct err *err)
{
    struct turnstile *t = &store->turnstile;
    struct group *g;
    bool leads, ok;

    lock_take(&t->lock);
    g = t->group;
    g->sealed++;
    leads = !g->led;
    g->led = true;
    turn_drop_locked(t);
    if (leads && leader_turn_take(t, g)) {
        lock_drop(&t->lock);
        group_lead(store);
        lock_take(&t->lock);
    }
    while (!g->ended)
        cond_wait(&g->over, &t->lock);
    ok = g->ok;
    if (!ok)
        *err = g->err;
    if (--g->sealed == 0)
        group_free(g);
    lock_drop(&t->lock);
    return ok;
}

/* ---- transactions ---- */

struct store_txn *store_begin(struct store *store, struct err *err)
{
    struct store_txn *txn;

    assert(!open_here && !read_is_open());
    turn_take(&store->turnstile);
    if (!store_poison_check(store, err) || !group_join(store, err)) {
        turn_drop(&store->turnstile);
        return NULL;
    }
    if (!conn_run(store->writer, sql_savepoint, err)) {
        group_tidy(store);
        turn_drop(&store->turnstile);
        return NULL;
    }
    txn = mem_alloc(sizeof *txn);
    txn->store = store;
    txn->conn = store->writer;
    open_here = txn;
    return txn;
}

static struct store *txn_free(struct store_txn **txn)
{
    struct store_txn *t = TAKE(*txn);
    struct store *store = t->store;

    assert(open_here == t);
    open_here = NULL;
    free(t);
    return store;
}

/* Takes the thread's own changes back and gives the turn away; if that fails, the whole group's. */
static void txn_undo(struct store *store)
{
    struct conn *conn = store->writer;
    struct err err = {0};

    if (!conn_is_idle(conn) &&
        (!conn_run(conn, sql_rollback_to, &err) || !conn_run(conn, sql_release, &err)) &&
        !conn_is_idle(conn))
        undo_all(store);
    group_tidy(store);
    turn_drop(&store->turnstile);
}

void store_rollback(struct store_txn **txn)
{
    if (*txn)
        txn_undo(txn_free(txn));
}

/* A failure after the fact is what a lost acknowledgement looks like: durable, but the caller
 * thinks otherwise. Only a store that is poisoned may behave so. */
static bool acknowledge(struct store *store, struct err *err)
{
    if (FAILPOINT("store.commit.after", err))
        return true;
    atomic_store(&store->poisoned, true);
    return false;
}

bool store_commit(struct store_txn **txn, struct err *err)
{
    struct store *store = txn_free(txn);
    struct conn *conn = store->writer;

    if (conn_is_idle(conn)) {
        *err = conn->last;
        txn_undo(store);
        return false;
    }
    if (!FAILPOINT("store.commit.before", err) || !conn_run(conn, sql_release, err)) {
        txn_undo(store);
        return false;
    }
    return group_wait(store, err) && acknowledge(store, err);
}
