/* How often the helper answers. */
#include "tests/lib/harness.h"

#include "vmmd/priv/permit.h"

static const struct {
    enum permit_phase phases;
    uint32_t at_once, per_s;
} rows[] = {
#define X(name, phases, at_once, per_s) [PRIV_##name] = {phases, at_once, per_s},
    PRIV_PERMITS(X)
#undef X
};

/* How many are answered at that time. */
static uint32_t take_all(enum priv_op op, struct permit_use *use, int64_t now_ms)
{
    struct err err = {0};
    uint32_t n = 0;

    while (n < 100000 && permit_take(op, rows[op].phases, use, now_ms, &err))
        n++;
    assert_int_equal(err.code, ERR_RATE_LIMITED);
    return n;
}

static void each_operation_has_its_burst_and_its_rate(void **state)
{
    for (int i = PRIV_OP_NONE + 1; i < PRIV_OP_COUNT; i++) {
        enum priv_op op = (enum priv_op)i;
        struct permit_use use = {0};

        assert_int_equal(take_all(op, &use, 5000), rows[op].at_once);
        assert_int_equal(take_all(op, &use, 5000), 0);
        assert_int_equal(take_all(op, &use, 6000), rows[op].per_s);
        if (rows[op].per_s) /* a day's silence gives no more than a burst */
            assert_int_equal(take_all(op, &use, 86400000), rows[op].at_once);
    }
}

static void a_clock_that_stands_still_or_goes_back_gives_nothing(void **state)
{
    struct permit_use use = {0};

    take_all(PRIV_WORKER_SPAWN, &use, 5000);
    assert_int_equal(take_all(PRIV_WORKER_SPAWN, &use, 4000), 0);
    assert_int_equal(take_all(PRIV_WORKER_SPAWN, &use, 4500), 32);
}

static void main_is_ready_once(void **state)
{
    struct permit_use use = {0};
    struct err err = {0};

    assert_false(permit_take(PRIV_READY, PERMIT_READY, &use, 0, &err));
    assert_int_equal(err.code, ERR_WRONG_STATE);
    assert_true(permit_take(PRIV_READY, PERMIT_STARTING, &use, 0, &err));
    assert_true(permit_take(PRIV_FACTS, PERMIT_READY, &use, 0, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_operation_has_its_burst_and_its_rate),
        cmocka_unit_test(a_clock_that_stands_still_or_goes_back_gives_nothing),
        cmocka_unit_test(main_is_ready_once),
    };

    return cmocka_run_group_tests_name("unit/priv_permit", tests, NULL, NULL);
}
