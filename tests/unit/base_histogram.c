/* Histograms: bounds are inclusive, counts add up. */
#include "tests/lib/harness.h"

#include "core/base/histogram.h"
#include "core/base/str.h"

#include <stdlib.h>
#include <string.h>

static void a_bound_belongs_to_its_bucket(void **state)
{
    const struct histogram_bounds *b = &histogram_requests;
    struct histogram h = {0};
    struct histogram_seen seen;

    histogram_note(&h, b, -5);
    histogram_note(&h, b, 1000);
    histogram_note(&h, b, 1001);
    histogram_note(&h, b, 999999999);
    histogram_read(&h, b, &seen);
    assert_int_equal(seen.upto[0], 2);
    assert_int_equal(seen.upto[1], 3);
    assert_int_equal(seen.upto[b->n - 1], 3);
    assert_int_equal(seen.upto[b->n], 4);
    assert_int_equal(seen.sum_us, 1000 + 1001 + 999999999);
}

/* The text that is shown for a bound is its value. */
static void bounds_ascend_and_say_what_they_are(void **state)
{
    const struct histogram_bounds *all[] = {&histogram_requests, &histogram_operations,
                                            &histogram_flushes};

    for (unsigned i = 0; i < ARRAY_LEN(all); i++) {
        assert_true(all[i]->n < HISTOGRAM_MAX);
        assert_string_equal(all[i]->le[all[i]->n], "+Inf");
        for (unsigned k = 0; k < all[i]->n; k++) {
            assert_true(k == 0 || all[i]->us[k] > all[i]->us[k - 1]);
            assert_int_equal((int64_t)(strtod(all[i]->le[k], NULL) * 1e6 + 0.5), all[i]->us[k]);
            assert_non_null(strchr(all[i]->le[k], '.')); /* OpenMetrics: a canonical float */
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bound_belongs_to_its_bucket),
        cmocka_unit_test(bounds_ascend_and_say_what_they_are),
    };

    return cmocka_run_group_tests_name("base/histogram", tests, NULL, NULL);
}
