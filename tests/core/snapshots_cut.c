/* Deletions of snapshots whose daemon is killed in the middle of a merge, on the fake backend. What
 * holds after a kill at any step: tests/fault/bundle_walk.c and its like; here something else ends
 * the operation once it is entered again. */
#include "tests/lib/world_acts.h"

#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/snap/unfinished.h"

/* The thread sanitizer has a thread of its own: no fork. */
#if defined(VMMD_FAILPOINTS) && !defined(VMMD_TSAN)
#define CAN_DIE 1
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define DISKS "\"disks\":[{\"size_bytes\":1048576},{\"size_bytes\":2097152}]"

static struct world w;

static int setup(void **state)
{
    world_make(&w);
    world_create(&w, "web", DISKS);
    world_fatten(&w); /* what lies on these goes down into them */
    return 0;
}

static int teardown(void **state)
{
    world_remove(&w);
    return 0;
}

/* A daemon's life: it dies at that point of a deletion. */
static void live_and_die(const char *point)
{
    CLEANUP(mem_freep) char *spec = str_format("%s=kill", point);

    if (!world_open(&w) || !str_eq(world_act(&w, "web", VM_VERB_START), "succeeded") ||
        !str_eq(world_take(&w, "web", "a"), "succeeded"))
        _exit(2);
    failpoint_arm(spec);
    (void)world_drop(&w, "web", "a");
    _exit(3);
}

static void a_daemon_is_killed_at(const char *point)
{
    pid_t child;
    int status;

    world_close(&w);
    world_await_alone();
    child = fork();
    if (child == 0)
        live_and_die(point);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void await_files(unsigned n)
{
    const int64_t deadline_ms = clock_mono_ms() + 20000;

    while (world_files(&w) != n && clock_mono_ms() < deadline_ms)
        (void)poll(NULL, 0, 10); /* asked again until it is so */
    assert_int_equal(world_files(&w), n);
}

static void a_disk_that_switched_is_recorded_though_the_rest_is_cancelled(void **state)
{
    const int64_t patience_ms = unfinished_first_ms;
    struct err err = {0};
    struct uuid op;

    a_daemon_is_killed_at("snapshot.down.write"); /* one disk has switched, it is not recorded */
    assert_int_equal(world_cancel_unfinished(&w, &op), 1);
    assert_true(world_open(&w));
    assert_string_equal(world_outcome(&w, true, &op, &err), "cancelled");
    assert_int_equal(world_files(&w), 3); /* one disk has one file, the other is not begun */
    unfinished_first_ms = 0;
    world_restart(&w);
    await_files(2);
    unfinished_first_ms = patience_ms;
    world_settle(&w, "web");
    assert_int_equal(world_fat_files(&w), 2);
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
}

/* Its files go down once it is gone: there is nothing to copy before. */
static void a_snapshot_whose_deletion_was_cancelled_is_still_there(void **state)
{
    struct err err = {0};
    struct uuid op;

    a_daemon_is_killed_at("snapshot.delete.commit");
    assert_int_equal(world_cancel_unfinished(&w, &op), 1);
    assert_true(world_open(&w));
    assert_string_equal(world_outcome(&w, true, &op, &err), "cancelled");
    assert_int_equal(world_files(&w), 4);
    assert_string_equal(world_drop(&w, "web", "a"), "succeeded");
    assert_int_equal(world_files(&w), 2);
}
#endif

int main(void)
{
#ifdef CAN_DIE
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_disk_that_switched_is_recorded_though_the_rest_is_cancelled),
        T(a_snapshot_whose_deletion_was_cancelled_is_still_there),
    };

    return cmocka_run_group_tests_name("core/snapshots_cut", tests, NULL, NULL);
#else
    print_message("[  SKIPPED ] core/snapshots_cut: this build cannot kill a daemon of its own\n");
    return 0;
#endif
}
