/* Token buckets: bursts, rates, many keys. */
#include "tests/lib/harness.h"

#include "api/limit.h"

#include <stdio.h>

static struct limit limit;

static int begin(void **state)
{
    limit_init(&limit, 2, 10);
    return 0;
}

static int end(void **state)
{
    limit_clear(&limit);
    return 0;
}

static unsigned take(const char *key, unsigned times, int64_t now_ms)
{
    unsigned got = 0;

    for (unsigned i = 0; i < times; i++)
        got += limit_take(&limit, key, now_ms) == 0;
    return got;
}

static void a_burst_is_allowed_and_then_the_rate(void **state)
{
    assert_int_equal(take("a", 50, 1000), 10);
    assert_int_equal(take("a", 50, 1500), 1);
    assert_int_equal(take("a", 50, 6500), 10);
    assert_int_equal(take("a", 50, 1000000), 10); /* never more than the burst */
}

static void who_must_wait_is_told_how_long(void **state)
{
    take("a", 10, 0);
    assert_int_equal(limit_take(&limit, "a", 0), 1);
    limit_clear(&limit);
    limit_init(&limit, 1 / 60.0, 1);
    assert_int_equal(limit_take(&limit, "a", 0), 0);
    assert_in_range(limit_take(&limit, "a", 0), 60, 61);
    assert_int_equal(limit_take(&limit, "a", 61000), 0);
}

static void nobody_pays_for_another(void **state)
{
    assert_int_equal(take("a", 50, 0), 10);
    assert_int_equal(take("b", 50, 0), 10);
}

static void who_takes_much_at_once_waits_for_all_of_it(void **state)
{
    assert_int_equal(take("a", 1, 0), 1);
    limit_owe(&limit, "a", 29, 0); /* 20 more than there were */
    assert_int_equal(limit_take(&limit, "a", 0), 11);
    assert_int_equal(take("a", 50, 10000), 0);
    assert_int_equal(take("a", 50, 11000), 2);
    limit_owe(&limit, "b", 4, 0); /* one nobody knew before */
    assert_int_equal(take("b", 50, 0), 6);
}

static void no_rate_is_no_limit(void **state)
{
    limit_clear(&limit);
    limit_init(&limit, 0, 0);
    assert_int_equal(take("a", 100000, 0), 100000);
}

static void a_flood_of_keys_takes_no_more_memory_and_frees_nobody_who_is_busy(void **state)
{
    char key[32];

    assert_int_equal(take("busy", 50, 0), 10);
    for (unsigned i = 0; i < 3 * LIMIT_KEYS; i++) {
        snprintf(key, sizeof key, "key %u", i);
        assert_int_equal(limit_take(&limit, key, 0), 0);
    }
    assert_int_equal(take("busy", 50, 0), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_burst_is_allowed_and_then_the_rate),
        TEST(who_must_wait_is_told_how_long),
        TEST(who_takes_much_at_once_waits_for_all_of_it),
        TEST(nobody_pays_for_another),
        TEST(no_rate_is_no_limit),
        TEST(a_flood_of_keys_takes_no_more_memory_and_frees_nobody_who_is_busy),
    };

    return cmocka_run_group_tests_name("api/limit", tests, NULL, NULL);
}
