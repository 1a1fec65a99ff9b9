/* Clones on the fake backend: which files there are, whose they are and which lies on which,
 * whoever goes first, and what a restart makes of it. That the data is right is shown with a real
 * guest: tests/integration/clones.c. */
#include "tests/lib/points.h"
#include "tests/lib/world_acts.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/base/thread.h"
#include "core/disk/pool.h"
#include "core/job/job.h"
#include "core/move/move.h"
#include "core/snap/clone.h"
#include "core/snap/snap.h"
#include "core/snap/tree.h"
#include "core/user/granting.h"
#include "core/user/sight.h"
#include "core/user/user.h"
#include "core/vm/registry.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define DISKS "\"disks\":[{\"size_bytes\":1048576,\"format\":\"raw\"},{\"size_bytes\":2097152}]"

static struct world w;

static int setup(void **state)
{
    world_make(&w);
    world_create(&w, "web", DISKS);
    return 0;
}

static int teardown(void **state)
{
    world_remove(&w);
    return 0;
}

static const char *clone_as(const char *vm, const struct clone_ask *ask)
{
    struct err err = {0};
    struct uuid op, id;

    return world_outcome(&w, vm_clone(w.core, vm, ask, &world_admin, &op, &id, &err), &op, &err);
}

static const char *clone_from(const char *vm, const char *snapshot, const char *name)
{
    const struct clone_ask ask = {.name = name, .snapshot = snapshot};

    return clone_as(vm, &ask);
}

static const char *flatten(const char *vm)
{
    return world_act(&w, vm, VM_VERB_FLATTEN);
}

static void start(const char *vm)
{
    assert_string_equal(world_act(&w, vm, VM_VERB_START), "succeeded");
}

static void a_clone_is_a_file_on_each_file_of_the_snapshot(void **state)
{
    assert_string_equal(world_take(&w, "web", "a"), "succeeded");
    assert_int_equal(world_files(&w), 4);
    assert_string_equal(clone_from("web", "a", "two"), "succeeded");
    assert_int_equal(world_files(&w), 6);
    assert_string_equal(clone_from("web", "a", "two"), "exists");
    assert_string_equal(clone_from("web", "b", "three"), "not-found");
    start("web");
    start("two");
    world_restart(&w);
    assert_int_equal(world_files(&w), 6);
    start("two");
}

static void a_clone_has_an_identity_of_its_own(void **state)
{
    char one[80], two[80];

    assert_string_equal(clone_from("web", NULL, "two"), "succeeded");
    str_copy(one, sizeof one, world_vm(&w, "web", "generation_id"));
    str_copy(two, sizeof two, world_vm(&w, "two", "generation_id"));
    assert_string_not_equal(one, two);
    str_copy(one, sizeof one, world_vm(&w, "web", "id"));
    assert_string_not_equal(one, world_vm(&w, "two", "id"));
    assert_string_equal(world_vm(&w, "two", "vcpus"), "1");
}

/* The snapshot that is taken for it stands in the other VM's tree. */
static void a_vm_is_cloned_as_it_is_while_it_runs(void **state)
{
    struct err err = {0};
    CLEANUP(json_decrefp) json_t *s = NULL;

    start("web");
    assert_string_equal(clone_from("web", NULL, "two"), "succeeded");
    assert_string_equal(clone_from("web", NULL, "three"), "succeeded");
    assert_string_equal(world_vm(&w, "web", "state"), "running");
    assert_int_equal(world_files(&w), 10);
    s = snapshot_show(w.core, "web", "clone-three", &err);
    assert_non_null(s);
    start("two");
    start("three");
    assert_string_equal(clone_from("two", NULL, "four"), "succeeded");
    assert_int_equal(world_files(&w), 14);
}

static void whoever_goes_first_the_others_keep_what_they_lie_on(void **state)
{
    assert_string_equal(clone_from("web", NULL, "two"), "succeeded");
    assert_string_equal(clone_from("two", NULL, "three"), "succeeded");
    assert_int_equal(world_files(&w), 2 + 2 + 2 + 2 + 2);
    assert_string_equal(world_delete(&w, "web"), "succeeded");
    assert_int_equal(world_files(&w), 8); /* its leaves went */
    world_restart(&w);
    assert_int_equal(world_files(&w), 8);
    assert_string_equal(world_delete(&w, "two"), "succeeded");
    assert_int_equal(world_files(&w), 6); /* base, two's frozen file, three's leaf */
    world_restart(&w);
    assert_int_equal(world_files(&w), 6);
    start("three");
    assert_string_equal(world_act(&w, "three", VM_VERB_STOP), "succeeded");
    assert_string_equal(world_delete(&w, "three"), "succeeded");
    assert_int_equal(world_files(&w), 0);
}

