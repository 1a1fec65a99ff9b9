/* What starts by itself, on the fake backend: the restart policy, autostart after a boot of the
 * host, and all guests down before it goes down. */
#include "tests/lib/world_acts.h"

#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/event/event.h"
#include "core/job/job.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ON_CRASH "\"restart\":{\"policy\":\"on-crash\"}"
#define ALWAYS   "\"restart\":{\"policy\":\"always\"}"
#define AUTO     "\"autostart\":{\"enabled\":true}"

static struct world w;

static int setup(void **state)
{
    world_make(&w);
    return 0;
}

static int teardown(void **state)
{
#ifdef VMMD_FAILPOINTS
    failpoint_arm(NULL);
#endif
    world_remove(&w);
    return 0;
}

static void type(const char *vm, const char *line)
{
    struct err err = {0};

    if (!vm_serial_write(w.core, vm, 0, line, strlen(line), &world_admin, &err))
        fail_msg("%s", err.detail);
}

static void edit(const char *vm, const char *patch)
{
    CLEANUP(json_decrefp) json_t *json = json_loads(patch, 0, NULL);
    CLEANUP(json_decrefp) json_t *shown = NULL;
    struct etag etag;
    struct err err = {0};

    shown = vm_edit(w.core, vm, json, NULL, &world_admin, &etag, &err);
    if (!shown)
        fail_msg("%s", err.detail);
}

/* How many operations of a kind there were. */
static unsigned count_operations(const char *kind)
{
    struct err err = {0};
    CLEANUP(json_decrefp)
    json_t *list = world_list(&w, &schema_operation, (struct query_ask){.page_size = 1000}, &err);
    unsigned n = 0;
    size_t i;
    json_t *job;

    json_array_foreach (json_object_get(list, "items"), i, job)
        n += str_eq(json_get_text(job, "kind"), kind);
    return n;
}

/* ---- the restart policy ---- */

static void a_vm_that_crashed_is_started_again(void **state)
{
    world_create(&w, "web", ON_CRASH);
    world_create(&w, "calm", "");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    assert_string_equal(world_act(&w, "calm", VM_VERB_START), "succeeded");
    world_restart(&w); /* fakes die with their daemon: a crash */
    assert_string_equal(world_vm(&w, "calm", "run.state"), "crashed");
    assert_string_equal(world_vm(&w, "calm", "run.restart_at"), "null");
    world_await(&w, "web", "run.state", "running");
    assert_string_equal(world_vm(&w, "web", "run.restart_at"), "null");
    assert_int_equal(count_operations("vm.restart"), 1);
}

/* Waits until the policy has started the VM for the first time. That it was off in between is
 * sooner over than a busy machine can look. */
static void await_restarted(const char *name)
{
    int64_t deadline_ms = clock_mono_ms() + 20000;

    while (count_operations("vm.restart") == 0) {
        if (clock_mono_ms() > deadline_ms)
            fail_msg("%s was not started again", name);
        (void)poll(NULL, 0, 5); /* asked again until it was */
    }
    world_await(&w, name, "run.state", "running");
}

static void a_guest_that_panics_is_left_as_it_is_or_started_again(void **state)
{
    world_create(&w, "web", ON_CRASH);
    world_create(&w, "calm", "");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    assert_string_equal(world_act(&w, "calm", VM_VERB_START), "succeeded");
    type("calm", "panic\n");
    type("web", "panic\n");
    world_await(&w, "calm", "run.reason", "guest-panic");
    assert_string_equal(world_vm(&w, "calm", "run.state"), "paused");
    assert_string_equal(world_vm(&w, "calm", "run.detail"),
                        "the guest's kernel panicked. Its last words: Kernel panic - not syncing: "
                        "\\x1b[31masked to\\x1b[0m");
    await_restarted("web");
    assert_string_equal(world_vm(&w, "web", "run.detail"), "null");
    assert_int_equal(count_operations("vm.restart"), 1);
}

