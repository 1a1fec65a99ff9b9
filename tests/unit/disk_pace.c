/* How fast a copy goes beside a guest: see core/disk/pace.h. */
#include "tests/lib/harness.h"

#include "core/disk/pace.h"

#define MIB (1ull << 20)
#define MS  1000000ull

/* A tenth of a second in which the guest wrote so often, and each took so long. */
static void tick(struct pace_rule *rule, uint64_t writes, uint64_t each_ns)
{
    const struct machine_disk_stats since = {.writes = writes, .write_ns = writes * each_ns};

    pace_rule_step(rule, &since, 100);
}

static void an_idle_guest_is_no_reason_to_wait(void **state)
{
    struct pace_rule rule = {.limit = 10 * MIB};

    tick(&rule, 0, 0);
    assert_int_equal(rule.limit, 10 * MIB); /* it may only be thinking */
    tick(&rule, 0, 0);
    tick(&rule, 0, 0);
    assert_int_equal(rule.limit, 0);
}

static void a_guest_that_begins_to_write_slows_the_copy_at_once(void **state)
{
    struct pace_rule rule = {.before_ns = 1 * MS};

    tick(&rule, 100, 1 * MS);
    assert_true(rule.limit > 0 && rule.limit <= 64 * MIB);
}

static void a_guest_that_suffers_slows_it_further_down_to_an_end(void **state)
{
    struct pace_rule rule = {.before_ns = 1 * MS, .limit = 1024 * MIB};
    uint64_t last = rule.limit;

    for (int i = 0; i < 30; i++) {
        tick(&rule, 50, 3 * MS);
        assert_true(rule.limit < last || last == 4 * MIB);
        last = rule.limit;
    }
    assert_int_equal(last, 4 * MIB); /* it comes to an end some day */
}

static void a_guest_that_does_not_notice_lets_it_go_faster(void **state)
{
    struct pace_rule rule = {.before_ns = 1 * MS, .limit = 8 * MIB};

    for (int i = 0; i < 10; i++)
        tick(&rule, 100, 11 * MS / 10);
    assert_true(rule.limit > 20 * MIB);
    for (int i = 0; i < 200; i++)
        tick(&rule, 100, 1 * MS);
    assert_true(rule.limit <= 2048 * MIB);
}

static void what_nobody_saw_undisturbed_is_measured_when_it_begins(void **state)
{
    struct pace_rule rule = {0};

    tick(&rule, 100, 2 * MS);
    assert_true(rule.before_ns > 1.9 * MS && rule.before_ns < 2.1 * MS);
    tick(&rule, 100, 9 * MS);
    assert_true(rule.limit < 32 * MIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idle_guest_is_no_reason_to_wait),
        cmocka_unit_test(a_guest_that_begins_to_write_slows_the_copy_at_once),
        cmocka_unit_test(a_guest_that_suffers_slows_it_further_down_to_an_end),
        cmocka_unit_test(a_guest_that_does_not_notice_lets_it_go_faster),
        cmocka_unit_test(what_nobody_saw_undisturbed_is_measured_when_it_begins),
    };

    return cmocka_run_group_tests_name("disk/pace", tests, NULL, NULL);
}