static void the_clone_may_go_first_as_well(void **state)
{
    assert_string_equal(clone_from("web", NULL, "two"), "succeeded");
    assert_string_equal(world_delete(&w, "two"), "succeeded");
    assert_int_equal(world_files(&w), 4);
    assert_string_equal(world_drop(&w, "web", "clone-two"), "succeeded");
    assert_int_equal(world_files(&w), 2);
}

static void a_deleted_snapshot_leaves_its_files_to_its_clones(void **state)
{
    assert_string_equal(world_take(&w, "web", "a"), "succeeded");
    assert_string_equal(world_take(&w, "web", "b"), "succeeded");
    assert_string_equal(clone_from("web", "b", "two"), "succeeded");
    assert_int_equal(world_files(&w), 8);
    assert_string_equal(world_drop(&w, "web", "b"), "succeeded");
    assert_string_equal(world_drop(&w, "web", "a"),
                        "succeeded"); /* b's files, which lie on a's, are not written */
    assert_int_equal(world_files(&w), 8);
    world_restart(&w);
    start("web");
    start("two");
    assert_string_equal(world_act(&w, "two", VM_VERB_STOP), "succeeded");
    assert_string_equal(world_delete(&w, "two"), "succeeded");
    assert_int_equal(world_files(&w), 6); /* web lies on them itself */
    assert_string_equal(world_act(&w, "web", VM_VERB_STOP), "succeeded");
    assert_string_equal(flatten("web"), "succeeded");
    assert_int_equal(world_files(&w), 2);
    start("web");
}

static void an_independent_clone_lies_on_nothing(void **state)
{
    assert_string_equal(clone_from("web", NULL, "two"), "succeeded");
    start("two");
    assert_string_equal(flatten("two"), "succeeded");
    assert_string_equal(flatten("two"), "succeeded"); /* nothing to do */
    assert_string_equal(world_drop(&w, "web", "clone-two"), "succeeded");
    assert_int_equal(world_files(&w), 4);
    assert_string_equal(world_delete(&w, "web"), "succeeded");
    assert_int_equal(world_files(&w), 2);
    world_restart(&w);
    assert_int_equal(world_files(&w), 2);
}

static void a_full_clone_shares_nothing(void **state)
{
    const struct clone_ask ask = {.name = "two", .full = true, .start = true};
    const struct clone_ask of = {.name = "three", .snapshot = "a", .full = true};

    assert_string_equal(clone_as("web", &ask), "succeeded");
    assert_string_equal(world_vm(&w, "two", "state"), "running");
    assert_int_equal(world_files(&w), 6);
    assert_string_equal(world_drop(&w, "web", "clone-two"), "succeeded");
    assert_int_equal(world_files(&w), 4);
    assert_string_equal(world_take(&w, "web", "a"), "succeeded");
    assert_string_equal(clone_as("web", &of), "succeeded");
    assert_int_equal(world_files(&w), 8);
    assert_string_equal(world_delete(&w, "web"), "succeeded");
    assert_int_equal(world_files(&w), 4);
}

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

/* A full clone that copies for as long as it is let. */
static struct uuid begin_to_copy(void)
{
    const struct clone_ask ask = {.name = "two", .full = true, .limited = true, .bytes_per_s = 1};
    struct err err = {0};
    struct uuid op, id;

    assert_true(vm_clone(w.core, "web", &ask, &world_admin, &op, &id, &err));
    await_step(&op, "copy");
    return op;
}

static void cancel(const struct uuid *op)
{
    struct err err = {0};

    assert_true(job_cancel(w.core, op, &world_admin, &err));
    assert_string_equal(world_outcome(&w, true, op, &err), "cancelled");
    assert_false(world_has_vm(&w, "two"));
}

static unsigned known_files(void)
{
    CLEANUP(mem_freep) struct layer *layers = NULL;
    struct uuid id;
    size_t n;

    assert_true(uuid_parse(world_vm(&w, "web", "id"), &id));
    layers = layers_of_vm(w.core, &id, &n);
    return (unsigned)n;
}

