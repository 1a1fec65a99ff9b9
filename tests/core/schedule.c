/* Snapshots by schedule on the fake backend, with a clock that the test sets. */
#include "tests/lib/world_acts.h"

#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/event/event.h"
#include "core/snap/schedule.h"
#include "core/snap/snap.h"

#include <string.h>

#define HOUR   INT64_C(3600000)
#define DISKS  "\"disks\":[{\"size_bytes\":1048576}]"
#define OFTEN  DISKS ",\"snapshot_schedule\":{\"every_min\":10,\"keep_last\":1}"
#define HOURLY DISKS ",\"snapshot_schedule\":{\"every_min\":60,\"keep_last\":2,\"keep_daily\":2}"

static struct world w;
static int64_t
    start_ms; /* 00:00 UTC of a day far off, so that the daemon's own clock never comes to it */

static int setup(void **state)
{
    world_make(&w);
    start_ms = (clock_wall_ms() / (24 * HOUR) + 1000) * 24 * HOUR;
    return 0;
}

static int teardown(void **state)
{
    world_remove(&w);
    return 0;
}

static void run_with(const char *schedule)
{
    world_create(&w, "web", schedule);
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
}

/* What begins then has ended when it returns. */
static void at_minute(unsigned minute)
{
    schedules_look(w.core, start_ms + minute * HOUR / 60);
    world_settle(&w, "web");
}

static void at_hour(unsigned hour)
{
    at_minute(hour * 60);
}

/* Lets the schedule delete until there is nothing more to do. */
static void tidy(unsigned hour)
{
    for (unsigned i = 0; i < 6; i++)
        at_hour(hour);
}

/* Two letters of the name of each, by name; of those it took from the 'at'th on. */
static const char *letters(size_t at)
{
    static char text[256];
    CLEANUP(strbuf_clear) struct strbuf out = {0};
    CLEANUP(query_clear) struct query query = {0};
    CLEANUP(json_decrefp) json_t *list = NULL;
    const struct query_ask ask = {.order = "name", .page_size = 100};
    struct err err = {0};
    const json_t *one;
    size_t i;

    assert_true(query_parse(&schema_snapshot, &ask, &query, &err));
    assert_true(snapshot_list(w.core, "web", &query, &out, &err));
    list = json_loadb(out.data, out.len, 0, NULL);
    text[0] = 0;
    json_array_foreach (json_object_get(list, "items"), i, one) {
        const char *name = json_get_text(one, "name");
        size_t len = strlen(text);
        snprintf(text + len, sizeof text - len, "%s%.2s", len ? "," : "",
                 str_starts(name, "auto-") ? name + at : name);
    }
    return text;
}

/* "00,01" */
static const char *hours(void)
{
    return letters(strlen("auto-2026-11-21-"));
}

#ifdef VMMD_FAILPOINTS
static const char *minutes(void)
{
    return letters(strlen("auto-2026-11-21-00"));
}
#endif

static void one_an_hour_and_the_oldest_go(void **state)
{
    run_with(HOURLY);
    at_hour(1);
    at_hour(1);
    at_hour(2);
    assert_string_equal(hours(), "01,02");
    at_hour(3);
    tidy(3);
    assert_string_equal(hours(), "02,03");
    at_hour(25); /* the next day at 1: after a day without a daemon one is taken, not 22 */
    tidy(25);
    assert_string_equal(hours(), "03,01");
    at_hour(26);
    tidy(26);
    assert_string_equal(hours(), "03,01,02"); /* 03 is the newest of its day */
}

static void a_renamed_one_is_kept(void **state)
{
    CLEANUP(strbuf_clear) struct strbuf ignored = {0};
    struct err err = {0};
    CLEANUP(json_decrefp) json_t *done = NULL;
    char name[64];

    run_with(HOURLY);
    at_hour(1);
    {
        CLEANUP(json_decrefp) json_t *s = NULL;
        char text[CLOCK_TEXT];
        clock_text(start_ms, text);
        snprintf(name, sizeof name, "auto-%.10s-0100", text);
        s = snapshot_show(w.core, "web", name, &err);
        assert_non_null(s);
        assert_string_equal(json_get_text(s, "notes"), "taken by the schedule");
    }
    done = snapshot_edit(w.core, "web", name, "zz-mine", NULL, &world_admin, &err);
    assert_non_null(done);
    for (unsigned hour = 2; hour < 6; hour++) {
        at_hour(hour);
        tidy(hour);
    }
    assert_string_equal(hours(), "04,05,zz");
}

