/* Snapshots with the guest's memory on the fake backend: what is recorded when, what a failure or
 * the end of the VM or of the daemon makes of it, who needs an image and when it goes. That a real
 * guest goes on where it was is shown in tests/integration. */
#include "tests/lib/world.h"

#include "backends/fake/fake.h"
#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/pool.h"
#include "core/job/job.h"
#include "core/snap/clone.h"
#include "core/snap/snap.h"
#include "core/snap/tree.h"
#include "core/vm/registry.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DISKS "\"disks\":[{\"size_bytes\":1048576},{\"size_bytes\":2097152}]"

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

/* What came of an operation: "succeeded", "cancelled", or the error's slug. */
static const char *outcome(const struct uuid *op)
{
    static char text[64];
    CLEANUP(json_decrefp) json_t *job = world_end_of(&w, op);
    const char *state = json_get_text(job, "state");

    str_copy(text, sizeof text,
             str_eq(state, "failed") ? json_get_text(json_object_get(job, "error"), "code")
                                     : state);
    return text;
}

static struct uuid begin(const char *name, enum consistency consistency)
{
    const struct snapshot_ask ask = {.name = name, .consistency = consistency};
    struct err err = {0};
    struct uuid op;

    assert_true(snapshot_take(w.core, "web", &ask, &world_admin, &op, &err));
    return op;
}

static const char *take(const char *name)
{
    const struct uuid op = begin(name, CONSISTENCY_RUNNING);

    return outcome(&op);
}

/* A member of a snapshot as text or number, "" without the snapshot. */
static const char *member(const char *name, const char *of, const char *key)
{
    static char text[128];
    struct err err = {0};
    CLEANUP(json_decrefp) json_t *s = snapshot_show(w.core, "web", name, &err);
    const json_t *v = json_object_get(of ? json_object_get(s, of) : s, key);

    text[0] = 0;
    if (json_is_string(v))
        str_copy(text, sizeof text, json_string_value(v));
    else if (json_is_integer(v))
        snprintf(text, sizeof text, "%lld", (long long)json_integer_value(v));
    return text;
}

static bool json_boolean_of(const char *name, const char *key)
{
    struct err err = {0};
    CLEANUP(json_decrefp) json_t *s = snapshot_show(w.core, "web", name, &err);

    return json_get_bool(json_object_get(s, "memory"), key, false);
}

/* A byte in the middle of the snapshot's image is another one. */
static void spoil_image(const char *name)
{
    struct err err = {0};
    CLEANUP(vm_drop) struct vm_hold hold = {w.core, vm_get(w.core, "web", &err)};
    struct layer layer;
    struct stat st;
    char byte;
    int fd;

    lock_take(&w.core->registry.lock);
    layer = layer_of_file(w.core, file_find(w.core, &snapshot_find(hold.vm, name)->memory));
    lock_drop(&w.core->registry.lock);
    fd = layer_open(&layer, O_RDWR, &err);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(pread(fd, &byte, 1, st.st_size / 2), 1);
    byte ^= 0x55;
    assert_int_equal(pwrite(fd, &byte, 1, st.st_size / 2), 1);
    close(fd);
}

/* What the daemon believes to be there. */
static unsigned known_files(void)
{
    CLEANUP(mem_freep) struct layer *layers = NULL;
    struct uuid id;
    size_t n;

    assert_true(uuid_parse(world_vm(&w, "web", "id"), &id));
    layers = layers_of_vm(w.core, &id, &n);
    return (unsigned)n;
}

static const char *revert(const char *name, bool start)
{
    struct err err = {0};
    struct uuid op;

    if (!snapshot_revert_to(w.core, "web", name, start, &world_admin, &op, &err))
        return err_slug(err.code);
    return outcome(&op);
}

static const char *drop(const char *name)
{
    struct err err = {0};
    struct uuid op;

    assert_true(snapshot_delete(w.core, "web", name, NULL, &world_admin, &op, &err));
    return outcome(&op);
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
    assert_string_equal(take("clean"), "succeeded");
    assert_string_equal(world_vm(&w, "web", "run.state"), "running");
    assert_string_equal(member("clean", NULL, "consistency"), "running");
    assert_string_equal(member("clean", "memory", "state"), "ready");
    assert_string_equal(member("clean", "memory", "way"), "background");
    assert_string_equal(member("clean", "memory", "held_bytes"), "4096");
    assert_string_equal(member("clean", "memory", "pause_us"), "8000");
    assert_int_equal(world_files(&w), 5);
    restart();
    assert_string_equal(member("clean", "memory", "state"), "ready");
    assert_string_equal(member("clean", "memory", "held_bytes"), "4096");
}

