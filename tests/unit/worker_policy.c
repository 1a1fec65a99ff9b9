/* What QEMU's events mean for the end of a VM. */
#include "tests/lib/harness.h"

#include "core/base/cleanup.h"
#include "core/base/json.h"
#include "vmmd/worker/policy.h"

#include <signal.h>

static void event(struct policy *p, const char *name, const char *data)
{
    CLEANUP(json_decrefp) json_t *value = data ? json_loads(data, 0, NULL) : NULL;

    policy_event(p, name, value);
}

static void expect_cause(const struct policy *p, int wstatus, const char *cause)
{
    assert_string_equal(policy_cause_slug(policy_cause(p, wstatus)), cause);
}

static void a_guests_power_off_quits_unless_held(void **state)
{
    struct policy p = {0};

    assert_false(policy_wants_quit(&p));
    p.held = true;
    event(&p, "SHUTDOWN", "{\"guest\":true,\"reason\":\"guest-shutdown\"}");
    assert_false(policy_wants_quit(&p));
    p.held = false;
    assert_true(policy_wants_quit(&p));
    expect_cause(&p, 0, "guest-shutdown");
    expect_cause(&p, SIGKILL, "guest-shutdown"); /* what is done to QEMU later does not count */
}

static void the_hosts_shutdown_is_not_the_guests(void **state)
{
    struct policy p = {0};

    event(&p, "SHUTDOWN", "{\"guest\":false,\"reason\":\"host-qmp-quit\"}");
    event(&p, "SHUTDOWN", NULL);
    event(&p, "SHUTDOWN", "{\"guest\":\"yes\"}");
    assert_false(policy_wants_quit(&p));
    p.quit = true;
    expect_cause(&p, 0, "host-quit");
    expect_cause(&p, 1 << 8, "exit"); /* it was told to quit, but failed */
}

static void a_kill_that_nobody_asked_for_is_the_kernels_when_memory_ran_out(void **state)
{
    struct policy p = {.no_memory = true};

    expect_cause(&p, SIGKILL, "oom");
    p.memory_limit = true;
    expect_cause(&p, SIGKILL, "memory-limit");
    expect_cause(&p, SIGSEGV, "signal"); /* it was somebody else that the kernel ended */
    expect_cause(&p, 1 << 8, "exit");
    p.killed = true;
    expect_cause(&p, SIGKILL, "killed");
}

static void a_reset_of_a_held_guest_forgets_its_power_off(void **state)
{
    struct policy p = {.held = true};

    event(&p, "SHUTDOWN", "{\"guest\":true}");
    event(&p, "GUEST_PANICKED", "{\"action\":\"pause\"}");
    event(&p, "RESET", "{\"guest\":false}");
    p.held = false;
    assert_false(policy_wants_quit(&p));
    expect_cause(&p, 0, "exit");
}

static void causes_have_an_order(void **state)
{
    struct policy p = {0};

    expect_cause(&p, 0, "exit");
    expect_cause(&p, 3 << 8, "exit");
    expect_cause(&p, SIGSYS, "signal");
    event(&p, "GUEST_PANICKED", NULL);
    expect_cause(&p, 0, "guest-panic");
    expect_cause(&p, SIGSEGV, "signal");
    p.killed = true;
    expect_cause(&p, SIGKILL, "killed");
    p.guest_off = true;
    expect_cause(&p, SIGKILL, "guest-shutdown");
    p.launch_failed = true;
    expect_cause(&p, 1 << 8, "launch-failed");
}

static void the_run_state_follows_the_events(void **state)
{
    assert_string_equal(policy_status("RESUME", "prelaunch"), "running");
    assert_string_equal(policy_status("STOP", "running"), "paused");
    assert_string_equal(policy_status("SHUTDOWN", "running"), "shutdown");
    assert_string_equal(policy_status("STOP", "shutdown"), "shutdown");
    assert_string_equal(policy_status("STOP", policy_status("GUEST_PANICKED", "running")),
                        "guest-panicked");
    assert_string_equal(policy_status("RTC_CHANGE", "running"), "running");
    assert_true(policy_changes_status("STOP"));
    assert_true(policy_changes_status("MIGRATION")); /* an image's state was read */
    assert_false(policy_changes_status("RTC_CHANGE"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_guests_power_off_quits_unless_held),
        cmocka_unit_test(the_hosts_shutdown_is_not_the_guests),
        cmocka_unit_test(a_kill_that_nobody_asked_for_is_the_kernels_when_memory_ran_out),
        cmocka_unit_test(a_reset_of_a_held_guest_forgets_its_power_off),
        cmocka_unit_test(causes_have_an_order),
        cmocka_unit_test(the_run_state_follows_the_events),
    };

    return cmocka_run_group_tests_name("worker/policy", tests, NULL, NULL);
}
