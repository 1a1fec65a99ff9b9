/* Snapshots with an archived memory, on the fake backend and with the real vmmd-pack: who goes on
 * with one has it expanded for themselves, whatever fails on the way. */
#include "tests/lib/web_memory.h"

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/pool.h"
#include "core/job/job.h"
#include "core/snap/clone.h"
#include "tests/lib/points.h"

#include <stdlib.h>

#ifndef VMMD_TSAN /* vmmd-pack may make too few calls for the thread sanitizer to live */
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
    world_remove(&w);
    return 0;
}

static void restart(void)
{
    world_close(&w);
    assert_true(world_open(&w));
}

static void archived(void)
{
    assert_string_equal(web_take(&w, "clean"), "succeeded");
    assert_string_equal(web_archive(&w, "clean", true), "succeeded");
    assert_int_equal(world_files(&w), 5);
}

static void a_memory_is_archived_and_expanded_again(void **state)
{
    assert_string_equal(web_take(&w, "clean"), "succeeded");
    assert_string_equal(web_archive(&w, "clean", false), "wrong-state");
    assert_string_equal(web_archive(&w, "clean", true), "succeeded");
    assert_string_equal(web_archive(&w, "clean", true), "wrong-state");
    assert_int_equal(world_files(&w), 5);
    assert_int_equal(web_memory_is(&w, "clean", "archived"), true);
    restart();
    assert_int_equal(web_memory_is(&w, "clean", "archived"), true);
    assert_string_not_equal(web_snapshot(&w, "clean", "memory", "archived_bytes"), "");
    assert_string_equal(web_archive(&w, "clean", false), "succeeded");
    assert_int_equal(web_memory_is(&w, "clean", "archived"), false);
    assert_int_equal(world_files(&w), 5);
    assert_string_equal(web_revert(&w, "clean", true), "succeeded");
    assert_string_equal(world_vm(&w, "web", "run.state"), "running");
}

/* The VM has an image of its own until it goes on. */
static void a_vm_goes_back_to_an_archived_memory_by_itself(void **state)
{
    archived();
    for (unsigned i = 0; i < 3; i++) {
        assert_string_equal(web_revert(&w, "clean", false), "succeeded");
        assert_string_equal(world_vm(&w, "web", "run.state"), "saved");
        assert_int_equal(web_memory_is(&w, "clean", "archived"), true);
        assert_int_equal(world_files(&w), 6);
        restart();
    }
    assert_string_equal(web_archive(&w, "clean", false),
                        "succeeded"); /* that is not what it goes on with */
    assert_string_equal(web_archive(&w, "clean", true), "succeeded");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    assert_int_equal(world_files(&w), 5);
    assert_string_equal(web_revert(&w, "clean", true), "succeeded");
    assert_string_equal(world_vm(&w, "web", "run.state"), "running");
    assert_int_equal(world_files(&w), 5);
    assert_int_equal(web_known_files(&w), 5);
    assert_string_equal(web_revert(&w, "clean", false), "succeeded");
    assert_string_equal(world_act(&w, "web", VM_VERB_DISCARD), "succeeded");
    assert_int_equal(world_files(&w), 5);
    assert_string_equal(web_drop(&w, "clean"), "succeeded");
    assert_int_equal(world_files(&w), 2);
}

static void a_dry_run_says_what_expanding_takes(void **state)
{
    const struct snapshot_act act = {
        .verb = VM_VERB_REVERT, .snapshot = "clean", .consistency = CONSISTENCY_DISK};
    const struct clone_ask ask = {.name = "twin", .snapshot = "clean"};
    struct err err = {0};
    uint64_t bytes;

    archived();
    assert_true(str_to_u64(web_snapshot(&w, "clean", "memory", "plain_bytes"), &bytes));
    CLEANUP(json_decrefp) json_t *back = snapshot_plan(w.core, "web", &act, &err);
    assert_int_equal(json_array_size(json_object_get(back, "blockers")), 0);
    assert_int_equal(json_get_u64(back, "bytes", 0), bytes);
    assert_int_equal(json_get_u64(back, "estimate_s", 0), 1);
    CLEANUP(json_decrefp) json_t *clone = vm_clone_plan(w.core, "web", &ask, &err);
    assert_int_equal(json_array_size(json_object_get(clone, "blockers")), 0);
    assert_int_equal(json_get_u64(clone, "bytes", 0), bytes);
}