static void auto_says_why_it_is_of_the_disks_alone(void **state)
{
    const char *reason;
    struct uuid op;

    assert_string_equal(world_act(&w, "web", VM_VERB_STOP), "succeeded");
    op = begin("cold", CONSISTENCY_AUTO);
    CLEANUP(json_decrefp) json_t *job = world_end_of(&w, &op);
    assert_string_equal(json_get_text(json_object_get(job, "result"), "consistency"), "disk");
    reason = json_get_text(json_object_get(job, "result"), "reason");
    assert_non_null(reason);
    assert_non_null(strstr(reason, "does not run"));
    assert_string_equal(member("cold", NULL, "consistency"), "disk");
    assert_string_equal(member("cold", "memory", "state"), "");
}

/* The VM goes on with the memory of its snapshot "clean": not in the background from then on. */
static void go_on_from_an_image(void)
{
    assert_string_equal(take("clean"), "succeeded");
    assert_string_equal(revert("clean", true), "succeeded");
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
    op = begin("next", CONSISTENCY_RUNNING);
    CLEANUP(json_decrefp) json_t *job = world_end_of(&w, &op);
    const json_t *result = json_object_get(job, "result");
    assert_string_equal(json_get_text(result, "way"), "still");
    assert_int_equal(json_get_u64(result, "pause_us", 0), 8000);
    assert_non_null(json_get_text(result, "reason"));
    assert_string_equal(world_vm(&w, "web", "run.state"), "running");
    assert_string_equal(member("next", "memory", "way"), "still");
    assert_string_equal(member("next", "memory", "pause_us"), "8000");
    assert_string_equal(revert("next", true), "succeeded");
}

static void a_memory_that_fails_before_its_disks_switch_leaves_nothing(void **state)
{
    size_t files;

    go_on_from_an_image();
    files = world_files(&w);
    atomic_store(&fake_full, true);
    assert_string_equal(take("full"), "no-space");
    atomic_store(&fake_full, false);
    assert_string_equal(member("full", NULL, "name"), "");
    assert_string_equal(world_vm(&w, "web", "run.state"), "running");
    assert_int_equal(world_files(&w), files);
    assert_string_equal(take("full"), "succeeded");
}

static void auto_has_no_guest_stand_still(void **state)
{
    struct uuid op;

    go_on_from_an_image();
    CLEANUP(json_decrefp) json_t *before = plan(CONSISTENCY_AUTO);
    assert_string_equal(json_get_text(before, "consistency"), "disk");
    assert_int_equal(json_get_u64(before, "pause_estimate_ms", 1), 0);
    assert_non_null(strstr(json_get_text(before, "reason"), "stand still"));
    op = begin("quick", CONSISTENCY_AUTO);
    assert_string_equal(outcome(&op), "succeeded");
    assert_string_equal(member("quick", NULL, "consistency"), "disk");
}

static void where_it_can_be_copied_while_it_runs_auto_has_it(void **state)
{
    struct uuid op;

    atomic_store(&fake_has_precopy, true);
    go_on_from_an_image();
    op = begin("next", CONSISTENCY_AUTO);
    assert_string_equal(outcome(&op), "succeeded");
    assert_string_equal(member("next", "memory", "way"), "precopy");
    assert_string_equal(revert("next", true), "succeeded");
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
    assert_string_equal(take("full"), "no-space");
    world_settle(&w, "web");
    atomic_store(&fake_full, false);
    assert_string_equal(member("full", NULL, "name"), "");
    assert_string_equal(world_vm(&w, "web", "run.state"), "running");
    assert_int_equal(world_files(&w), 2);
    assert_string_equal(take("full"), "succeeded");
}

static void one_that_is_cancelled_before_the_disks_switch_leaves_nothing(void **state)
{
    struct err err = {0};
    struct uuid op;

    atomic_store(&fake_memory_held, true);
    op = begin("never", CONSISTENCY_RUNNING);
    assert_true(job_cancel(w.core, &op, &world_admin, &err));
    assert_string_equal(outcome(&op), "cancelled");
    assert_string_equal(member("never", NULL, "name"), "");
    assert_string_equal(world_vm(&w, "web", "run.state"), "running");
    assert_int_equal(world_files(&w), 2);
}

