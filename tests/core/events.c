/* The event log with many readers: every number once and in order, whoever reads and however late,
 * and the store read once for all of them. */
#include "tests/lib/world.h"

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/core/parts.h"
#include "core/event/event.h"
#include "core/event/ring.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define READERS     200
#define PATIENCE_MS 20000

static struct world w;

static int setup(void **state)
{
    world_make(&w);
    return 0;
}

static int teardown(void **state)
{
    world_remove(&w);
    return 0;
}

/* 'n' events in one transaction, told when it is durable. */
static void tell(unsigned n, bool ring)
{
    struct uuid id = uuid_new();
    struct err err = {0};
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(w.core->store, &err);

    assert_non_null(txn);
    for (unsigned i = 0; i < n; i++)
        assert_true(event_add(txn, "test.told", "vm", &id, NULL, &err));
    assert_true(store_commit(&txn, &err));
    if (ring)
        events_ring(w.core);
}

struct reader {
    pthread_t thread;
    uint64_t after, until;
    bool ok; /* saw every number once, in order */
};

static void *read_on(void *arg)
{
    struct reader *r = arg;

    while (r->after < r->until) {
        struct event_line lines[32];
        struct err err = {0};
        uint64_t newest;
        bool gap;
        ssize_t n = event_wait(w.core, r->after, PATIENCE_MS, lines, 32, &gap, &newest, &err);

        r->ok = n > 0 && !gap;
        for (ssize_t i = 0; i < n; i++) {
            r->ok = r->ok && lines[i].seq == ++r->after;
            event_line_clear(&lines[i]);
        }
        if (!r->ok)
            break;
    }
    return NULL;
}

static void start_readers(struct reader *readers, uint64_t after, uint64_t until)
{
    struct err err = {0};

    for (unsigned i = 0; i < READERS; i++) {
        readers[i] = (struct reader){.after = after, .until = until};
        assert_true(thread_start(&readers[i].thread, "reader", read_on, &readers[i], &err));
    }
}

static void await_readers(struct reader *readers)
{
    for (unsigned i = 0; i < READERS; i++) {
        pthread_join(readers[i].thread, NULL);
        assert_true(readers[i].ok);
        assert_int_equal(readers[i].after, readers[i].until);
    }
}

static uint64_t looks(void)
{
    struct event_facts facts;

    event_facts(w.core, &facts);
    return facts.looks;
}

static void two_hundred_readers_cost_one_look_a_change(void **state)
{
    uint64_t begin = event_newest(w.core), before;
    struct reader readers[READERS];

    start_readers(readers, begin, begin + 100);
    before = looks();
    for (unsigned i = 0; i < 100; i++)
        tell(1, true);
    await_readers(readers);
    assert_in_range(looks() - before, 1, 100);
}

static void who_lags_behind_the_ring_reads_the_store_and_catches_up(void **state)
{
    uint64_t begin = event_newest(w.core);
    struct reader readers[READERS];

    tell(EVENT_RING_LINES + 500, true);
    start_readers(readers, begin, begin + EVENT_RING_LINES + 600);
    for (unsigned i = 0; i < 100; i++)
        tell(1, true);
    await_readers(readers);
}

static void a_restart_goes_on_with_the_next_number(void **state)
{
    uint64_t begin = event_newest(w.core);
    struct reader readers[READERS];

    tell(300, true);
    world_close(&w);
    assert_true(world_open(&w));
    assert_true(event_newest(w.core) >= begin + 300);
    start_readers(readers, begin, begin + 400);
    tell(100, true);
    await_readers(readers);
}

static void *tell_without_ringing(void *arg)
{
    tell(1, false);
    return arg;
}

static void a_change_that_never_rings_holds_nobody_up_for_long(void **state)
{
    uint64_t begin = event_newest(w.core);
    struct reader reader = {.after = begin, .until = begin + 2};
    struct err err = {0};
    pthread_t silent;

    assert_true(thread_start(&silent, "silent", tell_without_ringing, NULL, &err));
    pthread_join(silent, NULL);
    tell(1, true);
    read_on(&reader); /* its patience is longer than the hold */
    assert_true(reader.ok);
    assert_int_equal(reader.after, begin + 2);
}

static void a_number_from_the_future_is_a_gap(void **state)
{
    uint64_t newest, begin = event_newest(w.core);
    struct event_line line;
    struct err err = {0};
    bool gap;

    assert_int_equal(event_wait(w.core, begin + 1, 1000, &line, 1, &gap, &newest, &err), 0);
    assert_true(gap);
    assert_int_equal(newest, begin);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(two_hundred_readers_cost_one_look_a_change),
        TEST(who_lags_behind_the_ring_reads_the_store_and_catches_up),
        TEST(a_restart_goes_on_with_the_next_number),
        TEST(a_change_that_never_rings_holds_nobody_up_for_long),
        TEST(a_number_from_the_future_is_a_gap),
    };

    return cmocka_run_group_tests_name("core/events", tests, NULL, NULL);
}
