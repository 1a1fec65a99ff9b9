/* Transactions and group commit: neighbours in a group do not disturb each other, many threads
 * share a flush, and nobody hears "true" for what is not on the disk. */
#include "tests/store/with_store.h"

#include "core/base/failpoint.h"
#include "store/db.h"
#include "store/vfs.h"

#include <sched.h>
#include <string.h>

static char *dir;
static struct store *store;

static int set_up(void **state)
{
    dir = tmp_dir_make();
    store = open_store(dir);
    return 0;
}

static int tear_down(void **state)
{
    store_close(store);
    tmp_dir_remove(dir);
    return 0;
}

static uint64_t newest_event(void)
{
    uint64_t oldest, newest;
    struct err err = {0};

    MUST(store_event_bounds(store, &oldest, &newest, &err));
    return newest;
}

/* ---- one thread ---- */

static void nothing_is_seen_before_its_commit(void **state)
{
    struct err err = {0};
    struct store_txn *txn;

    MUST(txn = store_begin(store, &err));
    MUST(add_event(txn, "{}", NULL, &err));
    assert_int_equal(newest_event(), 0);
    MUST(store_commit(&txn, &err));
    assert_null(txn);
    assert_int_equal(newest_event(), 1);
}

static void a_scope_that_is_left_early_rolls_back(void **state)
{
    struct err err = {0};

    for (int i = 0; i < 3; i++) {
        CLEANUP(store_rollback) struct store_txn *txn = store_begin(store, &err);
        MUST(txn && add_event(txn, "{}", NULL, &err));
    }
    assert_int_equal(newest_event(), 0);
    assert_int_equal(turnstile_flushes(&store->turnstile), 0);
}

static void a_lone_thread_gets_a_flush_a_commit(void **state)
{
    const uint64_t syncs = vfs_syncs(store->vfs);
    struct err err = {0};

    for (int i = 0; i < 20; i++)
        assert_true(commit_event(store, "{}", &err));
    assert_int_equal(turnstile_flushes(&store->turnstile), 20);
    assert_true(vfs_syncs(store->vfs) - syncs >= 20);
}

static void an_empty_transaction_commits(void **state)
{
    struct err err = {0};
    struct store_txn *txn;

    MUST(txn = store_begin(store, &err));
    MUST(store_commit(&txn, &err));
}

static void a_failed_statement_spoils_only_itself(void **state)
{
    struct err err = {0};
    struct store_txn *txn;

    MUST(txn = store_begin(store, &err));
    MUST(add_event(txn, "{}", NULL, &err));
    MUST_FAIL(add_event(txn, "no json", NULL, &err), ERR_INTERNAL);
    MUST(store_commit(&txn, &err));
    assert_int_equal(newest_event(), 1);
}

/* ---- several threads in one group ---- */

#define THREADS 16

struct member {
    pthread_t thread;
    unsigned index, commits;
    bool roll_back, ok;
    struct err err;
};

static void *run_member(void *arg)
{
    struct member *m = arg;

    for (unsigned i = 0; i < m->commits; i++) {
        CLEANUP(mem_freep) char *data = str_format("{\"member\":%u}", m->index);
        CLEANUP(store_rollback) struct store_txn *txn = store_begin(store, &m->err);
        m->ok = txn && add_event(txn, data, NULL, &m->err);
        if (m->ok && !m->roll_back)
            m->ok = store_commit(&txn, &m->err);
        if (!m->ok)
            break;
    }
    return NULL;
}

static void start(struct member *m, unsigned n, unsigned commits)
{
    struct err err = {0};

    for (unsigned i = 0; i < n; i++) {
        m[i].index = i;
        m[i].commits = commits;
        MUST(thread_start(&m[i].thread, "member", run_member, &m[i], &err));
    }
}

static void join(struct member *m, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(pthread_join(m[i].thread, NULL), 0);
}

static void await_queue(unsigned n)
{
    struct turnstile *t = &store->turnstile;
    const int64_t deadline = clock_mono_ms() + 20000;
    unsigned queued;

    do {
        sched_yield();
        lock_take(&t->lock);
        queued = t->queued;
        lock_drop(&t->lock);
        assert_true(clock_mono_ms() < deadline);
    } while (queued != n);
}

/* Lets 'n' threads queue behind a transaction of our own, which is then rolled back. */
static void run_as_one_group(struct member *m, unsigned n)
{
    struct err err = {0};
    struct store_txn *txn;

    MUST(txn = store_begin(store, &err));
    start(m, n, 1);
    await_queue(n);
    store_rollback(&txn);
    join(m, n);
}

static void those_who_queue_share_one_flush(void **state)
{
    struct member m[THREADS] = {0};
    uint64_t syncs;

    syncs = vfs_syncs(store->vfs);
    run_as_one_group(m, THREADS);
    for (unsigned i = 0; i < THREADS; i++)
        assert_true(m[i].ok);
    assert_int_equal(turnstile_flushes(&store->turnstile), 1);
    assert_in_range(vfs_syncs(store->vfs) - syncs, 1, 3);
    assert_int_equal(newest_event(), THREADS);
}

static bool sum_members(void *ctx, const struct event_record *event)
{
    unsigned *seen = ctx;

    seen[strtoul(event->data + strlen("{\"member\":"), NULL, 10)]++;
    return true;
}

static void a_neighbour_that_rolls_back_takes_only_its_own_away(void **state)
{
    struct member m[THREADS] = {0};
    unsigned seen[THREADS] = {0};
    struct err err = {0};

    for (unsigned i = 0; i < THREADS; i++)
        m[i].roll_back = i % 2;
    run_as_one_group(m, THREADS);
    MUST(store_event_each(store, 0, 100, sum_members, seen, &err));
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(seen[i], m[i].roll_back ? 0 : 1);
    assert_int_equal(newest_event(), THREADS / 2); /* numbered without gaps all the same */
}

