/* Every process is killed at random moments while VMs run and change state. Within 5 s the states
 * are true again, guests that were not hit run on in the same process, and at the end nothing is
 * left.
 *
 * The VMs have no system to boot: their firmware runs, which is enough to be alive. $VMMD_SEED
 * repeats a run, $VMMD_ROUNDS makes a longer one. */
#include "tests/lib/rig.h"

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define VMS     3
#define TRUE_MS 5000

static struct rig rig;
static unsigned seed;

static unsigned below(unsigned n)
{
    return (unsigned)rand_r(&seed) % n;
}

static const char *vm_name(unsigned i)
{
    static const char *const names[VMS] = {"a", "b", "c"};

    return names[i];
}

static void create_vms(void)
{
    for (unsigned i = 0; i < VMS; i++) {
        CLEANUP(mem_freep)
        char *body = str_format("{\"name\":\"%s\",\"memory_bytes\":33554432,"
                                "\"disks\":[{\"size_bytes\":1048576}]}",
                                vm_name(i));
        json_decref(rig_do(&rig, "POST", "/api/v1/vms", body, 201));
    }
}

/* Brings all VMs to 'running', whatever the last round left. */
static void run_all(void)
{
    for (unsigned i = 0; i < VMS; i++) {
        CLEANUP(mem_freep) char *state = rig_text(&rig, vm_name(i), "run.state");
        if (strcmp(state, "off") == 0 || strcmp(state, "crashed") == 0)
            rig_act(&rig, vm_name(i), "start");
        else if (strcmp(state, "paused") == 0)
            rig_act(&rig, vm_name(i), "resume");
        rig_await(&rig, vm_name(i), "running", NULL, TRUE_MS);
    }
}

static void wait_a_moment(void)
{
    (void)poll(NULL, 0, (int)below(40)); /* the randomness of the moment, not a condition */
}

/* Requests that are under way when the blow falls; what becomes of them is free, but not what is
 * left. The child sends one and leaves. */
static pid_t disturb(void)
{
    static const char *const verbs[] = {"pause", "resume", "reset", "stop", "start"};
    CLEANUP(mem_freep)
    char *path = str_format("/api/v1/vms/%s/actions/%s", vm_name(below(VMS)), verbs[below(5)]);
    pid_t child = fork();
    int status;

    if (child == 0) {
        json_decref(rig_call(&rig, "POST", path, "{}", &status));
        _exit(0);
    }
    return child;
}

/* Waits until each VM's state agrees with its processes and no operation is open. */
static void states_are_true(void)
{
    int64_t deadline = clock_mono_ms() + TRUE_MS;

    for (unsigned i = 0; i < VMS; i++) {
        for (;;) {
            CLEANUP(mem_freep) char *state = rig_text(&rig, vm_name(i), "run.state");
            CLEANUP(mem_freep) char *job = rig_text(&rig, vm_name(i), "job.id");
            struct rig_pids pids = rig_pids(&rig, vm_name(i));
            bool live = strcmp(state, "running") == 0 || strcmp(state, "paused") == 0;
            bool dead = strcmp(state, "off") == 0 || strcmp(state, "crashed") == 0;
            bool settled = str_starts(job, "(200");

            if (settled && ((live && pids.qemu) || (dead && !pids.worker && !pids.qemu)))
                break;
            if (clock_mono_ms() > deadline)
                fail_msg("%s is '%s' (job %s) with worker %d, QEMU %d after %d ms: see %s/log",
                         vm_name(i), state, job, (int)pids.worker, (int)pids.qemu, TRUE_MS,
                         rig.dir);
            (void)poll(NULL, 0, 20); /* asked again until it is so */
        }
    }
}

static void await_service(void)
{
    int64_t deadline = clock_mono_ms() + TRUE_MS;
    int status = 0;

    while (status != 200) {
        json_decref(rig_call(&rig, "GET", "/healthz", NULL, &status));
        if (clock_mono_ms() > deadline)
            fail_msg("no service %d ms after the kill: see %s/log", TRUE_MS, rig.dir);
        (void)poll(NULL, 0, status == 200 ? 0 : 20); /* asked again until it serves */
    }
}

static void kill_child(const char *name)
{
    pid_t pid = rig_child(&rig, name);

    assert_true(pid > 0);
    kill(pid, SIGKILL);
    rig_await_dead(pid, 1000);
    await_service();
}

/* ---- one story a process ---- */

static void a_killed_main_changes_nothing_for_guests(void **state)
{
    struct rig_pids before[VMS];

    run_all();
    for (unsigned i = 0; i < VMS; i++)
        before[i] = rig_pids(&rig, vm_name(i));
    kill_child("vmmd-main");
    for (unsigned i = 0; i < VMS; i++) {
        rig_await(&rig, vm_name(i), "running", NULL, TRUE_MS);
        assert_int_equal(rig_pids(&rig, vm_name(i)).qemu, before[i].qemu);
    }
    rig_act(&rig, "a", "pause"); /* and they obey the new one */
    rig_act(&rig, "a", "resume");
}

static void a_killed_front_changes_nothing_for_guests(void **state)
{
    struct rig_pids before;

    run_all();
    before = rig_pids(&rig, "a");
    kill_child("vmmd-front");
    rig_await(&rig, "a", "running", NULL, TRUE_MS);
    assert_int_equal(rig_pids(&rig, "a").qemu, before.qemu);
}

