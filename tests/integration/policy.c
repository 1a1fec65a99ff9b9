/* What happens to guests that nobody asked anything of: they crash, panic, power off, their host is
 * booted or goes down; and the policies act. With the real daemon, workers and QEMU.
 *
 * The guests that only have to live are boot sectors (tests/lib/counter.h): they obey the power
 * button. One without a disk stays in its firmware, which does not. */
#include "tests/lib/counter.h"
#include "tests/lib/rig.h"

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SOON_MS 30000
#define BOOT_MS 120000

static struct rig rig;

static void create(const char *name, const char *members)
{
    CLEANUP(mem_freep) char *spec = counter_spec(name);
    CLEANUP(mem_freep) char *path = str_format("/api/v1/vms/%s", name);

    json_decref(rig_do(&rig, "POST", "/api/v1/vms", spec, 201));
    json_decref(rig_do(&rig, "PATCH", path, members, 200));
    counter_install(&rig);
}

static void assert_text(const char *vm, const char *member, const char *should)
{
    CLEANUP(mem_freep) char *is = rig_text(&rig, vm, member);

    if (strcmp(is, should) != 0)
        fail_msg("%s of %s is '%s', not '%s'", member, vm, is, should);
}

static void assert_nothing_due(const char *vm)
{
    assert_text(vm, "run.restart_at", "(200)"); /* there, and not a text: null */
}

/* Waits until another QEMU than 'old' runs the VM. */
static void await_successor(const char *vm, pid_t old, int ms)
{
    int64_t deadline_ms = clock_mono_ms() + ms;

    for (;;) {
        CLEANUP(mem_freep) char *state = rig_text(&rig, vm, "run.state");
        pid_t now = rig_pids(&rig, vm).qemu;
        if (strcmp(state, "running") == 0 && now && now != old)
            return;
        if (clock_mono_ms() > deadline_ms)
            fail_msg("%s is %s and was not started again: see %s/log", vm, state, rig.dir);
        (void)poll(NULL, 0, 20); /* asked again until it is so */
    }
}

static pid_t crash(const char *vm)
{
    pid_t qemu = rig_pids(&rig, vm).qemu;

    assert_true(qemu > 0);
    assert_int_equal(kill(qemu, SIGSEGV), 0);
    return qemu;
}

/* ---- the restart policy ---- */

static void a_vm_whose_qemu_crashes_is_started_again(void **state)
{
    create("a", "{\"restart\":{\"policy\":\"on-crash\"}}");
    rig_act(&rig, "a", "start");
    await_successor("a", crash("a"), SOON_MS);
    assert_nothing_due("a");
}

static void a_daemon_that_is_killed_meanwhile_is_followed_by_one_that_does_it(void **state)
{
    pid_t old = crash("a");

    rig_await(&rig, "a", "crashed", "signal", SOON_MS);
    rig_kill(&rig, NULL);
    rig_spawn(&rig);
    await_successor("a", old, SOON_MS);
}

static void a_user_who_stops_it_meanwhile_wins(void **state)
{
    CLEANUP(mem_freep) char *detail = NULL;

    crash("a");
    rig_await(&rig, "a", "crashed", "signal", SOON_MS);
    detail = rig_text(&rig, "a", "run.detail");
    if (!str_starts(detail, "QEMU was ended by SIGSEGV"))
        fail_msg("the detail is %s", detail);
    rig_act(&rig, "a", "stop");
    assert_text("a", "desired", "off");
    assert_nothing_due("a");
}

static void one_that_crashes_too_often_is_left_as_it_is(void **state)
{
    create("b", "{\"restart\":{\"policy\":\"on-crash\",\"max_in_10_min\":1}}");
    rig_act(&rig, "b", "start");
    await_successor("b", crash("b"), SOON_MS);
    crash("b");
    rig_await(&rig, "b", "crashed", "signal", SOON_MS);
    assert_nothing_due("b"); /* written in one transaction with the state */
    assert_text("b", "desired", "running");
}

/* ---- a system in the guest ---- */

static uint64_t at; /* how far its serial log was read */

static void await_shell(void)
{
    rig_expect(&rig, "linux", &at, "VMMD-GUEST READY", BOOT_MS);
    rig_expect(&rig, "linux", &at, "vm# ", SOON_MS);
}

static void a_guest_that_panics_is_powered_off_and_started_again(void **state)
{
    pid_t old;

    rig_create_tiny(&rig, "linux");
    json_decref(
        rig_do(&rig, "PATCH", "/api/v1/vms/linux", "{\"restart\":{\"policy\":\"always\"}}", 200));
    rig_act(&rig, "linux", "start");
    await_shell();
    old = rig_pids(&rig, "linux").qemu;
    rig_type(&rig, "linux", "echo c >/proc/sysrq-trigger\n");
    await_successor("linux", old, SOON_MS);
}

static void one_that_powers_itself_off_comes_back_when_it_always_has_to(void **state)
{
    pid_t old = rig_pids(&rig, "linux").qemu;

    await_shell();
    rig_type(&rig, "linux", "poweroff\n");
    await_successor("linux", old, SOON_MS);
    rig_act(&rig, "linux", "stop");
    assert_nothing_due("linux");
}

