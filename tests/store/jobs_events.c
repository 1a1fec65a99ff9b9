/* Jobs and events: order, filters, trimming, numbers without gaps. */
#include "tests/store/with_store.h"

#include <stdio.h>
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

static void commit_job(const struct job_record *job)
{
    struct err err = {0};
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(store, &err);

    MUST(txn && store_job_put(txn, job, &err) && store_commit(&txn, &err));
}

struct seen {
    unsigned n;
    int64_t created_ms[64];
    struct uuid ids[64];
    struct job_record last;
    char texts[256];
};

static bool see_job(void *ctx, const struct job_record *job)
{
    struct seen *seen = ctx;

    assert_in_range(seen->n, 0, 63);
    seen->created_ms[seen->n] = job->created_ms;
    seen->ids[seen->n++] = job->id;
    seen->last = *job;
    snprintf(seen->texts, sizeof seen->texts, "%s|%s|%s|%s|%s|%s|%s|%s|%s|%s|%s|%s", job->kind,
             job->object_type ? job->object_type : "-", job->object_name ? job->object_name : "-",
             job->principal, job->request_id, job->args, job->state, job->step ? job->step : "-",
             job->result ? job->result : "-", job->error_code ? job->error_code : "-",
             job->error_field ? job->error_field : "-",
             job->error_detail ? job->error_detail : "-");
    return true;
}

static struct seen list(const struct job_filter *filter)
{
    struct seen seen = {0};
    struct err err = {0};

    MUST(store_job_each(store, filter, see_job, &seen, &err));
    return seen;
}

static void a_job_comes_back_with_its_progress_and_error(void **state)
{
    struct job_record job = some_job(10, "queued");
    struct seen seen = {0};
    struct err err = {0};
    struct uuid other = uuid_new();

    job.object_type = "vm";
    job.object = uuid_new();
    job.object_name = "hello";
    commit_job(&job);
    MUST(store_job_get(store, &job.id, see_job, &seen, &err));
    assert_string_equal(seen.texts, "vm.start|vm|hello|token:ci|r-1|{}|queued|-|-|-|-|-");
    assert_true(uuid_eq(&seen.last.object, &job.object));

    job.state = "failed";
    job.step = "launch";
    job.result = "{\"a\":1}";
    job.error_code = "no-space";
    job.error_field = "/x";
    job.error_detail = "full";
    job.done = 11;
    job.total = 12;
    job.started_ms = 13;
    job.ended_ms = 14;
    commit_job(&job);
    MUST(store_job_get(store, &job.id, see_job, &seen, &err));
    assert_string_equal(
        seen.texts, "vm.start|vm|hello|token:ci|r-1|{}|failed|launch|{\"a\":1}|no-space|/x|full");
    assert_int_equal(seen.last.done, 11);
    assert_int_equal(seen.last.total, 12);
    assert_int_equal(seen.last.created_ms, 10);
    assert_int_equal(seen.last.started_ms, 13);
    assert_int_equal(seen.last.ended_ms, 14);
    MUST_FAIL(store_job_get(store, &other, see_job, &seen, &err), ERR_NOT_FOUND);
}

static void pages_of_jobs_meet_without_gap_or_overlap(void **state)
{
    struct job_filter filter = {.limit = 7};
    struct uuid met[40];
    unsigned n = 0;

    for (unsigned i = 0; i < 40; i++) { /* ten each share a millisecond */
        struct job_record job = some_job(100 + i / 10, "queued");
        commit_job(&job);
    }
    for (;;) {
        struct seen page = list(&filter);
        if (!page.n)
            break;
        for (unsigned i = 0; i < page.n; i++, n++) {
            for (unsigned k = 0; k < n; k++)
                assert_false(uuid_eq(&met[k], &page.ids[i]));
            assert_in_range(n, 0, 39);
            assert_int_equal(page.created_ms[i], 100 + (39 - n) / 10); /* newest first */
            met[n] = page.ids[i];
        }
        filter.before_ms = page.created_ms[page.n - 1];
        filter.before_id = page.ids[page.n - 1];
    }
    assert_int_equal(n, 40);
}