static double per_second(unsigned commits, int64_t ms)
{
    return commits * 1000.0 / (double)(ms ? ms : 1);
}

static void sixteen_threads_need_fewer_flushes_than_commits(void **state)
{
    const unsigned each = 100;
    struct member one = {0}, m[THREADS] = {0};
    int64_t began_ms = clock_mono_ms(), one_ms;
    uint64_t flushes;

    start(&one, 1, each * 4);
    join(&one, 1);
    one_ms = clock_mono_ms() - began_ms;
    assert_int_equal(turnstile_flushes(&store->turnstile), each * 4);

    began_ms = clock_mono_ms();
    start(m, THREADS, each);
    join(m, THREADS);
    flushes = turnstile_flushes(&store->turnstile) - each * 4;
    for (unsigned i = 0; i < THREADS; i++)
        assert_true(m[i].ok);
    print_message("1 thread: %.0f commits/s; %d threads: %.0f commits/s, %.1f commits a flush\n",
                  per_second(each * 4, one_ms), THREADS,
                  per_second(each * THREADS, clock_mono_ms() - began_ms),
                  (double)(each * THREADS) / (double)flushes);
    assert_int_equal(newest_event(), each * (THREADS + 4));
    assert_true(flushes < each * THREADS);
}

/* Members come and go while others roll back over and over, and readers look on. */
struct onlooker {
    pthread_t thread;
    uint64_t until;
    bool ok;
};

static void *look_on(void *arg)
{
    struct onlooker *o = arg;
    uint64_t last = 0, oldest, newest = 0;
    struct err err = {0};

    o->ok = true;
    while (o->ok && last < o->until) {
        o->ok = store_event_bounds(store, &oldest, &newest, &err) && newest >= last;
        last = newest;
    }
    return NULL;
}

static void readers_never_wait_for_writers(void **state)
{
    const unsigned each = 60, n_onlookers = READERS_MAX + 4;
    struct onlooker onlookers[READERS_MAX + 4] = {0};
    struct member m[THREADS] = {0};
    struct err err = {0};

    for (unsigned i = 0; i < THREADS; i++)
        m[i].roll_back = i % 2;
    for (unsigned i = 0; i < n_onlookers; i++) {
        onlookers[i].until = each * (THREADS / 2);
        MUST(thread_start(&onlookers[i].thread, "reader", look_on, &onlookers[i], &err));
    }
    start(m, THREADS, each);
    join(m, THREADS);
    for (unsigned i = 0; i < n_onlookers; i++) {
        assert_int_equal(pthread_join(onlookers[i].thread, NULL), 0);
        assert_true(onlookers[i].ok);
    }
    assert_int_equal(newest_event(), each * (THREADS / 2));
    assert_in_range(store->readers.n_open, 1, READERS_MAX);
}

static void the_wal_is_moved_into_the_file_as_it_grows(void **state)
{
    struct err err = {0};

    for (int i = 0; i < 1500; i++)
        assert_true(commit_event(store, "{}", &err));
    assert_in_range(store->writer->wal_pages, 1, 1100);
    assert_raw(dir, "SELECT count(*) FROM event", "1500");
}

/* ---- failures ---- */

#ifdef VMMD_FAILPOINTS
static void a_failure_before_the_commit_changes_nothing(void **state)
{
    struct err err = {0};

    failpoint_arm("store.commit.before=fail");
    MUST_FAIL(commit_event(store, "{}", &err), ERR_INTERNAL);
    failpoint_arm(NULL);
    assert_false(store_is_poisoned(store));
    assert_int_equal(commit_event(store, "{}", &err), 1);
}

static void a_lost_acknowledgement_poisons(void **state)
{
    struct err err = {0};

    failpoint_arm("store.commit.after=fail");
    MUST_FAIL(commit_event(store, "{}", &err), ERR_INTERNAL);
    failpoint_arm(NULL);
    assert_true(store_is_poisoned(store));
    store_close(store);
    store = open_store(dir);
    assert_int_equal(newest_event(), 1); /* it was durable */
}

static void a_flush_that_fails_fails_for_the_whole_group(void **state)
{
    struct member m[THREADS] = {0};
    struct err err = {0};
    struct store_txn *txn;

    MUST(txn = store_begin(store, &err));
    start(m, THREADS, 1);
    await_queue(THREADS);
    failpoint_arm("store.sync=fail");
    store_rollback(&txn);
    join(m, THREADS);
    failpoint_arm(NULL);
    for (unsigned i = 0; i < THREADS; i++) {
        assert_false(m[i].ok);
        assert_int_equal(m[i].err.code, ERR_INTERNAL);
    }
    assert_true(store_is_poisoned(store));
}
#endif

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(nothing_is_seen_before_its_commit),
        T(a_scope_that_is_left_early_rolls_back),
        T(a_lone_thread_gets_a_flush_a_commit),
        T(an_empty_transaction_commits),
        T(a_failed_statement_spoils_only_itself),
        T(those_who_queue_share_one_flush),
        T(a_neighbour_that_rolls_back_takes_only_its_own_away),
        T(sixteen_threads_need_fewer_flushes_than_commits),
        T(readers_never_wait_for_writers),
        T(the_wal_is_moved_into_the_file_as_it_grows),
#ifdef VMMD_FAILPOINTS
        T(a_failure_before_the_commit_changes_nothing),
        T(a_lost_acknowledgement_poisons),
        T(a_flush_that_fails_fails_for_the_whole_group),
#endif
    };

    return cmocka_run_group_tests_name("store/group", tests, NULL, NULL);
}