/* ---- the host is booted ---- */

static void write_state(const char *name)
{
    CLEANUP(mem_freep) char *path = str_format("%s/state/%s", rig.dir, name);
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

    if (fd < 0)
        fail_msg("%s is not there", path);
    assert_int_equal(write(fd, "another boot", 12), 12);
    close(fd);
}

/* The host is cut off and booted: no process is left, what lay in memory is gone, the state
 * directory knows another boot. */
static void boot_host(const char *const *live, size_t n)
{
    CLEANUP(mem_freep) char *clear = str_format("rm -rf %s/run/vm/*", rig.dir);
    pid_t qemu[8];

    for (size_t i = 0; i < n; i++)
        qemu[i] = rig_pids(&rig, live[i]).qemu;
    for (size_t i = 0; i < n; i++)
        assert_true(qemu[i] > 0);
    rig_kill(&rig, NULL);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(kill(qemu[i], SIGKILL), 0);
        rig_await_dead(qemu[i], SOON_MS);
    }
    (void)system(clear);
    write_state("boot_id");
    write_state("autostart");
    rig_spawn(&rig);
}

static void a_boot_of_the_host_starts_those_that_are_to_start_and_no_other(void **state)
{
    static const char *const live[] = {"a"};
    CLEANUP(mem_freep) char *first = NULL, *second = NULL;

    create("c", "{\"autostart\":{\"enabled\":true,\"order\":2}}");
    json_decref(rig_do(&rig, "PATCH", "/api/v1/vms/b",
                       "{\"autostart\":{\"enabled\":true,\"order\":1}}", 200));
    rig_act(&rig, "a", "start");
    boot_host(live, 1);
    rig_await(&rig, "c", "running", NULL, SOON_MS);
    rig_await(&rig, "b", "running", NULL, 0);
    first = rig_text(&rig, "b", "run.since");
    second = rig_text(&rig, "c", "run.since");
    assert_true(strcmp(first, second) < 0); /* one after the other */
    rig_await(&rig, "a", "crashed", "host-reset", SOON_MS);
    assert_nothing_due("a"); /* its policy is for its own crashes */
}

static void a_boot_that_could_not_be_noted_ends_no_guest_that_lives(void **state)
{
    pid_t qemu;

    rig_act(&rig, "a", "start");
    qemu = rig_pids(&rig, "a").qemu;
    rig_kill(&rig, NULL);
    write_state("boot_id");
    rig_spawn(&rig);
    rig_await(&rig, "a", "running", NULL, SOON_MS);
    assert_int_equal(rig_pids(&rig, "a").qemu, qemu);
    rig_act(&rig, "a", "stop");
}

/* ---- the host goes down ---- */

/* Its own code runs, no longer the firmware's. */
static void await_life(const char *vm)
{
    counter_await_life(&rig, vm, SOON_MS);
}

static void guests_go_down_with_the_host_each_in_its_way(void **state)
{
    CLEANUP(json_decrefp) json_t *job = NULL;
    const json_t *result;

    await_life("b");
    await_life("c");
    json_decref(rig_do(&rig, "POST", "/api/v1/vms",
                       "{\"name\":\"deaf\",\"memory_bytes\":33554432,\"nics\":[],"
                       "\"host_shutdown\":{\"timeout_s\":1}}",
                       201));
    rig_act(&rig, "deaf", "start");
    rig_act(&rig, "a", "start");
    rig_act(&rig, "a", "pause");
    job = rig_do(&rig, "POST", "/api/v1/host/actions/shutdown-guests", "{}", 200);
    result = json_object_get(job, "result");
    assert_int_equal(json_get_u64(result, "guests", 0), 4);
    assert_int_equal(json_get_u64(result, "forced_off", 0), 2);
    rig_await(&rig, "b", "off", "guest-shutdown", 0);
    rig_await(&rig, "c", "off", "guest-shutdown", 0);
    rig_await(&rig, "a", "off", "user", 0);
    rig_await(&rig, "deaf", "off", "user", 0);
    assert_nothing_due("b");
}

static int setup(void **state)
{
    rig_make(&rig, 0);
    return 0;
}

static int teardown(void **state)
{
    rig_remove(&rig);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_vm_whose_qemu_crashes_is_started_again),
        cmocka_unit_test(a_daemon_that_is_killed_meanwhile_is_followed_by_one_that_does_it),
        cmocka_unit_test(a_user_who_stops_it_meanwhile_wins),
        cmocka_unit_test(one_that_crashes_too_often_is_left_as_it_is),
        cmocka_unit_test(a_guest_that_panics_is_powered_off_and_started_again),
        cmocka_unit_test(one_that_powers_itself_off_comes_back_when_it_always_has_to),
        cmocka_unit_test(a_boot_of_the_host_starts_those_that_are_to_start_and_no_other),
        cmocka_unit_test(a_boot_that_could_not_be_noted_ends_no_guest_that_lives),
        cmocka_unit_test(guests_go_down_with_the_host_each_in_its_way),
    };
    const char *why;

    if (!rig_possible(&why)) {
        print_message("[  SKIPPED ] integration/policy: %s\n", why);
        return 0;
    }
    return cmocka_run_group_tests_name("integration/policy", tests, setup, teardown);
}
