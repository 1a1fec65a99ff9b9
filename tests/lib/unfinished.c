/* See unfinished.h. */
#include "tests/lib/unfinished.h"

#include "core/base/clock.h"
#include "core/port/store.h"

#include <poll.h>

struct unfinished {
    struct store_txn *txn;
    struct uuid last;
    unsigned n;
};

static bool cancel(void *ctx, const struct job_record *record)
{
    struct unfinished *u = ctx;
    struct job_record row = *record;
    struct err err = {0};

    row.state = "cancelling";
    u->last = row.id;
    u->n++;
    return store_job_put(u->txn, &row, &err);
}

/* A daemon that was killed holds it for a moment yet. */
static struct store *open_surely(const char *state_dir)
{
    const int64_t deadline_ms = clock_mono_ms() + 10000;
    struct store *store;

    for (;;) {
        struct err err = {0};
        store = store_open(state_dir, &err);
        if (store)
            return store;
        if (clock_mono_ms() > deadline_ms)
            fail_msg("%s", err.detail);
        (void)poll(NULL, 0, 20); /* asked again until it is let go of */
    }
}

unsigned unfinished_cancel(const char *state_dir, struct uuid *last)
{
    const struct job_filter filter = {.open_only = true, .limit = 100};
    struct unfinished u = {0};
    struct err err = {0};
    struct store *store = open_surely(state_dir);

    u.txn = store_begin(store, &err);
    assert_non_null(u.txn);
    assert_true(store_job_each(store, &filter, cancel, &u, &err));
    assert_true(store_commit(&u.txn, &err));
    store_close(store);
    if (last)
        *last = u.last;
    return u.n;
}
