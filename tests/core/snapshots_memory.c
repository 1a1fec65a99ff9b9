/* Snapshots with the guest's memory on the fake backend: what is recorded when, what a failure or
 * the end of the VM or of the daemon makes of it, who needs an image and when it goes. That a real
 * guest goes on where it was is shown in tests/integration. */
#include "tests/lib/web_memory.h"

#include "backends/fake/fake.h"
#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/pool.h"
#include "core/job/job.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define DISKS                                                                                      \
    "\"memory_bytes\":16777216,\"disks\":[{\"size_bytes\":1048576},{\"size_bytes\":2097152}]"

static struct world w;

static int setup(void **state)
{
    world_make(&w);
    world_create(&w, "web", DISKS);
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    return 0;
}

static int teardown(void **state)
{
    atomic_store(&fake_full, false);
    atomic_store(&fake_memory_held, false);
    atomic_store(&fake_has_precopy, false);
    world_remove(&w);
    return 0;
}

/* Waits until it is at that step. */
static void await_step(const struct uuid *op, const char *step)
{
    const int64_t deadline = clock_mono_ms() + 20000;
    bool there = false;

    while (!there && clock_mono_ms() < deadline) {
        struct err err = {0};
        CLEANUP(json_decrefp) json_t *job = job_wait(w.core, op, 10, &err);
        there = str_eq(json_get_text(job, "step"), step);
    }
    assert_true(there);
}

static void restart(void)
{
    world_close(&w);
    assert_true(world_open(&w));
}

static void a_running_vm_is_kept_with_its_memory_and_runs_on(void **state)
{
    assert_int_equal(world_files(&w), 2);
    assert_string_equal(web_take(&w, "clean"), "succeeded");
    assert_string_equal(world_vm(&w, "web", "run.state"), "running");
    assert_string_equal(web_snapshot(&w, "clean", NULL, "consistency"), "running");
    assert_string_equal(web_snapshot(&w, "clean", "memory", "state"), "ready");
    assert_string_equal(web_snapshot(&w, "clean", "memory", "way"), "background");
    assert_string_equal(web_snapshot(&w, "clean", "memory", "held_bytes"), "4096");
    assert_string_equal(web_snapshot(&w, "clean", "memory", "pause_us"), "8000");
    assert_int_equal(world_files(&w), 5);
    restart();
    assert_string_equal(web_snapshot(&w, "clean", "memory", "state"), "ready");
    assert_string_equal(web_snapshot(&w, "clean", "memory", "held_bytes"), "4096");
}

static void auto_says_why_it_is_of_the_disks_alone(void **state)
{
    const char *reason;
    struct uuid op;

    assert_string_equal(world_act(&w, "web", VM_VERB_STOP), "succeeded");
    op = web_take_begin(&w, "cold", CONSISTENCY_AUTO);
    CLEANUP(json_decrefp) json_t *job = world_end_of(&w, &op);
    assert_string_equal(json_get_text(json_object_get(job, "result"), "consistency"), "disk");
    reason = json_get_text(json_object_get(job, "result"), "reason");
    assert_non_null(reason);
    assert_non_null(strstr(reason, "does not run"));
    assert_string_equal(web_snapshot(&w, "cold", NULL, "consistency"), "disk");
    assert_string_equal(web_snapshot(&w, "cold", "memory", "state"), "");
}

/* The VM goes on with the memory of its snapshot "clean": not in the background from then on. */
static void go_on_from_an_image(void)
{
    assert_string_equal(web_take(&w, "clean"), "succeeded");
    assert_string_equal(web_revert(&w, "clean", true), "succeeded");
    assert_string_equal(world_vm(&w, "web", "run.state"), "running");
}

static json_t *plan(enum consistency consistency)
{
    const struct snapshot_act act = {
        .verb = VM_VERB_SNAPSHOT, .snapshot = "next", .consistency = consistency};
    struct err err = {0};
    json_t *plan = snapshot_plan(w.core, "web", &act, &err);

    assert_non_null(plan);
    assert_int_equal(json_array_size(json_object_get(plan, "blockers")), 0);
    return plan;
}

