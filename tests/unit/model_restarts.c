/* The restart policy: who is started again, after which pause, how often. */
#include "tests/lib/harness.h"

#include "core/model/restarts.h"

#define NOW 1700000000000

static void only_what_ended_by_itself_is_started_again(void **state)
{
    static const struct {
        int policy;
        enum vm_desired desired;
        enum vm_run run;
        enum vm_reason reason;
        bool wanted;
    } cases[] = {
        {RESTART_NEVER, VM_DESIRED_RUNNING, VM_CRASHED, VM_REASON_SIGNAL, false},
        {RESTART_ON_CRASH, VM_DESIRED_RUNNING, VM_CRASHED, VM_REASON_SIGNAL, true},
        {RESTART_ON_CRASH, VM_DESIRED_RUNNING, VM_CRASHED, VM_REASON_WORKER_LOST, true},
        {RESTART_ON_CRASH, VM_DESIRED_RUNNING, VM_PAUSED, VM_REASON_GUEST_PANIC, true},
        {RESTART_ON_CRASH, VM_DESIRED_RUNNING, VM_PAUSED, VM_REASON_WATCHDOG, true},
        {RESTART_ON_CRASH, VM_DESIRED_RUNNING, VM_PAUSED, VM_REASON_IO_ERROR, false},
        {RESTART_ON_CRASH, VM_DESIRED_RUNNING, VM_PAUSED, VM_REASON_USER, false},
        {RESTART_ON_CRASH, VM_DESIRED_RUNNING, VM_OFF, VM_REASON_GUEST_SHUTDOWN, false},
        {RESTART_ALWAYS, VM_DESIRED_RUNNING, VM_OFF, VM_REASON_GUEST_SHUTDOWN, true},
        {RESTART_ALWAYS, VM_DESIRED_OFF, VM_OFF, VM_REASON_GUEST_SHUTDOWN, false},
        {RESTART_ALWAYS, VM_DESIRED_RUNNING, VM_OFF, VM_REASON_USER, false},
        {RESTART_ALWAYS, VM_DESIRED_OFF, VM_CRASHED, VM_REASON_SIGNAL, false},
        {RESTART_ALWAYS, VM_DESIRED_PAUSED, VM_CRASHED, VM_REASON_SIGNAL, false},
        {RESTART_ALWAYS, VM_DESIRED_RUNNING, VM_CRASHED, VM_REASON_HOST_RESET, false},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (restart_is_wanted(cases[i].policy, cases[i].desired, cases[i].run, cases[i].reason) !=
            cases[i].wanted)
            fail_msg("case %zu", i);
}

static void the_pause_doubles_up_to_a_minute(void **state)
{
    static const int64_t pauses_s[] = {1, 2, 4, 8, 16, 32, 60, 60};
    struct restarts r = {0};

    for (size_t i = 0; i < ARRAY_LEN(pauses_s); i++) {
        assert_int_equal(restarts_plan(&r, 100, NOW), RESTART_DUE);
        assert_int_equal(r.due_ms - NOW, pauses_s[i] * 1000);
        restarts_count(&r, NOW);
        assert_int_equal(r.due_ms, 0);
    }
}

static void after_so_many_in_ten_minutes_it_stays_as_it_is(void **state)
{
    struct restarts r = {0};

    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(restarts_plan(&r, 3, NOW + i), RESTART_DUE);
        restarts_count(&r, NOW + i);
    }
    assert_int_equal(restarts_plan(&r, 3, NOW + 3), RESTART_GIVEN_UP);
    assert_int_equal(r.due_ms, 0);
    assert_int_equal(restarts_plan(&r, 3, NOW + RESTARTS_WINDOW_MS + 1), RESTART_DUE);
    assert_int_equal(r.n, 1); /* two are too old to count */
}

static void what_was_counted_can_be_written_and_read(void **state)
{
    struct restarts r = {0}, back;
    CLEANUP(json_decrefp) json_t *none = restarts_encode(&r), *text = NULL;

    assert_true(json_is_null(none));
    for (unsigned i = 0; i < RESTARTS_MAX + 5; i++)
        restarts_count(&r, NOW + i);
    assert_int_equal(r.n, RESTARTS_MAX);
    r.due_ms = NOW;
    text = restarts_encode(&r);
    restarts_decode(text, &back);
    assert_memory_equal(&r, &back, sizeof r);
}

static void what_cannot_be_read_is_nothing(void **state)
{
    static const char *const bad[] = {"null", "[]", "{\"at_ms\":7}", "{\"at_ms\":[null,\"x\"]}"};
    struct restarts r;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        CLEANUP(json_decrefp) json_t *value = json_loads(bad[i], JSON_DECODE_ANY, NULL);
        restarts_decode(value, &r);
        assert_true(r.n == 0 && r.due_ms == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_ended_by_itself_is_started_again),
        cmocka_unit_test(the_pause_doubles_up_to_a_minute),
        cmocka_unit_test(after_so_many_in_ten_minutes_it_stays_as_it_is),
        cmocka_unit_test(what_was_counted_can_be_written_and_read),
        cmocka_unit_test(what_cannot_be_read_is_nothing),
    };

    return cmocka_run_group_tests_name("unit/model_restarts", tests, NULL, NULL);
}
