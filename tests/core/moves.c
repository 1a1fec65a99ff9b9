/* Moving storage on the fake backend: which files there are where, what the records say, and what
 * restarts, limits and refusals make of it. That the guest's data is right is shown with a real
 * one: tests/integration/moves.c. */
#include "tests/lib/ticks.h"
#include "tests/lib/world_acts.h"

#include "backends/fake/fake.h"
#include "core/base/failpoint.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/pool.h"
#include "core/job/job.h"
#include "core/move/move.h"
#include "core/snap/clone.h"
#include "core/snap/snap.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#define DISKS "\"disks\":[{\"size_bytes\":1048576,\"format\":\"raw\"},{\"size_bytes\":2097152}]"

static struct world w;

static int setup(void **state)
{
    struct err err = {0};
    struct uuid id;

    world_make(&w);
    assert_true(pool_create(w.core, "away", "second", &world_admin, &id, &err));
    world_create(&w, "web", DISKS);
    return 0;
}

static int teardown(void **state)
{
    world_remove(&w);
    return 0;
}

static const char *take(const char *name)
{
    return world_take(&w, "web", name);
}

static const char *revert(const char *name)
{
    return world_revert(&w, "web", name);
}

static const char *move_as(const struct move_request *request)
{
    struct err err = {0};
    json_t *plan = NULL;
    struct uuid op;

    return world_outcome(
        &w, vm_move_storage(w.core, "web", request, &world_admin, &op, &plan, &err), &op, &err);
}

static const char *move_to(const char *pool)
{
    const struct move_request request = {.pool = pool, .format = -1};

    return move_as(&request);
}

static json_t *plan_for(const struct move_request *request)
{
    struct origin dry = world_admin;
    struct err err = {0};
    json_t *plan = NULL;
    struct uuid op;

    dry.dry_run = true;
    assert_true(vm_move_storage(w.core, "web", request, &dry, &op, &plan, &err));
    assert_non_null(plan);
    return plan;
}

/* Files below a pool root, its pools' directories gone through. */
static unsigned files_in(const char *root)
{
    CLEANUP(mem_freep) char *path = str_format("%s/root-%s", w.dir, root);
    DIR *top = opendir(path);
    unsigned n = 0;

    assert_non_null(top);
    for (struct dirent *e; (e = readdir(top));) {
        CLEANUP(mem_freep) char *below = str_format("%s/%s", path, e->d_name);
        DIR *dir = strlen(e->d_name) == 36 ? opendir(below) : NULL;
        for (struct dirent *f; dir && (f = readdir(dir));)
            n += f->d_name[0] != '.';
        if (dir)
            closedir(dir);
    }
    closedir(top);
    return n;
}

/* The pools that the VM's configuration names, one a disk. */
static const char *pools(void)
{
    static char text[128];
    struct etag etag;
    struct err err = {0};
    CLEANUP(json_decrefp) json_t *vm = vm_show(w.core, "web", &etag, &err);
    const json_t *disk;
    size_t i;

    text[0] = 0;
    json_array_foreach (json_object_get(vm, "disks"), i, disk)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i ? " " : "",
                 json_get_text(disk, "pool"));
    return text;
}

static void a_vm_that_is_off_moves_with_all_its_disks(void **state)
{
    assert_string_equal(move_to("away"), "succeeded");
    assert_int_equal(files_in("main"), 0);
    assert_int_equal(files_in("second"), 2);
    assert_string_equal(pools(), "away away");
    world_restart(&w);
    assert_string_equal(pools(), "away away");
    assert_int_equal(files_in("second"), 2);
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
}

static void a_running_vm_moves_and_runs_on(void **state)
{
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    assert_string_equal(move_to("away"), "succeeded");
    assert_string_equal(world_vm(&w, "web", "state"), "running");
    assert_int_equal(files_in("main"), 0);
    assert_int_equal(files_in("second"), 2);
    assert_string_equal(pools(), "away away");
    assert_string_equal(take("a"), "succeeded");
    assert_string_equal(move_to("main"), "succeeded"); /* and back, with a snapshot */
    assert_int_equal(files_in("main"), 4);
    assert_int_equal(files_in("second"), 0);
    assert_string_equal(world_act(&w, "web", VM_VERB_STOP), "succeeded");
    world_restart(&w);
    assert_string_equal(revert("a"), "succeeded");
    assert_int_equal(files_in("main"), 4);
    assert_string_equal(pools(), "main main");
}