#ifdef VMMD_FAILPOINTS
/* The machine does not answer that it is to end with it, and is killed. */
static void a_vm_that_ends_meanwhile_has_a_snapshot_of_its_disks(void **state)
{
    struct uuid op;

    atomic_store(&fake_memory_held, true);
    op = begin("half", CONSISTENCY_RUNNING);
    await_step(&op, "switch");
    failpoint_arm("fake.memory.end=fail");
    assert_string_equal(world_act(&w, "web", VM_VERB_STOP), "succeeded");
    assert_string_equal(outcome(&op), "hypervisor");
    failpoint_arm(NULL);
    assert_string_equal(member("half", NULL, "consistency"), "disk");
    assert_string_equal(member("half", "memory", "state"), "lost");
    assert_non_null(strstr(member("half", "memory", "note"), "disks alone"));
    assert_int_equal(world_files(&w), 4);
    assert_int_equal(known_files(), 4);
    assert_string_equal(revert("half", true), "succeeded");
}
#endif

/* A fake machine goes with its daemon. */
static void a_host_that_loses_its_power_has_a_snapshot_of_its_disks(void **state)
{
    struct uuid op;

    atomic_store(&fake_memory_held, true);
    op = begin("over", CONSISTENCY_RUNNING);
    await_step(&op, "switch");
    restart();
    atomic_store(&fake_memory_held, false);
    assert_string_equal(outcome(&op), "hypervisor");
    assert_string_equal(member("over", "memory", "state"), "lost");
    assert_int_equal(world_files(&w), 4);
    assert_int_equal(known_files(), 4);
    restart();
    assert_string_equal(member("over", "memory", "state"), "lost");
    assert_string_equal(revert("over", false), "succeeded");
}

static void a_deleted_snapshot_takes_its_memory_along(void **state)
{
    assert_string_equal(take("clean"), "succeeded");
    assert_string_equal(drop("clean"), "succeeded");
    assert_int_equal(world_files(&w), 2);
}

static void a_vm_goes_back_to_the_instant_from_whatever_it_does(void **state)
{
    assert_string_equal(take("clean"), "succeeded");
    assert_string_equal(revert("clean", false), "succeeded");
    assert_string_equal(world_vm(&w, "web", "run.state"), "saved");
    assert_int_equal(world_files(&w), 5);
    restart();
    assert_string_equal(world_vm(&w, "web", "run.state"), "saved");
    assert_string_equal(revert("clean", false), "succeeded");
    assert_string_equal(world_vm(&w, "web", "run.state"), "saved");
    assert_int_equal(world_files(&w), 5);
}

static void an_image_stays_as_long_as_somebody_needs_it(void **state)
{
    assert_string_equal(take("clean"), "succeeded");
    assert_string_equal(revert("clean", false), "succeeded");
    assert_string_equal(world_delete(&w, "web"), "succeeded");
    assert_int_equal(world_files(&w), 0);
}

static const char *clone_into(const char *name, bool full, const char *pool)
{
    const struct clone_ask ask = {.name = name, .snapshot = "clean", .full = full, .pool = pool};
    struct err err = {0};
    struct uuid op, id;

    if (!vm_clone(w.core, "web", &ask, &world_admin, &op, &id, &err))
        return err_slug(err.code);
    return outcome(&op);
}

static const char *clone_of_it(const char *name, bool full)
{
    return clone_into(name, full, NULL);
}

static void a_clone_goes_on_with_the_same_memory(void **state)
{
    assert_string_equal(take("clean"), "succeeded");
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
    assert_string_equal(take("clean"), "succeeded");
    assert_string_equal(clone_of_it("twin", true), "succeeded");
    assert_string_equal(drop("clean"), "succeeded");
    assert_int_equal(world_files(&w), 5);
    assert_string_equal(world_delete(&w, "twin"), "succeeded");
    assert_int_equal(world_files(&w), 2);
}