static void a_guest_that_powers_off_comes_back_only_with_always(void **state)
{
    world_create(&w, "web", ALWAYS);
    world_create(&w, "calm", ON_CRASH);
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    assert_string_equal(world_act(&w, "calm", VM_VERB_START), "succeeded");
    type("calm", "poweroff\n");
    type("web", "poweroff\n");
    world_await(&w, "calm", "run.state", "off");
    assert_string_equal(world_vm(&w, "calm", "desired"), "off");
    await_restarted("web");
    assert_string_equal(world_vm(&w, "web", "desired"), "running");
}

static void what_a_user_stops_stays_off(void **state)
{
    world_create(&w, "web", ALWAYS);
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    assert_string_equal(world_act(&w, "web", VM_VERB_STOP), "succeeded");
    assert_string_equal(world_vm(&w, "web", "run.restart_at"), "null");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    assert_string_equal(world_act(&w, "web", VM_VERB_SHUTDOWN), "succeeded");
    assert_string_equal(world_vm(&w, "web", "run.restart_at"), "null");
    assert_string_equal(world_vm(&w, "web", "desired"), "off");
}

static void a_stop_ends_the_waiting_for_a_restart(void **state)
{
    world_create(&w, "web", ALWAYS);
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    type("web", "poweroff\n");
    world_await(&w, "web", "run.state", "off");
    assert_string_equal(world_vm(&w, "web", "actions"),
                        "[\"start\",\"stop\",\"delete\",\"snapshot\",\"revert\",\"delete-"
                        "snapshot\",\"archive-snapshot\",\"unarchive-snapshot\",\"clone\","
                        "\"export\",\"flatten\",\"move-storage\",\"add-disk\",\"import-disk\","
                        "\"remove-disk\",\"grow-disk\"]");
    assert_string_equal(world_act(&w, "web", VM_VERB_STOP), "succeeded");
    assert_string_equal(world_vm(&w, "web", "run.restart_at"), "null");
    assert_string_equal(world_vm(&w, "web", "desired"), "off");
    assert_string_equal(world_act(&w, "web", VM_VERB_STOP), "wrong-state");
}

static void so_does_an_edit_of_the_policy_and_a_start_by_hand(void **state)
{
    world_create(&w, "web", ALWAYS);
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    type("web", "poweroff\n");
    world_await(&w, "web", "run.state", "off");
    edit("web", "{\"restart\":{\"policy\":\"never\"}}");
    assert_string_equal(world_vm(&w, "web", "run.restart_at"), "null");
    edit("web", "{" ALWAYS "}");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    type("web", "poweroff\n");
    world_await(&w, "web", "run.state", "off");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    assert_string_equal(world_vm(&w, "web", "run.restart_at"), "null");
    assert_int_equal(count_operations("vm.restart"), 0);
}

static void what_was_counted_survives_the_daemon(void **state)
{
    uint64_t newest, after;
    struct event_line lines[64];
    struct err err = {0};
    bool gap, told = false;
    ssize_t n;

    world_create(&w, "web", "\"restart\":{\"policy\":\"on-crash\",\"max_in_10_min\":1}");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    world_restart(&w);
    world_await(&w, "web", "run.state", "running");
    after = event_newest(w.core);
    world_restart(&w);
    assert_string_equal(world_vm(&w, "web", "run.state"), "crashed");
    assert_string_equal(world_vm(&w, "web", "run.restart_at"), "null");
    n = event_wait(w.core, after, 0, lines, 64, &gap, &newest, &err);
    for (ssize_t i = 0; i < n; i++) {
        told |= strcmp(lines[i].type, "vm.restart") == 0 &&
                strstr(lines[i].json, "\"given_up\":true") != NULL;
        event_line_clear(&lines[i]);
    }
    assert_true(told);
}

static void a_daemon_that_ends_in_the_pause_is_followed_by_one_that_waits_on(void **state)
{
    world_create(&w, "web", ALWAYS);
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    type("web", "poweroff\n");
    world_await(&w, "web", "run.state", "off");
    world_restart(&w);
    world_await(&w, "web", "run.state", "running");
    assert_int_equal(count_operations("vm.restart"), 1);
}