/* What was taken for it is the other VM's, whatever that has done with it meanwhile. */
static void a_full_clone_that_is_cancelled_takes_nothing_from_the_other_vm(void **state)
{
    const char *outcome;
    struct uuid op;

    start("web");
    op = begin_to_copy();
    while (str_eq(outcome = world_drop(&w, "web", "clone-two"), "busy"))
        (void)poll(NULL, 0, 5); /* the clone lets go of it at its next step */
    assert_string_equal(outcome, "succeeded");
    cancel(&op);
    assert_int_equal(world_files(&w), 4);
    world_restart(&w);
    assert_int_equal(world_files(&w), 4);
    start("web");
}

static void a_full_clone_knows_no_files_that_the_other_vm_has_left(void **state)
{
    const char *outcome;
    struct uuid op;

    op = begin_to_copy();
    while (str_eq(outcome = world_revert(&w, "web", "clone-two"), "busy"))
        (void)poll(NULL, 0, 5); /* as above */
    assert_string_equal(outcome, "succeeded");
    cancel(&op);
    assert_int_equal(world_files(&w), 4);
    assert_int_equal(known_files(), 4);
}

static void a_pool_with_files_that_clones_use_stays(void **state)
{
    const struct clone_ask ask = {.name = "two", .pool = "other"};
    struct err err = {0};
    struct uuid pool;

    assert_true(pool_create(w.core, "other", "second", &world_admin, &pool, &err));
    assert_string_equal(clone_as("web", &ask), "succeeded");
    assert_string_equal(world_delete(&w, "web"), "succeeded");
    assert_false(pool_delete(w.core, "main", &world_admin, &err));
    assert_int_equal(err.code, ERR_IN_USE);
    assert_string_equal(flatten("two"), "succeeded");
    err = (struct err){0};
    assert_true(pool_delete(w.core, "main", &world_admin, &err));
}