static void all_branches_of_the_tree_move(void **state)
{
    assert_string_equal(take("a"), "succeeded");
    assert_string_equal(take("b"), "succeeded");
    assert_string_equal(revert("a"), "succeeded");
    assert_string_equal(take("c"), "succeeded");
    assert_int_equal(files_in("main"), 8);
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    assert_string_equal(move_to("away"), "succeeded");
    assert_int_equal(files_in("main"), 0);
    assert_int_equal(files_in("second"), 8);
    assert_string_equal(world_act(&w, "web", VM_VERB_STOP), "succeeded");
    assert_string_equal(revert("b"), "succeeded");
    assert_string_equal(pools(), "away away");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    assert_string_equal(world_act(&w, "web", VM_VERB_STOP), "succeeded");
    assert_string_equal(world_delete(&w, "web"), "succeeded");
    assert_int_equal(files_in("second"), 0);
}

static void some_disks_move_and_the_others_stay(void **state)
{
    const char *const second[] = {"1"}, *const none[] = {"7"};
    struct move_request request = {.pool = "away", .disks = second, .n_disks = 1, .format = -1};

    assert_string_equal(move_as(&request), "succeeded");
    assert_string_equal(pools(), "main away");
    assert_int_equal(files_in("main"), 1);
    assert_int_equal(files_in("second"), 1);
    request.disks = none;
    assert_string_equal(move_as(&request), "not-found");
    assert_string_equal(move_to("away"), "succeeded"); /* the rest */
    assert_string_equal(pools(), "away away");
}

static void what_cannot_be_is_refused_with_the_reason(void **state)
{
    struct move_request request = {.pool = "away", .format = DISK_RAW};

    assert_string_equal(move_to("nowhere"), "not-found");
    assert_string_equal(move_to("main"), "wrong-state"); /* it is there */
    assert_string_equal(take("a"), "succeeded");
    assert_string_equal(move_as(&request), "wrong-state"); /* layers keep their formats */
    assert_int_equal(files_in("second"), 0);
    assert_int_equal(files_in("main"), 4);
}

static void a_dry_run_lists_what_stands_in_the_way(void **state)
{
    const struct move_request there = {.pool = "away", .format = -1},
                              here = {.pool = "main", .format = -1};
    CLEANUP(json_decrefp) json_t *good = plan_for(&there);
    CLEANUP(json_decrefp) json_t *bad = plan_for(&here);
    const json_t *blocker = json_array_get(json_object_get(bad, "blockers"), 0);

    assert_int_equal(json_array_size(json_object_get(good, "blockers")), 0);
    assert_int_equal(json_get_u64(good, "files", 0), 2);
    assert_true(json_get_u64(good, "free_bytes", 0) > 0);
    assert_true(json_get_u64(bad, "free_bytes", 0) > 0);
    assert_string_equal(json_get_text(blocker, "code"), "wrong-state");
    assert_string_equal(json_get_text(blocker, "pointer"), "/pool");
    assert_int_equal(files_in("second"), 0);
}

static void the_old_files_stay_when_that_is_wanted(void **state)
{
    const struct move_request request = {.pool = "away", .format = -1, .keep_source = true};

    assert_string_equal(move_as(&request), "succeeded");
    assert_int_equal(files_in("main"), 2);
    assert_int_equal(files_in("second"), 2);
    world_restart(&w); /* nobody sweeps them */
    assert_int_equal(files_in("main"), 2);
    assert_string_equal(world_delete(&w, "web"), "succeeded");
    assert_int_equal(files_in("main"), 2);
    assert_int_equal(files_in("second"), 0);
}

/* ---- the guest's memory goes along ---- */

static const char *take_memory(const char *name)
{
    const struct snapshot_ask ask = {.name = name, .consistency = CONSISTENCY_RUNNING};
    struct err err = {0};
    struct uuid op;

    return world_outcome(&w, snapshot_take(w.core, "web", &ask, &world_admin, &op, &err), &op,
                         &err);
}

/* It runs, and has a snapshot with its memory: 5 files. */
static void it_is_kept_while_it_runs(void)
{
    fake_tick_ms = 5;
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    ticks_await(&w, "web", 3);
    assert_string_equal(take_memory("busy"), "succeeded");
    assert_int_equal(files_in("main"), 5);
}

/* The snapshot's memory is believed: the guest goes on with it. */
static void it_goes_on_from_its_snapshot(void)
{
    assert_string_equal(revert("busy"), "succeeded");
    assert_string_equal(world_vm(&w, "web", "run.state"), "running");
    assert_string_equal(world_act(&w, "web", VM_VERB_STOP), "succeeded");
}