static void clones_of_an_archived_memory_have_it_expanded(void **state)
{
    struct err err = {0};
    struct uuid id;

    assert_true(pool_create(w.core, "away", "second", &world_admin, &id, &err));
    archived();
    assert_string_equal(web_clone(&w, "linked", false, NULL), "succeeded");
    assert_string_equal(web_clone(&w, "full", true, NULL), "succeeded");
    assert_string_equal(web_clone(&w, "far", true, "away"), "succeeded");
    assert_int_equal(web_memory_is(&w, "clean", "archived"), true);
    assert_int_equal(world_files(&w), 5 + 3 * 3);
    assert_string_equal(world_vm(&w, "linked", "saved.pool"), "main");
    assert_string_equal(world_vm(&w, "far", "saved.pool"), "away");
    assert_string_equal(web_archive(&w, "clean", false), "succeeded"); /* they need it no more */
    restart();
    assert_string_equal(world_act(&w, "linked", VM_VERB_START), "succeeded");
    assert_string_equal(world_act(&w, "full", VM_VERB_START), "succeeded");
    assert_string_equal(world_act(&w, "far", VM_VERB_START), "succeeded");
    assert_int_equal(world_files(&w), 5 + 3 * 2);
}

/* Whoever is refused goes on as before. */
static void what_cannot_be_expanded_leaves_all_as_it_was(void **state)
{
    archived();
    web_spoil_image(&w, "clean");
    assert_string_equal(web_revert(&w, "clean", true), "unsupported");
    assert_string_equal(world_vm(&w, "web", "run.state"), "running");
    assert_string_equal(web_clone(&w, "twin", false, NULL), "unsupported");
    assert_false(world_has_vm(&w, "twin"));
    assert_string_equal(web_clone(&w, "twin", true, NULL), "unsupported");
    assert_int_equal(world_files(&w), 5);
    assert_int_equal(web_known_files(&w), 5);
    assert_int_equal(web_memory_is(&w, "clean", "archived"), true);
    restart();
    assert_int_equal(world_files(&w), 5);
}

#ifdef VMMD_FAILPOINTS
/* What is cancelled before the VM was touched leaves it alone. */
static void a_revert_is_cancelled_while_the_memory_is_expanded(void **state)
{
    const struct point there = {"vm.revert.expand.done", 1};
    CLEANUP(mem_freep) char *path = str_format("%s/points", w.dir);
    struct err err = {0};
    struct uuid op;

    archived();
    points_open(path);
    points_arm(&there, false);
    assert_true(snapshot_revert_to(w.core, "web", "clean", true, &world_admin, &op, &err));
    assert_true(points_reached(20000));
    assert_true(job_cancel(w.core, &op, &world_admin, &err));
    points_release();
    points_close();
    assert_string_equal(web_outcome(&w, &op), "cancelled");
    assert_string_equal(world_vm(&w, "web", "run.state"), "running");
    assert_int_equal(world_files(&w), 5);
    assert_int_equal(web_known_files(&w), 5);
}
#endif

static void what_somebody_is_to_go_on_with_is_not_archived(void **state)
{
    const struct uuid op = web_take_begin(&w, "cold", CONSISTENCY_DISK);

    assert_string_equal(web_outcome(&w, &op), "succeeded");
    assert_string_equal(web_archive(&w, "cold", true), "wrong-state"); /* there is nothing to */
    assert_string_equal(web_take(&w, "clean"), "succeeded");
    assert_string_equal(web_clone(&w, "twin", false, NULL), "succeeded");
    assert_string_equal(web_archive(&w, "clean", true), "wrong-state");
    assert_string_equal(world_delete(&w, "twin"), "succeeded");
    assert_string_equal(web_revert(&w, "clean", false), "succeeded");
    assert_string_equal(web_archive(&w, "clean", true), "wrong-state");
    assert_string_equal(world_act(&w, "web", VM_VERB_DISCARD), "succeeded");
    assert_string_equal(web_archive(&w, "clean", true), "succeeded");
    assert_string_equal(web_drop(&w, "clean"), "succeeded");
    assert_int_equal(world_files(&w), 4);
}

static void an_archive_that_was_damaged_is_not_expanded(void **state)
{
    assert_string_equal(web_take(&w, "clean"), "succeeded");
    assert_string_equal(web_archive(&w, "clean", true), "succeeded");
    web_spoil_image(&w, "clean");
    assert_string_equal(web_archive(&w, "clean", false), "unsupported");
    assert_int_equal(web_memory_is(&w, "clean", "archived"), true);
    assert_int_equal(world_files(&w), 5);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_memory_is_archived_and_expanded_again),
        T(a_vm_goes_back_to_an_archived_memory_by_itself),
        T(a_dry_run_says_what_expanding_takes),
        T(clones_of_an_archived_memory_have_it_expanded),
        T(what_cannot_be_expanded_leaves_all_as_it_was),
#ifdef VMMD_FAILPOINTS
        T(a_revert_is_cancelled_while_the_memory_is_expanded),
#endif
        T(what_somebody_is_to_go_on_with_is_not_archived),
        T(an_archive_that_was_damaged_is_not_expanded),
    };

    return cmocka_run_group_tests_name("core/archived", tests, NULL, NULL);
}

#else
int main(void)
{
    print_message(
        "[  SKIPPED ] core/archived: vmmd-pack does not run under the thread sanitizer\n");
    return 0;
}
#endif