static void a_dead_worker_takes_its_guest_along(void **state)
{
    struct rig_pids pids, other;

    run_all();
    pids = rig_pids(&rig, "a");
    other = rig_pids(&rig, "b");
    kill(pids.worker, SIGKILL);
    rig_await_dead(pids.qemu, TRUE_MS);
    rig_await(&rig, "a", "crashed", "worker-lost", TRUE_MS);
    rig_await(&rig, "b", "running", NULL, 0);
    assert_true(rig_lives(other.qemu));
}

static void a_killed_qemu_is_a_crash_with_its_signal(void **state)
{
    run_all();
    kill(rig_pids(&rig, "b").qemu, SIGKILL);
    rig_await(&rig, "b", "crashed", "signal", TRUE_MS);
}

static void a_killed_jail_takes_qemu_along(void **state)
{
    struct rig_pids pids;

    run_all();
    pids = rig_pids(&rig, "c");
    kill(pids.jail, SIGKILL);
    rig_await_dead(pids.qemu, TRUE_MS);
    rig_await(&rig, "c", "crashed", NULL, TRUE_MS);
}

static void a_killed_parent_leaves_the_guests_to_its_successor(void **state)
{
    pid_t main_pid = rig_child(&rig, "vmmd-main"), front_pid = rig_child(&rig, "vmmd-front");
    struct rig_pids before;

    run_all();
    main_pid = rig_child(&rig, "vmmd-main");
    front_pid = rig_child(&rig, "vmmd-front");
    before = rig_pids(&rig, "a");
    kill(rig.vmmd, SIGKILL);
    assert_int_equal(waitpid(rig.vmmd, NULL, 0), rig.vmmd);
    rig_await_dead(main_pid, TRUE_MS);
    rig_await_dead(front_pid, TRUE_MS);
    assert_true(rig_lives(before.qemu));
    rig_spawn(&rig);
    rig_await(&rig, "a", "running", NULL, TRUE_MS);
    assert_int_equal(rig_pids(&rig, "a").qemu, before.qemu);
}

/* ---- at random ---- */

/* vmmd gives up on a child that dies five times in 10 s, as it should: no more than three of ours.
 */
static bool may_kill_child(unsigned which)
{
    static int64_t times[2][3];
    int64_t now = clock_mono_ms(), *oldest = &times[which][0];

    for (unsigned i = 1; i < 3; i++)
        if (times[which][i] < *oldest)
            oldest = &times[which][i];
    if (*oldest && now - *oldest < 10000)
        return false;
    *oldest = now;
    return true;
}

static void kill_someone(void)
{
    struct rig_pids pids = rig_pids(&rig, vm_name(below(VMS)));
    pid_t victims[] = {pids.worker, pids.qemu, pids.jail, rig_child(&rig, "vmmd-main"),
                       rig_child(&rig, "vmmd-front")};
    unsigned which = below(6);

    if (which >= 3 && which < 5 && !may_kill_child(which - 3))
        which = below(3);
    if (which < 5) {
        if (victims[which] > 0)
            kill(victims[which], SIGKILL);
        return;
    }
    kill(rig.vmmd, SIGKILL);
    assert_int_equal(waitpid(rig.vmmd, NULL, 0), rig.vmmd);
    for (unsigned i = 3; i < 5; i++)
        if (victims[i] > 0)
            rig_await_dead(victims[i], TRUE_MS);
    rig_spawn(&rig);
}

static void whoever_is_killed_when_the_states_are_true_within_five_seconds(void **state)
{
    const char *rounds_text = getenv("VMMD_ROUNDS"), *seed_text = getenv("VMMD_SEED");
    uint64_t rounds = 15, wanted = (uint64_t)clock_wall_ms() & 0xffffff;

    (void)str_to_u64(rounds_text, &rounds);
    (void)str_to_u64(seed_text, &wanted);
    seed = (unsigned)wanted;
    print_message("VMMD_SEED=%u\n", seed);
    for (uint64_t i = 0; i < rounds; i++) {
        pid_t helpers[2];

        run_all();
        helpers[0] = disturb();
        helpers[1] = disturb();
        wait_a_moment();
        kill_someone();
        await_service();
        states_are_true();
        for (unsigned k = 0; k < 2; k++) {
            kill(helpers[k], SIGKILL);
            waitpid(helpers[k], NULL, 0);
        }
        states_are_true();
    }
}

static int setup(void **state)
{
    rig_make(&rig, 0);
    create_vms();
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
        cmocka_unit_test(a_killed_main_changes_nothing_for_guests),
        cmocka_unit_test(a_killed_front_changes_nothing_for_guests),
        cmocka_unit_test(a_dead_worker_takes_its_guest_along),
        cmocka_unit_test(a_killed_qemu_is_a_crash_with_its_signal),
        cmocka_unit_test(a_killed_jail_takes_qemu_along),
        cmocka_unit_test(a_killed_parent_leaves_the_guests_to_its_successor),
        cmocka_unit_test(whoever_is_killed_when_the_states_are_true_within_five_seconds),
    };
    const char *why;

    if (!rig_possible(&why)) {
        print_message("[  SKIPPED ] integration/killed: %s\n", why);
        return 0;
    }
    return cmocka_run_group_tests_name("integration/killed", tests, setup, teardown);
}