static void memory_goes_where_the_running_vm_goes(void **state)
{
    it_is_kept_while_it_runs();
    assert_string_equal(move_to("away"), "succeeded");
    assert_int_equal(files_in("main"), 0);
    assert_int_equal(files_in("second"), 5);
    world_restart(&w);
    assert_int_equal(files_in("second"), 5);
    it_goes_on_from_its_snapshot();
    assert_string_equal(world_delete(&w, "web"), "succeeded");
    assert_int_equal(files_in("second"), 0);
}

static void a_saved_vm_moves_and_goes_on_there(void **state)
{
    struct move_request raw = {.pool = "away", .format = DISK_RAW};

    it_is_kept_while_it_runs();
    assert_string_equal(world_act(&w, "web", VM_VERB_SAVE), "succeeded");
    assert_string_equal(move_as(&raw), "wrong-state");
    assert_string_equal(move_to("away"), "succeeded");
    assert_string_equal(world_vm(&w, "web", "run.state"), "saved");
    assert_string_equal(world_vm(&w, "web", "saved.pool"), "away");
    assert_int_equal(files_in("main"), 0);
    assert_int_equal(files_in("second"), 6);
    world_restart(&w);
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    assert_int_equal(ticks_read(&w, "web").boots, 1);
    assert_int_equal(files_in("second"), 5);
    it_goes_on_from_its_snapshot();
}

static void single_disks_leave_the_memory_and_all_of_it_takes_it_later(void **state)
{
    const char *const both[] = {"0", "1"};
    const struct move_request request = {.pool = "away", .disks = both, .n_disks = 2, .format = -1};
    const struct move_request rest = {.pool = "away", .format = -1};
    CLEANUP(json_decrefp) json_t *plan = NULL;

    it_is_kept_while_it_runs();
    assert_string_equal(move_as(&request), "succeeded");
    assert_int_equal(files_in("main"), 1);
    plan = plan_for(&rest);
    assert_int_equal(json_get_u64(plan, "files", 0), 1);
    assert_true(json_get_u64(plan, "bytes", 0) > 0);
    assert_string_equal(move_to("away"), "succeeded");
    assert_int_equal(files_in("main"), 0);
    it_goes_on_from_its_snapshot();
}

static void a_memory_that_a_clone_goes_on_with_stays(void **state)
{
    const struct clone_ask ask = {.name = "twin", .snapshot = "busy"};
    struct err err = {0};
    struct uuid op, id;

    it_is_kept_while_it_runs();
    assert_string_equal(
        world_outcome(&w, vm_clone(w.core, "web", &ask, &world_admin, &op, &id, &err), &op, &err),
        "succeeded");
    assert_string_equal(move_to("away"), "succeeded");
    assert_int_equal(files_in("main"), 5); /* the twin's, the frozen ones below, the memory */
    assert_int_equal(files_in("second"), 2);
    assert_string_equal(world_act(&w, "twin", VM_VERB_START), "succeeded");
    assert_string_equal(world_act(&w, "twin", VM_VERB_STOP), "succeeded");
    assert_string_equal(world_delete(&w, "twin"), "succeeded");
    assert_string_equal(move_to("away"), "succeeded");
    assert_int_equal(files_in("main"), 0);
    it_goes_on_from_its_snapshot();
}

static void the_old_memory_stays_when_that_is_wanted(void **state)
{
    const struct move_request request = {.pool = "away", .format = -1, .keep_source = true};

    it_is_kept_while_it_runs();
    assert_string_equal(move_as(&request), "succeeded");
    assert_int_equal(files_in("main"), 5);
    world_restart(&w);
    assert_int_equal(files_in("main"), 5);
    it_goes_on_from_its_snapshot();
    assert_string_equal(world_delete(&w, "web"), "succeeded");
    assert_int_equal(files_in("main"), 5);
    assert_int_equal(files_in("second"), 0);
}

/* ---- in the middle of it: a limit that makes it take for ever ---- */

#define CRAWL 10 /* bytes a second */

static struct uuid begin_slowly(void)
{
    const struct move_request request = {
        .pool = "away", .format = -1, .limited = true, .bytes_per_s = CRAWL};
    struct err err = {0};
    json_t *plan = NULL;
    struct uuid op;

    assert_true(vm_move_storage(w.core, "web", &request, &world_admin, &op, &plan, &err));
    return op;
}

static void let_go(const struct uuid *op)
{
    struct err err = {0};

    assert_true(job_limit(w.core, op, 0, &world_admin, &err));
}