static void one_that_began_with_an_image_stands_still_and_goes_on(void **state)
{
    struct uuid op;

    go_on_from_an_image();
    CLEANUP(json_decrefp) json_t *before = plan(CONSISTENCY_RUNNING);
    assert_string_equal(json_get_text(before, "way"), "still");
    assert_non_null(json_get_text(before, "reason"));
    assert_true(json_get_u64(before, "pause_estimate_ms", 0) > 0);
    op = web_take_begin(&w, "next", CONSISTENCY_RUNNING);
    CLEANUP(json_decrefp) json_t *job = world_end_of(&w, &op);
    const json_t *result = json_object_get(job, "result");
    assert_string_equal(json_get_text(result, "way"), "still");
    assert_int_equal(json_get_u64(result, "pause_us", 0), 8000);
    assert_non_null(json_get_text(result, "reason"));
    assert_string_equal(world_vm(&w, "web", "run.state"), "running");
    assert_string_equal(web_snapshot(&w, "next", "memory", "way"), "still");
    assert_string_equal(web_snapshot(&w, "next", "memory", "pause_us"), "8000");
    assert_string_equal(web_revert(&w, "next", true), "succeeded");
}

static void a_memory_that_fails_before_its_disks_switch_leaves_nothing(void **state)
{
    size_t files;

    go_on_from_an_image();
    files = world_files(&w);
    atomic_store(&fake_full, true);
    assert_string_equal(web_take(&w, "full"), "no-space");
    atomic_store(&fake_full, false);
    assert_string_equal(web_snapshot(&w, "full", NULL, "name"), "");
    assert_string_equal(world_vm(&w, "web", "run.state"), "running");
    assert_int_equal(world_files(&w), files);
    assert_string_equal(web_take(&w, "full"), "succeeded");
}

static void auto_has_no_guest_stand_still(void **state)
{
    struct uuid op;

    go_on_from_an_image();
    CLEANUP(json_decrefp) json_t *before = plan(CONSISTENCY_AUTO);
    assert_string_equal(json_get_text(before, "consistency"), "disk");
    assert_int_equal(json_get_u64(before, "pause_estimate_ms", 1), 0);
    assert_non_null(strstr(json_get_text(before, "reason"), "stand still"));
    op = web_take_begin(&w, "quick", CONSISTENCY_AUTO);
    assert_string_equal(web_outcome(&w, &op), "succeeded");
    assert_string_equal(web_snapshot(&w, "quick", NULL, "consistency"), "disk");
}

static void where_it_can_be_copied_while_it_runs_auto_has_it(void **state)
{
    struct uuid op;

    atomic_store(&fake_has_precopy, true);
    go_on_from_an_image();
    op = web_take_begin(&w, "next", CONSISTENCY_AUTO);
    assert_string_equal(web_outcome(&w, &op), "succeeded");
    assert_string_equal(web_snapshot(&w, "next", "memory", "way"), "precopy");
    assert_string_equal(web_revert(&w, "next", true), "succeeded");
}

static void what_cannot_be_is_refused_and_nothing_is_made(void **state)
{
    const struct snapshot_ask ask = {.name = "cold", .consistency = CONSISTENCY_RUNNING};
    struct err err = {0};
    struct uuid op;

    assert_string_equal(world_act(&w, "web", VM_VERB_STOP), "succeeded");
    assert_false(snapshot_take(w.core, "web", &ask, &world_admin, &op, &err));
    assert_int_equal(err.code, ERR_WRONG_STATE);
    assert_string_equal(err.field, "/consistency");
    assert_int_equal(world_files(&w), 2);
}

static void a_memory_that_finds_no_space_takes_its_snapshot_back(void **state)
{
    atomic_store(&fake_full, true);
    assert_string_equal(web_take(&w, "full"), "no-space");
    world_settle(&w, "web");
    atomic_store(&fake_full, false);
    assert_string_equal(web_snapshot(&w, "full", NULL, "name"), "");
    assert_string_equal(world_vm(&w, "web", "run.state"), "running");
    assert_int_equal(world_files(&w), 2);
    assert_string_equal(web_take(&w, "full"), "succeeded");
}

static void one_that_is_cancelled_before_the_disks_switch_leaves_nothing(void **state)
{
    struct err err = {0};
    struct uuid op;

    atomic_store(&fake_memory_held, true);
    op = web_take_begin(&w, "never", CONSISTENCY_RUNNING);
    assert_true(job_cancel(w.core, &op, &world_admin, &err));
    assert_string_equal(web_outcome(&w, &op), "cancelled");
    assert_string_equal(web_snapshot(&w, "never", NULL, "name"), "");
    assert_string_equal(world_vm(&w, "web", "run.state"), "running");
    assert_int_equal(world_files(&w), 2);
}