static void a_restart_that_fails_is_tried_again(void **state)
{
#ifdef VMMD_FAILPOINTS
    world_create(&w, "web", ALWAYS);
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    failpoint_arm("fake.start=fail");
    type("web", "poweroff\n");
    world_await(&w, "web", "run.reason", "start-failed");
    assert_string_not_equal(world_vm(&w, "web", "run.restart_at"), "null");
    world_await(&w, "web", "run.state", "running");
    assert_int_equal(count_operations("vm.restart"), 2);
#else
    skip();
#endif
}

/* ---- autostart ---- */

static void the_hosts_boot_starts_those_that_are_to_start(void **state)
{
    world_create(&w, "web", AUTO);
    world_create(&w, "lazy", ALWAYS);
    assert_string_equal(world_act(&w, "lazy", VM_VERB_START), "succeeded");
    world_boot_host(&w);
    world_await(&w, "web", "run.state", "running");
    assert_string_equal(world_vm(&w, "lazy", "run.state"), "crashed");
    assert_string_equal(world_vm(&w, "lazy", "run.reason"), "host-reset");
    assert_string_equal(world_vm(&w, "lazy", "run.restart_at"), "null");
}

static void a_restart_of_the_daemon_starts_nothing(void **state)
{
    world_create(&w, "web", AUTO);
    world_restart(&w);
    world_restart(&w);
    assert_string_equal(world_vm(&w, "web", "run.state"), "off");
    assert_int_equal(count_operations("vm.start"), 0);
}

static void a_new_state_directory_starts_nothing(void **state)
{
    world_create(&w, "web", AUTO);
    assert_string_equal(world_vm(&w, "web", "run.state"), "off");
}

/* Until the file says that all was started, the next daemon goes on. */
static void what_was_started_once_is_not_started_twice(void **state)
{
    CLEANUP(mem_freep) char *path = str_format("%s/state/autostart", w.dir);

    world_create(&w, "web", AUTO);
    world_boot_host(&w);
    world_await(&w, "web", "run.state", "running");
    assert_string_equal(world_act(&w, "web", VM_VERB_STOP), "succeeded");
    world_close(&w);
    {
        CLEANUP(closep) int fd = open(path, O_WRONLY | O_TRUNC);
        assert_int_equal(write(fd, "another boot", 12), 12);
    }
    assert_true(world_open(&w));
    world_create(&w, "late", "");
    assert_string_equal(world_vm(&w, "web", "run.state"), "off");
    assert_int_equal(count_operations("vm.start"), 1);
}

static void lower_orders_come_first_and_the_delay_is_waited(void **state)
{
    int64_t began_ms;

    world_create(&w, "db", "\"autostart\":{\"enabled\":true,\"order\":1,\"delay_s\":1}");
    world_create(&w, "web", "\"autostart\":{\"enabled\":true,\"order\":2}");
    world_create(&w, "app", "\"autostart\":{\"enabled\":true,\"order\":2,\"delay_s\":100}");
    world_boot_host(&w);
    began_ms = clock_mono_ms();
    world_await(&w, "db", "run.state", "running");
    world_await(&w, "web", "run.state", "running");
    world_await(&w, "app", "run.state", "running");
    assert_true(clock_mono_ms() - began_ms >= 900);
}

/* ---- before the host goes down ---- */

