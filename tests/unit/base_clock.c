/* Clocks: deadlines never turn negative, times are RFC 3339 in UTC. */
#include "tests/lib/harness.h"

#include "core/base/clock.h"

#include <stdlib.h>
#include <time.h>

static void a_time_is_shown_in_utc_with_milliseconds(void **state)
{
    char text[CLOCK_TEXT];

    setenv("TZ", "Pacific/Kiritimati", 1);
    tzset();
    clock_text(0, text);
    assert_string_equal(text, "1970-01-01T00:00:00.000Z");
    clock_text(1795223723007, text);
    assert_string_equal(text, "2026-11-21T01:15:23.007Z");
    clock_text(-1, text);
    assert_string_equal(text, "1969-12-31T23:59:59.999Z");
    clock_text(951782400000, text);
    assert_string_equal(text, "2000-02-29T00:00:00.000Z");
}

static void the_monotonic_clock_does_not_run_back(void **state)
{
    int64_t before = clock_mono_ms();

    for (int i = 0; i < 1000; i++) {
        int64_t now = clock_mono_ms();
        assert_true(now >= before);
        before = now;
    }
}

static void a_missed_deadline_has_nothing_left(void **state)
{
    assert_int_equal(clock_left_ms(clock_mono_ms() - 1), 0);
    assert_int_equal(clock_left_ms(0), 0);
    assert_in_range(clock_left_ms(clock_mono_ms() + 60000), 50000, 60000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_time_is_shown_in_utc_with_milliseconds),
        cmocka_unit_test(the_monotonic_clock_does_not_run_back),
        cmocka_unit_test(a_missed_deadline_has_nothing_left),
    };

    return cmocka_run_group_tests_name("base/clock", tests, NULL, NULL);
}