static void a_plan_says_what_stays_for_whom(void **state)
{
    const struct snapshot_act act = {.verb = VM_VERB_DELETE_SNAPSHOT, .snapshot = "a"};
    const struct snapshot_act none = {.verb = VM_VERB_DELETE_SNAPSHOT, .snapshot = "none"};
    struct err err = {0};
    CLEANUP(json_decrefp) json_t *plan = NULL, *next = NULL;

    assert_string_equal(world_take(&w, "web", "a"), "succeeded");
    plan = snapshot_plan(w.core, "web", &act, &err);
    assert_true(json_get_u64(plan, "bytes", 0) > 0);
    assert_int_equal(json_get_u64(plan, "freed_bytes", 0), json_get_u64(plan, "bytes", 1));
    assert_string_equal(clone_from("web", "a", "two"), "succeeded");
    start("web");
    next = snapshot_plan(w.core, "web", &act, &err);
    assert_int_equal(json_get_u64(next, "bytes", 1), 0);
    assert_string_equal(json_get_text(next, "kept_for"), "two");
    assert_null(snapshot_plan(w.core, "web", &none, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
}

static json_t *blockers_of(const struct clone_ask *ask)
{
    struct err err = {0};
    CLEANUP(json_decrefp) json_t *plan = vm_clone_plan(w.core, "web", ask, &err);

    assert_non_null(plan);
    return json_incref(json_object_get(plan, "blockers"));
}

static void all_that_stands_in_the_way_is_listed(void **state)
{
    const struct clone_ask good = {.name = "two"}, bad = {.name = "two", .snapshot = "none"};
    const struct clone_ask taken = {.name = "web"};
    CLEANUP(json_decrefp) json_t *no = blockers_of(&good), *one = blockers_of(&taken), *two = NULL;
    CLEANUP(vm_drop) struct vm_hold hold = {w.core, vm_get(w.core, "web", &(struct err){0})};
    const struct uuid holder = uuid_new();
    struct err err = {0};

    assert_int_equal(json_array_size(no), 0);
    assert_int_equal(json_array_size(one), 1);
    assert_true(vm_claim_free(w.core, hold.vm, &holder, "vm.move-storage", &err));
    two = blockers_of(&taken);
    vm_unclaim(w.core, hold.vm, &holder);
    assert_int_equal(json_array_size(two), 2);
    assert_true(json_equal(json_array_get(two, 0), json_array_get(one, 0)));
    assert_string_equal(json_get_text(json_array_get(two, 1), "code"), "busy");
    assert_null(vm_clone_plan(w.core, "web", &bad, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
}

static void a_dry_run_changes_nothing(void **state)
{
    const struct clone_ask ask = {.name = "two"}, taken = {.name = "web"};
    struct origin dry = world_admin;
    struct err err = {0};
    struct uuid op, id;

    dry.dry_run = true;
    assert_true(vm_clone(w.core, "web", &ask, &dry, &op, &id, &err));
    assert_true(uuid_is_zero(&op));
    assert_int_equal(world_files(&w), 2);
    assert_false(vm_clone(w.core, "web", &taken, &dry, &op, &id, &err));
    assert_int_equal(err.code, ERR_EXISTS);
    start("web");
}

/* ---- beside edits of the source ---- */

/* Takes 'labels'. */
static bool label_web(json_t *labels, struct err *err)
{
    CLEANUP(json_decrefp) json_t *patch = json_object();
    struct etag etag;
    json_t *shown;

    json_put(patch, "labels", labels);
    shown = vm_edit(w.core, "web", patch, NULL, &world_admin, &etag, err);
    json_decref(shown);
    return shown != NULL;
}

/* So many that a look at all takes a while. */
static json_t *many_labels(void)
{
    json_t *labels = json_pack("{s:s}", "team", "a");
    char key[8];

    for (unsigned i = 0; i < 60; i++) {
        snprintf(key, sizeof key, "k%u", i);
        json_put_text(labels, key, "v");
    }
    return labels;
}

static void *label_anew(void *ctx)
{
    atomic_bool *goes_on = ctx;
    struct err err = {0};

    for (unsigned i = 0; atomic_load(goes_on); i++)
        if (!label_web(json_pack("{s:s}", "n", i % 2 ? "odd" : "even"), &err))
            return "an edit failed";
    return NULL;
}

/* From now on this thread works for somebody with grants for all there is here. */
static void as_ann(struct who *who)
{
    const struct user_spec ann = {.name = "ann", .role = ROLE_NONE};
    const struct grant_spec grants[] = {{.label = "team=a", .role = ROLE_OPERATOR},
                                        {.pool = "main", .role = ROLE_VIEWER}};
    struct err err = {0};
    struct uuid id, grant;

    assert_true(user_create(w.core, &ann, &world_admin, &id, &err));
    for (size_t i = 0; i < ARRAY_LEN(grants); i++)
        assert_true(grant_create(w.core, "ann", &grants[i], &world_admin, &grant, &err));
    assert_true(user_is(w.core, &id, who, &err));
    sight_begin(who, RIGHT_VM_CREATE);
}

/* What she is let do is decided by labels that are not let go of meanwhile. */
static void a_clone_is_looked_at_beside_edits_of_its_source(void **state)
{
    const struct clone_ask ask = {.name = "two", .snapshot = "base"};
    struct origin dry = world_admin;
    atomic_bool goes_on = true;
    struct err err = {0};
    struct who who = {0};
    struct uuid op, id;
    pthread_t editor;
    void *failed;

    dry.dry_run = true;
    assert_true(label_web(many_labels(), &err));
    assert_string_equal(world_take(&w, "web", "base"), "succeeded");
    as_ann(&who);
    assert_true(thread_start(&editor, "editor", label_anew, &goes_on, &err));
    for (unsigned i = 0; i < 400; i++)
        if (!vm_clone(w.core, "web", &ask, &dry, &op, &id, &err))
            fail_msg("%s", err.detail);
    atomic_store(&goes_on, false);
    pthread_join(editor, &failed);
    assert_null(failed);
    sight_end();
    who_clear(&who);
}

#ifdef VMMD_FAILPOINTS
/* As an earlier daemon left them that came so far. */
static void put_variables(const struct uuid *vm)
{
    struct err err = {0};
    CLEANUP(vm_drop) struct vm_hold hold = {w.core, vm_get_id(w.core, vm, &err)};
    CLEANUP(closep) int dir = vm_dir_open(w.core, hold.vm, true, &err);

    assert_true(fs_publish(dir, "nvram.fd", "x", 1, 0600, &err));
}

/* What becomes of a clone whose snapshot goes before its operation has come to the variables. */
static const char *outlived_by_a_clone_of(const char *vm, bool have_been_copied)
{
    const struct point before = {.name = "vm.clone.variables", .nth = 1};
    const struct clone_ask ask = {.name = "two", .snapshot = "a"};
    CLEANUP(mem_freep) char *path = str_format("%s/points", w.dir);
    struct err err = {0};
    struct uuid op, id;

    assert_string_equal(world_take(&w, vm, "a"), "succeeded");
    points_open(path);
    points_arm(&before, false);
    assert_true(vm_clone(w.core, vm, &ask, &world_admin, &op, &id, &err));
    assert_true(points_reached(20000));
    assert_string_equal(world_drop(&w, vm, "a"), "succeeded");
    if (have_been_copied)
        put_variables(&id);
    points_release();
    points_close();
    return world_outcome(&w, true, &op, &err);
}

static void a_clone_is_not_left_without_its_firmwares_variables(void **state)
{
    world_create(&w, "uefi", DISKS ",\"firmware\":{\"type\":\"uefi\"}");
    assert_string_equal(outlived_by_a_clone_of("uefi", false), "not-found");
    assert_false(world_has_vm(&w, "two"));
    assert_int_equal(world_files(&w),
                     2 + 2 + 2); /* "web", "uefi", and what the clone kept from being merged */
}

struct moving {
    struct uuid op;
    struct err err;
    bool ok;
};

static void *move_web(void *ctx)
{
    const struct move_request request = {.pool = "away", .format = -1, .keep_source = true};
    struct moving *moving = ctx;
    json_t *plan = NULL;

    moving->err = (struct err){0};
    moving->ok =
        vm_move_storage(w.core, "web", &request, &world_admin, &moving->op, &plan, &moving->err);
    return NULL;
}

/* Between the plan, which had the snapshot's files move, and the VM's being held for it. */
static void a_clone_that_is_made_beside_the_plan_of_a_move_keeps_its_files(void **state)
{
    const struct point planned = {.name = "move.planned", .nth = 1};
    CLEANUP(mem_freep) char *path = str_format("%s/points", w.dir);
    struct moving moving = {0};
    pthread_t mover;
    struct err err = {0};
    struct uuid id;

    assert_true(pool_create(w.core, "away", "second", &world_admin, &id, &err));
    assert_string_equal(world_take(&w, "web", "a"), "succeeded");
    points_open(path);
    points_arm(&planned, false);
    assert_true(thread_start(&mover, "mover", move_web, &moving, &err));
    assert_true(points_reached(20000));
    assert_string_equal(clone_from("web", "a", "two"), "succeeded");
    points_release();
    pthread_join(mover, NULL);
    points_close();
    assert_string_equal(world_outcome(&w, moving.ok, &moving.op, &moving.err), "busy");
    move_web(&moving);
    assert_string_equal(world_outcome(&w, moving.ok, &moving.op, &moving.err), "succeeded");
    world_restart(&w);
    start("web");
    start("two");
}

static void a_clone_entered_again_has_its_firmwares_variables(void **state)
{
    world_create(&w, "uefi", DISKS ",\"firmware\":{\"type\":\"uefi\"}");
    assert_string_equal(outlived_by_a_clone_of("uefi", true), "succeeded");
    start("two");
}

static void a_clone_that_has_no_variables_needs_its_snapshot_no_more(void **state)
{
    assert_string_equal(outlived_by_a_clone_of("web", false), "succeeded");
    start("two");
}
#endif

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_clone_is_a_file_on_each_file_of_the_snapshot),
        T(a_clone_has_an_identity_of_its_own),
        T(a_vm_is_cloned_as_it_is_while_it_runs),
        T(whoever_goes_first_the_others_keep_what_they_lie_on),
        T(the_clone_may_go_first_as_well),
        T(a_deleted_snapshot_leaves_its_files_to_its_clones),
        T(an_independent_clone_lies_on_nothing),
        T(a_full_clone_shares_nothing),
        T(a_full_clone_that_is_cancelled_takes_nothing_from_the_other_vm),
        T(a_full_clone_knows_no_files_that_the_other_vm_has_left),
        T(a_pool_with_files_that_clones_use_stays),
        T(a_plan_says_what_stays_for_whom),
        T(all_that_stands_in_the_way_is_listed),
        T(a_dry_run_changes_nothing),
        T(a_clone_is_looked_at_beside_edits_of_its_source),
#ifdef VMMD_FAILPOINTS
        T(a_clone_is_not_left_without_its_firmwares_variables),
        T(a_clone_entered_again_has_its_firmwares_variables),
        T(a_clone_that_has_no_variables_needs_its_snapshot_no_more),
        T(a_clone_that_is_made_beside_the_plan_of_a_move_keeps_its_files),
#endif
    };

    return cmocka_run_group_tests_name("core/clones", tests, NULL, NULL);
}