#ifdef VMMD_FAILPOINTS
/* The machine does not answer that it is to end with it, and is killed. */
static void a_vm_that_ends_meanwhile_has_a_snapshot_of_its_disks(void **state)
{
    struct uuid op;

    atomic_store(&fake_memory_held, true);
    op = web_take_begin(&w, "half", CONSISTENCY_RUNNING);
    await_step(&op, "switch");
    failpoint_arm("fake.memory.end=fail");
    assert_string_equal(world_act(&w, "web", VM_VERB_STOP), "succeeded");
    assert_string_equal(web_outcome(&w, &op), "hypervisor");
    failpoint_arm(NULL);
    assert_string_equal(web_snapshot(&w, "half", NULL, "consistency"), "disk");
    assert_string_equal(web_snapshot(&w, "half", "memory", "state"), "lost");
    assert_non_null(strstr(web_snapshot(&w, "half", "memory", "note"), "disks alone"));
    assert_int_equal(world_files(&w), 4);
    assert_int_equal(web_known_files(&w), 4);
    assert_string_equal(web_revert(&w, "half", true), "succeeded");
}
#endif

/* A fake machine goes with its daemon. */
static void a_host_that_loses_its_power_has_a_snapshot_of_its_disks(void **state)
{
    struct uuid op;

    atomic_store(&fake_memory_held, true);
    op = web_take_begin(&w, "over", CONSISTENCY_RUNNING);
    await_step(&op, "switch");
    restart();
    atomic_store(&fake_memory_held, false);
    assert_string_equal(web_outcome(&w, &op), "hypervisor");
    assert_string_equal(web_snapshot(&w, "over", "memory", "state"), "lost");
    assert_int_equal(world_files(&w), 4);
    assert_int_equal(web_known_files(&w), 4);
    restart();
    assert_string_equal(web_snapshot(&w, "over", "memory", "state"), "lost");
    assert_string_equal(web_revert(&w, "over", false), "succeeded");
}

static void a_deleted_snapshot_takes_its_memory_along(void **state)
{
    assert_string_equal(web_take(&w, "clean"), "succeeded");
    assert_string_equal(web_drop(&w, "clean"), "succeeded");
    assert_int_equal(world_files(&w), 2);
}

static void a_vm_goes_back_to_the_instant_from_whatever_it_does(void **state)
{
    assert_string_equal(web_take(&w, "clean"), "succeeded");
    assert_string_equal(web_revert(&w, "clean", false), "succeeded");
    assert_string_equal(world_vm(&w, "web", "run.state"), "saved");
    assert_int_equal(world_files(&w), 5);
    restart();
    assert_string_equal(world_vm(&w, "web", "run.state"), "saved");
    assert_string_equal(web_revert(&w, "clean", false), "succeeded");
    assert_string_equal(world_vm(&w, "web", "run.state"), "saved");
    assert_int_equal(world_files(&w), 5);
}

static void an_image_stays_as_long_as_somebody_needs_it(void **state)
{
    assert_string_equal(web_take(&w, "clean"), "succeeded");
    assert_string_equal(web_revert(&w, "clean", false), "succeeded");
    assert_string_equal(world_delete(&w, "web"), "succeeded");
    assert_int_equal(world_files(&w), 0);
}

static const char *clone_of_it(const char *name, bool full)
{
    return web_clone(&w, name, full, NULL);
}

static void a_clone_goes_on_with_the_same_memory(void **state)
{
    assert_string_equal(web_take(&w, "clean"), "succeeded");
    assert_string_equal(clone_of_it("twin", false), "succeeded");
    assert_string_equal(world_vm(&w, "twin", "run.state"), "saved");
    assert_int_equal(world_files(&w), 7);
    restart();
    assert_string_equal(world_vm(&w, "twin", "run.state"), "saved");
    assert_string_equal(world_delete(&w, "web"), "succeeded");
    assert_int_equal(world_files(&w), 5);
    restart();
    assert_int_equal(world_files(&w), 5);
    assert_string_equal(world_delete(&w, "twin"), "succeeded");
    assert_int_equal(world_files(&w), 0);
}

static void a_full_clone_keeps_the_memory_of_a_snapshot_that_is_gone(void **state)
{
    assert_string_equal(web_take(&w, "clean"), "succeeded");
    assert_string_equal(clone_of_it("twin", true), "succeeded");
    assert_string_equal(web_drop(&w, "clean"), "succeeded");
    assert_int_equal(world_files(&w), 5);
    assert_string_equal(world_delete(&w, "twin"), "succeeded");
    assert_int_equal(world_files(&w), 2);
}