static void cancelled_it_has_changed_nothing(void **state)
{
    struct uuid op = begin_slowly();
    struct err err = {0};

    assert_true(job_cancel(w.core, &op, &world_admin, &err));
    assert_string_equal(world_outcome(&w, true, &op, &err), "cancelled");
    assert_int_equal(files_in("main"), 2);
    assert_int_equal(files_in("second"), 0);
    assert_string_equal(pools(), "main main");
    assert_string_equal(move_to("away"), "succeeded");
}

static void a_limit_that_is_lifted_lets_it_go(void **state)
{
    struct uuid op = begin_slowly();
    struct err err = {0};

    let_go(&op);
    assert_string_equal(world_outcome(&w, true, &op, &err), "succeeded");
    assert_string_equal(pools(), "away away");
}

static void a_restart_goes_on_at_the_same_limit(void **state)
{
    struct uuid op = begin_slowly();
    struct err err = {0};
    CLEANUP(json_decrefp) json_t *job = NULL;

    world_restart(&w);
    job = job_show(w.core, &op, &err);
    assert_int_equal(json_get_u64(job, "bandwidth", 0), CRAWL);
    let_go(&op);
    assert_string_equal(world_outcome(&w, true, &op, &err), "succeeded");
    assert_int_equal(files_in("main"), 0);
    assert_int_equal(files_in("second"), 2);
}

static void forcing_the_vm_off_ends_it_first(void **state)
{
    struct err err = {0};
    struct uuid op;

    assert_string_equal(take("a"), "succeeded"); /* something to copy beside the guest */
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    op = begin_slowly();
    assert_string_equal(world_act(&w, "web", VM_VERB_RESET), "busy");
    assert_string_equal(world_act(&w, "web", VM_VERB_STOP), "succeeded");
    assert_string_equal(world_outcome(&w, true, &op, &err), "cancelled");
    assert_string_equal(world_vm(&w, "web", "state"), "off");
    assert_int_equal(files_in("main"), 4);
    assert_int_equal(files_in("second"), 0);
}

static void beside_it_the_vm_is_paused_and_goes_on(void **state)
{
    struct err err = {0};
    struct uuid op;

    assert_string_equal(take("a"), "succeeded");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    op = begin_slowly();
    assert_string_equal(world_act(&w, "web", VM_VERB_PAUSE), "succeeded");
    assert_string_equal(world_vm(&w, "web", "run.state"), "paused");
    assert_string_equal(world_act(&w, "web", VM_VERB_RESUME), "succeeded");
    let_go(&op);
    assert_string_equal(world_outcome(&w, true, &op, &err), "succeeded");
    assert_string_equal(pools(), "away away");
    assert_string_equal(world_vm(&w, "web", "state"), "running");
}

static struct uuid begin(const char *vm, const char *pool, bool slowly)
{
    const struct move_request request = {
        .pool = pool, .format = -1, .limited = slowly, .bytes_per_s = CRAWL};
    struct err err = {0};
    json_t *plan = NULL;
    struct uuid op;

    assert_true(vm_move_storage(w.core, vm, &request, &world_admin, &op, &plan, &err));
    return op;
}

static const char *state_of(const struct uuid *op)
{
    static char text[32];
    struct err err = {0};
    CLEANUP(json_decrefp) json_t *job = job_show(w.core, op, &err);

    str_copy(text, sizeof text, json_get_text(job, "state"));
    return text;
}

static void a_third_copy_to_a_pool_waits_and_others_pass_it(void **state)
{
    static const char *const vms[] = {"web", "two", "three"};
    struct uuid ops[3], aside, id;
    struct err err = {0};

    assert_true(pool_create(w.core, "aside", "second", &world_admin, &id, &err));
    world_create(&w, "two", DISKS);
    world_create(&w, "three", DISKS);
    world_create(&w, "four", DISKS);
    for (unsigned i = 0; i < 3; i++)
        ops[i] = begin(vms[i], "away", true);
    aside = begin("four", "aside", false);
    assert_string_equal(world_outcome(&w, true, &aside, &err), "succeeded");
    assert_string_equal(state_of(&ops[0]), "running");
    assert_string_equal(state_of(&ops[1]), "running");
    assert_string_equal(state_of(&ops[2]), "queued");
    assert_true(job_cancel(w.core, &ops[0], &world_admin, &err));
    assert_string_equal(world_outcome(&w, true, &ops[0], &err), "cancelled");
    let_go(&ops[2]);
    assert_string_equal(world_outcome(&w, true, &ops[2], &err), "succeeded");
    assert_string_equal(state_of(&ops[1]), "running");
    let_go(&ops[1]);
    assert_string_equal(world_outcome(&w, true, &ops[1], &err), "succeeded");
}