static void a_full_clone_in_another_pool_has_a_memory_of_its_own(void **state)
{
    struct err err = {0};
    struct uuid id;

    assert_true(pool_create(w.core, "away", "second", &world_admin, &id, &err));
    assert_string_equal(take("clean"), "succeeded");
    assert_string_equal(clone_into("twin", true, "away"), "succeeded");
    assert_int_equal(world_files(&w), 8);
    assert_string_equal(world_vm(&w, "twin", "saved.pool"), "away");
    assert_string_equal(clone_into("child", false, "away"), "succeeded");
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

static const char *archive(const char *name, bool pack)
{
    struct err err = {0};
    struct uuid op;

    if (!snapshot_archive(w.core, "web", name, pack, &world_admin, &op, &err))
        return err_slug(err.code);
    return outcome(&op);
}

__attribute__((unused)) static void an_archived_memory_waits_until_it_is_expanded(void **state)
{
    assert_string_equal(take("clean"), "succeeded");
    assert_string_equal(archive("clean", false), "wrong-state");
    assert_string_equal(archive("clean", true), "succeeded");
    assert_string_equal(archive("clean", true), "wrong-state");
    assert_int_equal(world_files(&w), 5);
    assert_int_equal(json_boolean_of("clean", "archived"), true);
    restart();
    assert_int_equal(json_boolean_of("clean", "archived"), true);
    assert_string_not_equal(member("clean", "memory", "archived_bytes"), "");
    assert_string_equal(revert("clean", true), "wrong-state");
    assert_string_equal(clone_of_it("twin", false), "wrong-state");
    assert_string_equal(archive("clean", false), "succeeded");
    assert_int_equal(json_boolean_of("clean", "archived"), false);
    assert_int_equal(world_files(&w), 5);
    assert_string_equal(revert("clean", true), "succeeded");
    assert_string_equal(world_vm(&w, "web", "run.state"), "running");
}

__attribute__((unused)) static void what_somebody_is_to_go_on_with_is_not_archived(void **state)
{
    const struct uuid op = begin("cold", CONSISTENCY_DISK);

    assert_string_equal(outcome(&op), "succeeded");
    assert_string_equal(archive("cold", true), "wrong-state"); /* there is nothing to */
    assert_string_equal(take("clean"), "succeeded");
    assert_string_equal(clone_of_it("twin", false), "succeeded");
    assert_string_equal(archive("clean", true), "wrong-state");
    assert_string_equal(world_delete(&w, "twin"), "succeeded");
    assert_string_equal(revert("clean", false), "succeeded");
    assert_string_equal(archive("clean", true), "wrong-state");
    assert_string_equal(world_act(&w, "web", VM_VERB_DISCARD), "succeeded");
    assert_string_equal(archive("clean", true), "succeeded");
    assert_string_equal(drop("clean"), "succeeded");
    assert_int_equal(world_files(&w), 4);
}

__attribute__((unused)) static void an_archive_that_was_damaged_is_not_expanded(void **state)
{
    assert_string_equal(take("clean"), "succeeded");
    assert_string_equal(archive("clean", true), "succeeded");
    spoil_image("clean");
    assert_string_equal(archive("clean", false), "unsupported");
    assert_int_equal(json_boolean_of("clean", "archived"), true);
    assert_int_equal(world_files(&w), 5);
}

static void a_snapshot_of_the_disks_boots_a_vm_that_ran(void **state)
{
    const struct uuid op = begin("cold", CONSISTENCY_DISK);

    assert_string_equal(outcome(&op), "succeeded");
    assert_string_equal(revert("cold", true), "succeeded");
    assert_string_equal(world_vm(&w, "web", "run.state"), "running");
    assert_string_equal(revert("cold", false), "succeeded");
    assert_string_equal(world_vm(&w, "web", "run.state"), "off");
    assert_string_equal(revert("cold", true), "succeeded");
    assert_string_equal(world_vm(&w, "web", "run.state"), "off");
}

static void a_revert_from_the_saved_state_to_disks_gives_that_state_up(void **state)
{
    struct uuid op = begin("cold", CONSISTENCY_DISK);

    assert_string_equal(outcome(&op), "succeeded");
    assert_string_equal(take("clean"), "succeeded");
    assert_string_equal(revert("clean", false), "succeeded");
    assert_string_equal(revert("cold", false), "succeeded");
    assert_string_equal(world_vm(&w, "web", "run.state"), "off");
    assert_string_equal(member("clean", "memory", "state"), "ready");
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
#ifndef VMMD_TSAN /* vmmd-pack may make too few calls for the thread sanitizer to live */
        T(an_archived_memory_waits_until_it_is_expanded),
        T(what_somebody_is_to_go_on_with_is_not_archived),
        T(an_archive_that_was_damaged_is_not_expanded),
#endif
        T(a_snapshot_of_the_disks_boots_a_vm_that_ran),
        T(a_revert_from_the_saved_state_to_disks_gives_that_state_up),
    };

    return cmocka_run_group_tests_name("core/snapshots_memory", tests, NULL, NULL);
}