static void a_vm_that_stays_off_has_one(void **state)
{
    world_create(&w, "web", HOURLY);
    at_hour(1);
    at_hour(2);
    at_hour(30);
    assert_string_equal(hours(), "01");
}

static void without_a_schedule_there_are_none(void **state)
{
    world_create(&w, "web", DISKS);
    at_hour(1);
    assert_string_equal(hours(), "");
}

#ifdef VMMD_FAILPOINTS
static void one_that_cannot_be_deleted_keeps_no_other(void **state)
{
    run_with(OFTEN);
    at_minute(10);
    at_minute(20);
    failpoint_arm("snapshot.delete.commit=fail");
    at_minute(20);
    failpoint_arm(NULL);
    assert_string_equal(minutes(), "10,20");
    at_minute(30);
    at_minute(30);
    assert_string_equal(minutes(), "10,30");
    at_minute(40);
    at_minute(40);
    assert_string_equal(minutes(), "10,40");
    at_minute(49); /* not yet */
    assert_string_equal(minutes(), "10,40");
    at_minute(90); /* an hour after it was seen to be still there */
    at_minute(90);
    assert_string_equal(minutes(), "40,30");
    at_minute(90);
    assert_string_equal(minutes(), "30");
}

/* As when there are as many as there can be. */
static void what_cannot_be_taken_keeps_nothing_from_being_deleted(void **state)
{
    run_with(OFTEN);
    at_minute(10);
    at_minute(20);
    failpoint_arm("vm.snapshot.rows=fail");
    at_minute(30);
    failpoint_arm(NULL);
    assert_string_equal(minutes(), "20");
    at_minute(31);
    assert_string_equal(minutes(), "20");
    at_minute(40);
    assert_string_equal(minutes(), "20,40");
}

static unsigned events(const char *type)
{
    struct event_line lines[128];
    struct err err = {0};
    unsigned found = 0;
    uint64_t newest;
    bool gap;
    ssize_t n = event_wait(w.core, 0, 0, lines, 128, &gap, &newest, &err);

    assert_true(n >= 0 && n < 128);
    for (ssize_t i = 0; i < n; i++) {
        found += str_eq(lines[i].type, type);
        event_line_clear(&lines[i]);
    }
    return found;
}

/* As when the pool is full: the request is taken, and its operation fails. */
static void what_fails_under_way_keeps_nothing_from_being_deleted(void **state)
{
    const int64_t deadline = clock_mono_ms() + 10000;

    run_with(OFTEN);
    at_minute(10);
    at_minute(20);
    assert_string_equal(minutes(), "10,20");
    failpoint_arm("vm.snapshot.files=fail");
    at_minute(30);
    assert_string_equal(minutes(), "10,20");
    while (!events("snapshot.missed") && clock_mono_ms() < deadline)
        at_minute(30); /* its VM is free before its end is known */
    at_minute(31);
    failpoint_arm(NULL);
    assert_string_equal(minutes(), "20");
    assert_int_equal(events("snapshot.missed"), 1);
    at_minute(40);
    assert_string_equal(minutes(), "20,40");
}

/* That was no failure: it is due again. */
static void one_that_is_deleted_at_once_is_taken_again(void **state)
{
    const int64_t deadline = clock_mono_ms() + 10000;
    char text[CLOCK_TEXT], name[64];

    run_with(OFTEN);
    at_minute(10);
    clock_text(start_ms, text);
    snprintf(name, sizeof name, "auto-%.10s-0010", text);
    assert_string_equal(world_drop(&w, "web", name), "succeeded");
    while (!*minutes() && clock_mono_ms() < deadline)
        at_minute(11);
    assert_string_equal(minutes(), "11");
    assert_int_equal(events("snapshot.missed"), 0);
}
#endif

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(one_an_hour_and_the_oldest_go),
        T(a_renamed_one_is_kept),
        T(a_vm_that_stays_off_has_one),
        T(without_a_schedule_there_are_none),
#ifdef VMMD_FAILPOINTS
        T(one_that_cannot_be_deleted_keeps_no_other),
        T(what_cannot_be_taken_keeps_nothing_from_being_deleted),
        T(what_fails_under_way_keeps_nothing_from_being_deleted),
        T(one_that_is_deleted_at_once_is_taken_again),
#endif
    };

    schedules_stop_clock();
    return cmocka_run_group_tests_name("core/schedule", tests, NULL, NULL);
}
