/* When a schedule takes a snapshot, and which stay. */
#include "tests/lib/harness.h"

#include "core/base/cleanup.h"
#include "core/snap/retention.h"

#include <string.h>

#define MINUTE INT64_C(60000)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define NOON   (20778 * DAY + 12 * HOUR) /* 2026-11-21, a Saturday */

static void names_say_when(void **state)
{
    char name[NAME_MAX_BYTES + 1];
    int64_t at = 0;

    retention_name(NOON + 90 * MINUTE + 59000, name);
    assert_string_equal(name, "auto-2026-11-21-1330");
    assert_true(retention_parse(name, &at));
    assert_true(at == NOON + 90 * MINUTE);
}

static void other_names_are_the_users(void **state)
{
    static const char *const names[] = {"auto",
                                        "auto-2026-11-21",
                                        "auto-2026-11-21-1330-x",
                                        "auto-2026-02-30-1330",
                                        "auto-2026-11-21-2460",
                                        "auto-0001-01-01-0000",
                                        "my-2026-11-21-1330",
                                        "auto-2026-1-21-1330"};
    int64_t at;

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_false(retention_parse(names[i], &at));
}

static void one_is_due_in_each_interval(void **state)
{
    const struct vm_schedule hourly = {.every_min = 60}, none = {0};
    int64_t taken = NOON + 5 * MINUTE;

    assert_true(schedule_is_due(&hourly, NULL, 0, NOON));
    assert_false(schedule_is_due(&none, NULL, 0, NOON));
    assert_false(schedule_is_due(&hourly, &taken, 1, NOON + 59 * MINUTE));
    assert_true(schedule_is_due(&hourly, &taken, 1, NOON + 60 * MINUTE));
    assert_true(schedule_is_due(&hourly, &taken, 1, NOON + 30 * DAY));
    assert_false(schedule_is_due(&hourly, &taken, 1, NOON - DAY)); /* a clock that was set back */
}

static void a_daily_one_has_its_time(void **state)
{
    const struct vm_schedule daily = {.every_min = 1440, .offset_min = 150};
    int64_t taken = NOON; /* after 02:30 of that day */

    assert_false(schedule_is_due(&daily, &taken, 1, NOON + 14 * HOUR)); /* 02:00 */
    assert_true(schedule_is_due(&daily, &taken, 1, NOON + 14 * HOUR + 30 * MINUTE));
}

static void as_text(const struct vm_schedule *s, const int64_t *taken, size_t n, char *out)
{
    bool stays[64];

    retention_choose(s, taken, n, stays);
    for (size_t i = 0; i < n; i++)
        out[i] = stays[i] ? 'x' : '.';
    out[n] = 0;
}

static void the_newest_of_each_interval_stay(void **state)
{
    const int64_t taken[] = {NOON + 30 * MINUTE, NOON,
                             NOON - HOUR,        NOON - 90 * MINUTE,
                             NOON - 13 * HOUR,   NOON - 30 * HOUR,
                             NOON - 31 * HOUR,   NOON - 6 * DAY,
                             NOON - 20 * DAY};
    char out[64];

    as_text(&(struct vm_schedule){.keep_last = 2}, taken, 9, out);
    assert_string_equal(out, "xx.......");
    as_text(&(struct vm_schedule){.keep_last = 1, .keep_hourly = 3}, taken, 9, out);
    assert_string_equal(out, "x.xx.....");
    as_text(&(struct vm_schedule){.keep_last = 1, .keep_daily = 3}, taken, 9, out);
    assert_string_equal(out, "x...x..x.");
    as_text(&(struct vm_schedule){.keep_last = 1, .keep_weekly = 3}, taken, 9, out);
    assert_string_equal(out, "x......xx");
    as_text(&(struct vm_schedule){.keep_last = 50}, taken, 9, out);
    assert_string_equal(out, "xxxxxxxxx");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_say_when),
        cmocka_unit_test(other_names_are_the_users),
        cmocka_unit_test(one_is_due_in_each_interval),
        cmocka_unit_test(a_daily_one_has_its_time),
        cmocka_unit_test(the_newest_of_each_interval_stay),
    };

    return cmocka_run_group_tests_name("unit/core_retention", tests, NULL, NULL);
}