static void a_full_clone_in_another_pool_has_a_memory_of_its_own(void **state)
{
    struct err err = {0};
    struct uuid id;

    assert_true(pool_create(w.core, "away", "second", &world_admin, &id, &err));
    assert_string_equal(web_take(&w, "clean"), "succeeded");
    assert_string_equal(web_clone(&w, "twin", true, "away"), "succeeded");
    assert_int_equal(world_files(&w), 8);
    assert_string_equal(world_vm(&w, "twin", "saved.pool"), "away");
    assert_string_equal(web_clone(&w, "child", false, "away"), "succeeded");
    assert_string_equal(world_vm(&w, "child", "saved.pool"), "main"); /* linked: shared */
    assert_string_equal(world_delete(&w, "child"), "succeeded");
    restart();
    assert_string_equal(world_delete(&w, "web"), "succeeded");
    assert_int_equal(world_files(&w), 3);
    assert_string_equal(world_act(&w, "twin", VM_VERB_START), "succeeded");
    assert_int_equal(world_files(&w), 2);
    assert_string_equal(world_act(&w, "twin", VM_VERB_STOP), "succeeded");
    assert_string_equal(world_delete(&w, "twin"), "succeeded");
    assert_int_equal(world_files(&w), 0);
}

static void a_snapshot_of_the_disks_boots_a_vm_that_ran(void **state)
{
    const struct uuid op = web_take_begin(&w, "cold", CONSISTENCY_DISK);

    assert_string_equal(web_outcome(&w, &op), "succeeded");
    assert_string_equal(web_revert(&w, "cold", true), "succeeded");
    assert_string_equal(world_vm(&w, "web", "run.state"), "running");
    assert_string_equal(web_revert(&w, "cold", false), "succeeded");
    assert_string_equal(world_vm(&w, "web", "run.state"), "off");
    assert_string_equal(web_revert(&w, "cold", true), "succeeded");
    assert_string_equal(world_vm(&w, "web", "run.state"), "off");
}

static void a_revert_from_the_saved_state_to_disks_gives_that_state_up(void **state)
{
    struct uuid op = web_take_begin(&w, "cold", CONSISTENCY_DISK);

    assert_string_equal(web_outcome(&w, &op), "succeeded");
    assert_string_equal(web_take(&w, "clean"), "succeeded");
    assert_string_equal(web_revert(&w, "clean", false), "succeeded");
    assert_string_equal(web_revert(&w, "cold", false), "succeeded");
    assert_string_equal(world_vm(&w, "web", "run.state"), "off");
    assert_string_equal(web_snapshot(&w, "clean", "memory", "state"), "ready");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_running_vm_is_kept_with_its_memory_and_runs_on),
        T(auto_says_why_it_is_of_the_disks_alone),
        T(one_that_began_with_an_image_stands_still_and_goes_on),
        T(a_memory_that_fails_before_its_disks_switch_leaves_nothing),
        T(auto_has_no_guest_stand_still),
        T(where_it_can_be_copied_while_it_runs_auto_has_it),
        T(what_cannot_be_is_refused_and_nothing_is_made),
        T(a_memory_that_finds_no_space_takes_its_snapshot_back),
        T(one_that_is_cancelled_before_the_disks_switch_leaves_nothing),
#ifdef VMMD_FAILPOINTS
        T(a_vm_that_ends_meanwhile_has_a_snapshot_of_its_disks),
#endif
        T(a_host_that_loses_its_power_has_a_snapshot_of_its_disks),
        T(a_deleted_snapshot_takes_its_memory_along),
        T(a_vm_goes_back_to_the_instant_from_whatever_it_does),
        T(an_image_stays_as_long_as_somebody_needs_it),
        T(a_clone_goes_on_with_the_same_memory),
        T(a_full_clone_keeps_the_memory_of_a_snapshot_that_is_gone),
        T(a_full_clone_in_another_pool_has_a_memory_of_its_own),
        T(a_snapshot_of_the_disks_boots_a_vm_that_ran),
        T(a_revert_from_the_saved_state_to_disks_gives_that_state_up),
    };

    return cmocka_run_group_tests_name("core/snapshots_memory", tests, NULL, NULL);
}