/* Its VM is not held up by copies that it does not wait for any more. */
static void what_waits_for_its_turn_is_cancelled_at_once(void **state)
{
    static const char *const vms[] = {"web", "two", "three"};
    struct uuid ops[3];
    struct err err = {0};

    world_create(&w, "two", DISKS);
    world_create(&w, "three", DISKS);
    for (unsigned i = 0; i < 3; i++)
        ops[i] = begin(vms[i], "away", true);
    assert_string_equal(state_of(&ops[2]), "queued");
    assert_true(job_cancel(w.core, &ops[2], &world_admin, &err));
    assert_string_equal(world_outcome(&w, true, &ops[2], &err), "cancelled");
    assert_string_equal(state_of(&ops[0]), "running");
    assert_string_equal(state_of(&ops[1]), "running");
    assert_string_equal(world_act(&w, "three", VM_VERB_START), "succeeded");
    for (unsigned i = 0; i < 2; i++) {
        assert_true(job_cancel(w.core, &ops[i], &world_admin, &err));
        assert_string_equal(world_outcome(&w, true, &ops[i], &err), "cancelled");
    }
}

/* Whether the daemon ended before the operation saw it or not. */
static void a_cancellation_outlives_the_daemon(void **state)
{
    struct uuid op = begin_slowly();
    struct err err = {0};

    assert_true(job_cancel(w.core, &op, &world_admin, &err));
    world_restart(&w);
    assert_string_equal(world_outcome(&w, true, &op, &err), "cancelled");
    assert_string_equal(pools(), "main main");
    assert_int_equal(files_in("second"), 0);
}

#ifdef VMMD_FAILPOINTS
static void a_cancellation_that_cannot_be_kept_is_refused(void **state)
{
    struct uuid op = begin_slowly();
    struct err err = {0};

    failpoint_arm("job.cancel=fail");
    assert_false(job_cancel(w.core, &op, &world_admin, &err));
    failpoint_arm(NULL);
    let_go(&op);
    assert_string_equal(world_outcome(&w, true, &op, &(struct err){0}), "succeeded");
}

/* It may be the copy that fills the disk. */
static void a_cancellation_needs_no_space(void **state)
{
    struct uuid op = begin_slowly();
    struct err err = {0};

    failpoint_arm("job.cancel=full");
    assert_true(job_cancel(w.core, &op, &world_admin, &err));
    failpoint_arm(NULL);
    assert_string_equal(world_outcome(&w, true, &op, &err), "cancelled");
}
#endif

static void an_operation_that_cannot_be_limited_says_so(void **state)
{
    struct err err = {0};
    json_t *plan = NULL;
    const struct move_request request = {.pool = "away", .format = -1};
    struct uuid op;

    assert_true(vm_move_storage(w.core, "web", &request, &world_admin, &op, &plan, &err));
    json_decref(world_end_of(&w, &op));
    assert_false(job_limit(w.core, &op, 1000, &world_admin, &err)); /* over */
    assert_int_equal(err.code, ERR_WRONG_STATE);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_vm_that_is_off_moves_with_all_its_disks),
        T(a_running_vm_moves_and_runs_on),
        T(all_branches_of_the_tree_move),
        T(some_disks_move_and_the_others_stay),
        T(what_cannot_be_is_refused_with_the_reason),
        T(a_dry_run_lists_what_stands_in_the_way),
        T(the_old_files_stay_when_that_is_wanted),
        T(memory_goes_where_the_running_vm_goes),
        T(a_saved_vm_moves_and_goes_on_there),
        T(single_disks_leave_the_memory_and_all_of_it_takes_it_later),
        T(a_memory_that_a_clone_goes_on_with_stays),
        T(the_old_memory_stays_when_that_is_wanted),
        T(cancelled_it_has_changed_nothing),
        T(a_limit_that_is_lifted_lets_it_go),
        T(a_restart_goes_on_at_the_same_limit),
        T(forcing_the_vm_off_ends_it_first),
        T(beside_it_the_vm_is_paused_and_goes_on),
        T(a_third_copy_to_a_pool_waits_and_others_pass_it),
        T(what_waits_for_its_turn_is_cancelled_at_once),
        T(a_cancellation_outlives_the_daemon),
#ifdef VMMD_FAILPOINTS
        T(a_cancellation_that_cannot_be_kept_is_refused),
        T(a_cancellation_needs_no_space),
#endif
        T(an_operation_that_cannot_be_limited_says_so),
    };

    return cmocka_run_group_tests_name("core/moves", tests, NULL, NULL);
}