static void filters_narrow_to_a_vm_and_to_what_is_open(void **state)
{
    static const char *const states[] = {"queued",    "running", "cancelling", "succeeded",
                                         "cancelled", "failed",  "interrupted"};
    struct uuid vm = uuid_new(), other = uuid_new();

    for (unsigned i = 0; i < 14; i++) {
        struct job_record job = some_job(i, states[i % 7]);
        job.object_type = "vm";
        job.object = i < 7 ? vm : other;
        commit_job(&job);
    }
    assert_int_equal(list(&(struct job_filter){.limit = 50}).n, 14);
    assert_int_equal(list(&(struct job_filter){.limit = 3}).n, 3);
    assert_int_equal(list(&(struct job_filter){.limit = 0}).n, 0);
    assert_int_equal(list(&(struct job_filter){.limit = 50, .object = &vm}).n, 7);
    assert_int_equal(list(&(struct job_filter){.limit = 50, .open_only = true}).n, 8);
    assert_int_equal(list(&(struct job_filter){.limit = 50, .open_only = true, .object = &other}).n,
                     4);
}

static void lists_of_jobs_walk_an_index(void **state)
{
    static const char *const queries[] = {
        "EXPLAIN QUERY PLAN SELECT * FROM job WHERE (created_ms, id) < (5, x'00')"
        " ORDER BY created_ms DESC, id DESC LIMIT 5",
        "EXPLAIN QUERY PLAN SELECT * FROM job WHERE (created_ms, id) < (5, x'00')"
        " AND state NOT IN ('succeeded', 'failed', 'cancelled')"
        " ORDER BY created_ms DESC, id DESC LIMIT 5",
        "EXPLAIN QUERY PLAN SELECT * FROM job WHERE (created_ms, id) < (5, x'00')"
        " AND object = x'00' ORDER BY created_ms DESC, id DESC LIMIT 5",
    };
    static const char *const indexes[] = {"job_newest", "job_open", "job_object"};

    for (unsigned i = 0; i < 3; i++) {
        CLEANUP(mem_freep) char *plan = NULL;
        CLEANUP(mem_freep) char *path = str_format("%s/vmmd.db", dir);
        sqlite3_stmt *stmt;
        sqlite3 *db;
        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_prepare_v2(db, queries[i], -1, &stmt, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
        plan = str_dup((const char *)sqlite3_column_text(stmt, 3));
        assert_int_equal(sqlite3_step(stmt), SQLITE_DONE); /* no sorting step follows */
        sqlite3_finalize(stmt);
        sqlite3_close(db);
        if (!strstr(plan, indexes[i]))
            fail_msg("%s: %s", indexes[i], plan);
    }
}

static void trimming_spares_open_jobs_and_those_a_file_names(void **state)
{
    struct pool_record pool = {.id = uuid_new(), .name = "p", .root = "main"};
    struct job_record open = some_job(1, "running"), named = some_job(2, "failed");
    struct file_record file = {.id = uuid_new(),
                               .pool = pool.id,
                               .name = "x",
                               .role = "disk",
                               .state = "trash",
                               .format = "qcow2",
                               .job = named.id};
    bool more = false;
    struct err err = {0};
    struct store_txn *txn;
    struct seen seen;

    commit_job(&open);
    commit_job(&named);
    for (int i = 0; i < 10; i++) {
        struct job_record job = some_job(10 + i, "succeeded");
        commit_job(&job);
    }
    MUST(txn = store_begin(store, &err));
    MUST(store_pool_put(txn, &pool, &err) && store_file_put(txn, &file, &err));
    MUST(store_job_trim(txn, 3, &more, &err));
    MUST(store_commit(&txn, &err));
    seen = list(&(struct job_filter){.limit = 50});
    assert_int_equal(seen.n, 5);
    assert_int_equal(seen.created_ms[0], 19);
    assert_int_equal(seen.created_ms[2], 17);
    assert_int_equal(seen.created_ms[3], 2);
    assert_int_equal(seen.created_ms[4], 1);
}

/* ---- events ---- */

struct events_seen {
    unsigned n;
    uint64_t first, last;
    char data[64];
};

static bool see_event(void *ctx, const struct event_record *event)
{
    struct events_seen *seen = ctx;

    if (seen->n++ == 0)
        seen->first = event->seq;
    else
        assert_int_equal(event->seq, seen->last + 1);
    seen->last = event->seq;
    str_copy(seen->data, sizeof seen->data, event->data);
    return true;
}

static struct events_seen events_after(uint64_t after, unsigned limit)
{
    struct events_seen seen = {0};
    struct err err = {0};

    MUST(store_event_each(store, after, limit, see_event, &seen, &err));
    return seen;
}

static void assert_bounds(uint64_t oldest, uint64_t newest)
{
    uint64_t o = 99, n = 99;
    struct err err = {0};

    MUST(store_event_bounds(store, &o, &n, &err));
    assert_int_equal(o, oldest);
    assert_int_equal(n, newest);
}

static void an_event_that_was_rolled_back_leaves_no_gap(void **state)
{
    struct err err = {0};
    struct store_txn *txn;
    uint64_t seq;

    assert_bounds(0, 0);
    assert_int_equal(commit_event(store, "{\"n\":1}", &err), 1);
    MUST(txn = store_begin(store, &err));
    MUST(add_event(txn, "{}", &seq, &err));
    assert_int_equal(seq, 2);
    store_rollback(&txn);
    MUST_FAIL(commit_event(store, "no json", &err), ERR_INTERNAL);
    assert_int_equal(commit_event(store, "{\"n\":2}", &err), 2);
    assert_bounds(1, 2);
    assert_string_equal(events_after(1, 10).data, "{\"n\":2}");
}

static void events_are_read_from_any_number_on(void **state)
{
    struct err err = {0};
    struct events_seen seen;

    for (int i = 0; i < 20; i++)
        assert_int_equal(commit_event(store, "{}", &err), i + 1);
    seen = events_after(5, 4);
    assert_int_equal(seen.n, 4);
    assert_int_equal(seen.first, 6);
    assert_int_equal(seen.last, 9);
    assert_int_equal(events_after(20, 10).n, 0);
    assert_int_equal(events_after(UINT64_MAX, 10).n, 0);
    assert_int_equal(events_after(0, 1000).n, 20);
}

static void many_events_are_trimmed_some_at_a_time(void **state)
{
    struct err err = {0};
    unsigned rounds = 0;
    bool more = true;

    for (int i = 0; i < 2 * STORE_TRIM_ROWS + 10; i++)
        assert_true(commit_event(store, "{}", &err));
    for (; more; rounds++) {
        struct store_txn *txn;

        more = false;
        MUST(txn = store_begin(store, &err));
        MUST(store_event_trim(txn, 5, &more, &err) && store_commit(&txn, &err));
        assert_bounds(rounds < 2 ? (rounds + 1) * STORE_TRIM_ROWS + 1 : 2 * STORE_TRIM_ROWS + 6,
                      2 * STORE_TRIM_ROWS + 10);
    }
    assert_int_equal(rounds, 3);
}

static void trimmed_events_are_never_numbered_again(void **state)
{
    bool more = false;
    struct err err = {0};
    struct store_txn *txn;

    for (int i = 0; i < 20; i++)
        assert_true(commit_event(store, "{}", &err));
    MUST(txn = store_begin(store, &err));
    MUST(store_event_trim(txn, 5, &more, &err) && store_commit(&txn, &err));
    assert_bounds(16, 20);
    MUST(txn = store_begin(store, &err));
    MUST(store_event_trim(txn, 0, &more, &err) && store_commit(&txn, &err));
    assert_bounds(0, 0);
    assert_int_equal(commit_event(store, "{}", &err), 21);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(a_job_comes_back_with_its_progress_and_error),
        T(pages_of_jobs_meet_without_gap_or_overlap),
        T(filters_narrow_to_a_vm_and_to_what_is_open),
        T(lists_of_jobs_walk_an_index),
        T(trimming_spares_open_jobs_and_those_a_file_names),
        T(an_event_that_was_rolled_back_leaves_no_gap),
        T(events_are_read_from_any_number_on),
        T(many_events_are_trimmed_some_at_a_time),
        T(trimmed_events_are_never_numbered_again),
    };

    return cmocka_run_group_tests_name("store/jobs_events", tests, NULL, NULL);
}