static void all_guests_go_down_at_once_by_their_action(void **state)
{
    CLEANUP(json_decrefp) json_t *job = NULL;
    struct err err = {0};
    struct uuid op;

    world_create(&w, "one", ALWAYS);
    world_create(&w, "two", "\"host_shutdown\":{\"action\":\"stop\"}");
    world_create(&w, "three", "");
    world_create(&w, "off", "");
    assert_string_equal(world_act(&w, "one", VM_VERB_START), "succeeded");
    assert_string_equal(world_act(&w, "two", VM_VERB_START), "succeeded");
    assert_string_equal(world_act(&w, "three", VM_VERB_START), "succeeded");
    assert_string_equal(world_act(&w, "three", VM_VERB_PAUSE), "succeeded");
    assert_true(guests_shutdown(w.core, &world_admin, &op, &err));
    job = world_end_of(&w, &op);
    assert_string_equal(json_get_text(job, "state"), "succeeded");
    assert_int_equal(json_get_u64(json_object_get(job, "result"), "guests", 0), 3);
    assert_int_equal(json_get_u64(json_object_get(job, "result"), "forced_off", 0), 2);
    assert_string_equal(world_vm(&w, "one", "run.reason"), "guest-shutdown");
    assert_string_equal(world_vm(&w, "one", "run.restart_at"), "null");
    assert_string_equal(world_vm(&w, "two", "run.state"), "off");
    assert_string_equal(world_vm(&w, "three", "run.state"), "off");
    assert_string_equal(world_vm(&w, "three", "job"), "null");
}

static void with_no_guests_it_is_done_at_once(void **state)
{
    CLEANUP(json_decrefp) json_t *job = NULL;
    struct origin origin = world_admin;
    struct err err = {0};
    struct uuid op;

    origin.dry_run = true;
    assert_true(guests_shutdown(w.core, &origin, &op, &err));
    assert_true(uuid_is_zero(&op));
    assert_true(guests_shutdown(w.core, &world_admin, &op, &err));
    job = world_end_of(&w, &op);
    assert_string_equal(json_get_text(job, "state"), "succeeded");
}

#if defined(VMMD_FAILPOINTS) && !defined(VMMD_TSAN) /* which has a thread of its own: no fork */
/* True when it came to its end. */
static bool boots_and_is_killed_at_commit(unsigned n)
{
    pid_t child;
    int status;

    world_close(&w);
    world_await_alone();
    child = fork();
    if (child == 0) {
        char spec[64];
        snprintf(spec, sizeof spec, "store.commit.before=kill:%u", n);
        failpoint_arm(spec);
        world_boot_host(&w);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
#endif

static void a_boot_is_noted_once_what_it_has_ended_is_recorded(void **state)
{
#if defined(VMMD_FAILPOINTS) && !defined(VMMD_TSAN)
    bool over = false;

    world_create(&w, "web", "");
    for (unsigned n = 1; !over; n++) {
        assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
        over = boots_and_is_killed_at_commit(n);
        assert_true(over || n < 20);
        assert_true(!over || n > 1); /* it was killed at one, at least */
        assert_true(world_open(&w));
        assert_string_equal(world_vm(&w, "web", "run.state"), "crashed");
        assert_string_equal(world_vm(&w, "web", "run.reason"), "host-reset");
    }
#else
    skip();
#endif
}

#define STORY(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(a_vm_that_crashed_is_started_again),
        STORY(a_guest_that_panics_is_left_as_it_is_or_started_again),
        STORY(a_guest_that_powers_off_comes_back_only_with_always),
        STORY(what_a_user_stops_stays_off),
        STORY(a_stop_ends_the_waiting_for_a_restart),
        STORY(so_does_an_edit_of_the_policy_and_a_start_by_hand),
        STORY(what_was_counted_survives_the_daemon),
        STORY(a_daemon_that_ends_in_the_pause_is_followed_by_one_that_waits_on),
        STORY(a_restart_that_fails_is_tried_again),
        STORY(the_hosts_boot_starts_those_that_are_to_start),
        STORY(a_boot_is_noted_once_what_it_has_ended_is_recorded),
        STORY(a_restart_of_the_daemon_starts_nothing),
        STORY(a_new_state_directory_starts_nothing),
        STORY(what_was_started_once_is_not_started_twice),
        STORY(lower_orders_come_first_and_the_delay_is_waited),
        STORY(all_guests_go_down_at_once_by_their_action),
        STORY(with_no_guests_it_is_done_at_once),
    };

    return cmocka_run_group_tests_name("core/restart", tests, NULL, NULL);
}
