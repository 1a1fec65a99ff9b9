/* Snapshots on the fake backend: the tree, what files there are and which lies on which, and what
 * a restart of the daemon makes of it. That the guest's data is right is shown with a real one:
 * tests/integration/snapshots.c. */
#include "tests/lib/world_acts.h"

#include "backends/fake/fake.h"
#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/job/job.h"
#include "core/snap/snap.h"
#include "core/snap/unfinished.h"

#include <glob.h>
#include <poll.h>
#include <stdlib.h>
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

static const char *take(const char *name)
{
    return world_take(&w, "web", name);
}

static const char *revert(const char *name)
{
    return world_revert(&w, "web", name);
}

static const char *drop(const char *name)
{
    return world_drop(&w, "web", name);
}

static void start(void)
{
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
}

static void stop(void)
{
    assert_string_equal(world_act(&w, "web", VM_VERB_STOP), "succeeded");
}

/* The tree as text: each snapshot as "name<parent", the current one with a star, by name. */
static const char *tree(void)
{
    static char text[512];
    CLEANUP(strbuf_clear) struct strbuf out = {0};
    CLEANUP(query_clear) struct query query = {0};
    CLEANUP(json_decrefp) json_t *list = NULL;
    const struct query_ask ask = {.order = "name", .page_size = 100};
    const json_t *one, *other;
    struct err err = {0};
    size_t i, k;

    assert_true(query_parse(&schema_snapshot, &ask, &query, &err));
    assert_true(snapshot_list(w.core, "web", &query, &out, &err));
    list = json_loadb(out.data, out.len, 0, NULL);
    text[0] = 0;
    json_array_foreach (json_object_get(list, "items"), i, one) {
        const char *parent = json_get_text(one, "parent"), *name = "-";
        size_t len = strlen(text);
        json_array_foreach (json_object_get(list, "items"), k, other)
            if (str_eq(json_get_text(other, "id"), parent))
                name = json_get_text(other, "name");
        snprintf(text + len, sizeof text - len, "%s%s<%s%s", len ? " " : "",
                 json_get_text(one, "name"), name,
                 json_is_true(json_object_get(one, "current")) ? "*" : "");
    }
    return text;
}

static void a_snapshot_is_a_new_file_on_each_disk(void **state)
{
    assert_int_equal(world_files(&w), 2);
    assert_string_equal(take("clean"), "succeeded");
    assert_int_equal(world_files(&w), 4);
    assert_string_equal(tree(), "clean<-*");
    assert_string_equal(take("clean"), "exists");
    world_restart(&w);
    assert_string_equal(tree(), "clean<-*");
    assert_int_equal(world_files(&w), 4);
}

static void a_running_vm_goes_on_while_it_is_taken(void **state)
{
    start();
    assert_string_equal(take("a"), "succeeded");
    assert_string_equal(world_vm(&w, "web", "state"), "running");
    assert_string_equal(take("b"), "succeeded");
    assert_string_equal(tree(), "a<- b<a*");
    stop();
    start(); /* with three files a disk */
    assert_string_equal(world_vm(&w, "web", "state"), "running");
}

static void reverting_goes_back_to_the_disks_and_the_configuration(void **state)
{
    CLEANUP(json_decrefp) json_t *patch = json_pack("{s:i,s:s}", "vcpus", 3, "name", "shop");
    CLEANUP(json_decrefp) json_t *vm = NULL;
    struct etag etag;
    struct err err = {0};
    struct uuid op;

    assert_string_equal(take("a"), "succeeded");
    assert_string_equal(take("b"), "succeeded");
    assert_int_equal(world_files(&w), 6);
    vm = vm_edit(w.core, "web", patch, NULL, &world_admin, &etag, &err);
    assert_non_null(vm);
    assert_string_equal(
        world_outcome(&w, snapshot_revert(w.core, "shop", "a", &world_admin, &op, &err), &op, &err),
        "succeeded");
    assert_string_equal(world_vm(&w, "shop", "vcpus"), "1");
    assert_int_equal(world_files(&w), 6); /* the leaves above b went, those above a came */
    world_restart(&w);
    assert_string_equal(world_vm(&w, "shop", "vcpus"), "1");
    assert_int_equal(world_files(&w), 6);
}

static void a_branch_grows_from_where_the_vm_stands(void **state)
{
    assert_string_equal(take("a"), "succeeded");
    assert_string_equal(take("b"), "succeeded");
    assert_string_equal(revert("a"), "succeeded");
    assert_string_equal(take("c"), "succeeded");
    assert_string_equal(tree(), "a<- b<a c<a*");
    world_restart(&w);
    assert_string_equal(tree(), "a<- b<a c<a*");
}

static void a_running_vm_is_forced_off_and_boots_anew(void **state)
{
    assert_string_equal(take("a"), "succeeded");
    start();
    assert_string_equal(revert("nothing"), "not-found");
    assert_string_equal(revert("a"), "succeeded");
    assert_string_equal(world_vm(&w, "web", "run.state"), "running");
}

static void deleting_leaves_what_others_need(void **state)
{
    assert_string_equal(take("a"), "succeeded");
    assert_string_equal(take("b"), "succeeded");
    assert_string_equal(take("c"), "succeeded");
    assert_int_equal(world_files(&w), 8);
    assert_string_equal(drop("b"), "succeeded");
    assert_string_equal(tree(), "a<- c<a*");
    assert_int_equal(world_files(&w), 6);
    assert_string_equal(drop("a"), "succeeded");
    assert_string_equal(drop("c"), "succeeded");
    assert_string_equal(tree(), "");
    assert_int_equal(world_files(&w), 2);
    world_restart(&w);
    assert_int_equal(world_files(&w), 2);
    start();
}

static void deleting_while_it_runs_and_with_two_branches(void **state)
{
    assert_string_equal(take("a"), "succeeded");
    assert_string_equal(take("b"), "succeeded");
    assert_string_equal(revert("a"), "succeeded");
    assert_string_equal(drop("a"), "succeeded"); /* b's files and the leaves take it over */
    assert_string_equal(tree(), "b<-");
    assert_int_equal(world_files(&w), 4);
    start();
    assert_string_equal(take("c"), "succeeded");
    assert_string_equal(drop("c"), "succeeded");
    assert_string_equal(tree(), "b<-");
    assert_int_equal(world_files(&w), 4);
}

/* The fake backend copies nothing: what is large was there before. */
static bool bases_are_left(void)
{
    return world_fat_files(&w) == 2;
}

/* What lies on the first snapshot's files is less than they have: it goes down into them. */
static void a_large_base_takes_over_what_lies_on_it(void **state)
{
    world_fatten(&w);
    assert_string_equal(take("a"), "succeeded");
    assert_string_equal(drop("a"), "succeeded");
    assert_string_equal(tree(), "");
    assert_int_equal(world_files(&w), 2);
    assert_true(bases_are_left());
    world_restart(&w);
    assert_int_equal(world_files(&w), 2);
    start();
    assert_string_equal(take("b"), "succeeded");
}

static void a_large_base_takes_over_what_a_running_vm_writes_to(void **state)
{
    world_fatten(&w);
    start();
    assert_string_equal(take("a"), "succeeded");
    assert_string_equal(drop("a"), "succeeded");
    assert_int_equal(world_files(&w), 2);
    assert_true(bases_are_left());
    assert_string_equal(take("b"), "succeeded");
    stop();
    assert_string_equal(revert("b"), "succeeded");
    start();
}

static void a_file_in_the_middle_goes_down_and_its_snapshot_stays(void **state)
{
    world_fatten(&w);
    start();
    assert_string_equal(take("a"), "succeeded");
    assert_string_equal(take("b"), "succeeded");
    assert_string_equal(drop("a"), "succeeded");
    assert_string_equal(tree(), "b<-*");
    assert_int_equal(world_files(&w), 4);
    assert_true(bases_are_left());
    stop();
    assert_string_equal(revert("b"), "succeeded");
    assert_string_equal(drop("b"), "succeeded");
    assert_int_equal(world_files(&w), 2);
    world_restart(&w);
    assert_int_equal(world_files(&w), 2);
    start();
}

static void a_base_of_two_branches_goes_up_into_both(void **state)
{
    world_fatten(&w);
    assert_string_equal(take("a"), "succeeded");
    assert_string_equal(take("b"), "succeeded");
    assert_string_equal(revert("a"), "succeeded");
    assert_string_equal(drop("a"), "succeeded");
    assert_int_equal(world_files(&w), 4);
    assert_false(bases_are_left());
    start();
}

static void await_that(bool (*so)(void))
{
    const int64_t deadline_ms = clock_mono_ms() + 20000;

    while (!so() && clock_mono_ms() < deadline_ms)
        (void)poll(NULL, 0, 10); /* asked again until it is so */
    assert_true(so());
}

static bool the_snapshot_is_gone(void)
{
    return !tree()[0];
}

static bool they_are_merged(void)
{
    return world_files(&w) == 2;
}

/* The snapshot is gone and its files are not merged; nobody asks for that any more. */
static void what_was_cancelled_then_is_gone_on_with_later(void **state)
{
    const int64_t patience_ms = unfinished_first_ms;
    struct err err = {0};
    struct uuid op;

    world_fatten(&w);
    start();
    assert_string_equal(take("a"), "succeeded");
    fake_full = true;
    assert_true(snapshot_delete(w.core, "web", "a", NULL, &world_admin, &op, &err));
    await_that(the_snapshot_is_gone);
    assert_true(job_cancel(w.core, &op, &world_admin, &err));
    assert_string_equal(world_outcome(&w, true, &op, &err), "cancelled");
    fake_full = false;
    assert_int_equal(world_files(&w), 4);
    unfinished_first_ms = 0;
    world_restart(&w);
    await_that(they_are_merged);
    unfinished_first_ms = patience_ms;
    world_settle(&w, "web");
    assert_true(bases_are_left());
}

#ifdef VMMD_FAILPOINTS
static void what_fails_once_the_snapshot_is_gone_is_tried_again(void **state)
{
    world_fatten(&w);
    start();
    assert_string_equal(take("a"), "succeeded");
    failpoint_arm("fake.pivot.pending=fail:2");
    assert_string_equal(drop("a"), "succeeded");
    failpoint_arm(NULL);
    assert_int_equal(world_files(&w), 2);
    assert_true(bases_are_left());
}

/* The answer to the pivot is lost: the machine knows. */
static void a_lost_answer_is_asked_for(void **state)
{
    world_fatten(&w);
    start();
    assert_string_equal(take("a"), "succeeded");
    failpoint_arm("fake.pivot.done=fail");
    assert_string_equal(drop("a"), "succeeded");
    failpoint_arm(NULL);
    assert_int_equal(world_files(&w), 2);
    assert_true(bases_are_left());
}

#endif

/* ---- what it was like ---- */

static bool has_picture(const char *name)
{
    CLEANUP(mem_freep) char *png = NULL;
    struct err err = {0};
    size_t len = 0;
    bool there = snapshot_picture(w.core, "web", name, &png, &len, &err);
    CLEANUP(json_decrefp) json_t *view = snapshot_show(w.core, "web", name, &err);

    assert_int_equal(json_get_bool(view, "has_screenshot", !there), there);
    assert_int_equal(there, len > 8 && memcmp(png, "\x89PNG", 4) == 0);
    return there;
}

static unsigned pictures(void)
{
    CLEANUP(mem_freep)
    char *pattern = str_format("%s/state/vm/*/snapshot-*-screen.png", w.dir);
    glob_t found = {0};
    unsigned n = 0;

    if (glob(pattern, 0, NULL, &found) == 0)
        n = (unsigned)found.gl_pathc;
    globfree(&found);
    return n;
}

static void a_snapshot_of_a_running_vm_has_a_picture_that_goes_with_it(void **state)
{
    assert_string_equal(take("off"), "succeeded");
    assert_false(has_picture("off"));
    start();
    assert_string_equal(take("on"), "succeeded");
    assert_true(has_picture("on"));
    world_restart(&w);
    assert_true(has_picture("on"));
    assert_string_equal(drop("on"), "succeeded");
    assert_int_equal(pictures(), 0);
}

static uint64_t differs(const char *from, const char *to)
{
    struct err err = {0};
    CLEANUP(json_decrefp) json_t *diff = snapshot_diff(w.core, "web", from, to, false, &err);

    assert_non_null(diff);
    assert_int_equal(json_array_size(json_object_get(diff, "disks")), 2);
    return json_get_u64(diff, "at_most_bytes", 0);
}

static void what_lies_between_two_snapshots_is_told(void **state)
{
    const uint64_t mib = 1 << 20;
    struct err err = {0};

    assert_string_equal(take("a"), "succeeded");
    assert_true(differs("a", NULL) < mib);
    world_fatten(&w); /* both bases, and what was written since a */
    assert_true(differs("a", NULL) >= 2 * mib && differs("a", NULL) < 3 * mib);
    assert_string_equal(take("b"), "succeeded");
    assert_true(differs("a", "b") >= 2 * mib && differs("a", "b") < 3 * mib);
    assert_int_equal(differs("b", "a"), differs("a", "b"));
    assert_true(differs("b", NULL) < mib);
    assert_int_equal(differs("b", "b"), 0);
    assert_string_equal(revert("a"), "succeeded"); /* another branch */
    assert_string_equal(take("c"), "succeeded");
    world_fatten(&w);
    assert_true(differs("b", "c") >= 4 * mib && differs("b", "c") < 5 * mib);
    assert_null(snapshot_diff(w.core, "web", "a", "none", false, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_null(snapshot_diff(w.core, "web", "a", NULL, true, &err));
    assert_int_equal(err.code, ERR_INVALID);
}

#ifdef VMMD_FAILPOINTS
static void no_picture_is_no_reason_to_fail(void **state)
{
    start();
    failpoint_arm("fake.screenshot=fail");
    assert_string_equal(take("a"), "succeeded");
    failpoint_arm(NULL);
    assert_false(has_picture("a"));
}
#endif

/* ---- in the middle of it: a limit that makes it take for ever ---- */

static struct uuid drop_slowly(const char *name)
{
    const uint64_t crawl = 10;
    struct err err = {0};
    struct uuid op;

    assert_true(snapshot_delete(w.core, "web", name, &crawl, &world_admin, &op, &err));
    return op;
}

static void let_go(const struct uuid *op)
{
    struct err err = {0};

    assert_true(job_limit(w.core, op, 0, &world_admin, &err));
    assert_string_equal(world_outcome(&w, true, op, &err), "succeeded");
}

static void a_slow_deletion_lets_the_vm_be_paused_and_goes_on_when_it_may(void **state)
{
    struct uuid op;

    start();
    assert_string_equal(take("a"), "succeeded");
    op = drop_slowly("a");
    assert_string_equal(world_act(&w, "web", VM_VERB_PAUSE), "succeeded");
    assert_string_equal(tree(), "a<-*");
    assert_string_equal(world_act(&w, "web", VM_VERB_RESUME), "succeeded");
    let_go(&op);
    assert_string_equal(tree(), "");
    assert_int_equal(world_files(&w), 2);
}

static void a_restart_deletes_on_at_the_same_limit(void **state)
{
    CLEANUP(json_decrefp) json_t *job = NULL;
    struct err err = {0};
    struct uuid op;

    assert_string_equal(take("a"), "succeeded");
    op = drop_slowly("a");
    world_restart(&w);
    job = job_show(w.core, &op, &err);
    assert_int_equal(json_get_u64(job, "bandwidth", 0), 10);
    assert_true(json_get_bool(job, "limitable", false));
    assert_string_equal(tree(), "a<-*");
    let_go(&op);
    assert_int_equal(world_files(&w), 2);
}

static void a_slow_deletion_is_cancelled_and_the_snapshot_stays(void **state)
{
    struct err err = {0};
    struct uuid op;

    start();
    assert_string_equal(take("a"), "succeeded");
    op = drop_slowly("a");
    assert_true(job_cancel(w.core, &op, &world_admin, &err));
    assert_string_equal(world_outcome(&w, true, &op, &err), "cancelled");
    assert_string_equal(tree(), "a<-*");
    assert_string_equal(drop("a"), "succeeded");
}

static void a_snapshot_is_renamed(void **state)
{
    struct err err = {0};
    CLEANUP(json_decrefp) json_t *done = NULL;

    assert_string_equal(take("a"), "succeeded");
    assert_string_equal(take("b"), "succeeded");
    done = snapshot_edit(w.core, "web", "a", "first", NULL, &world_admin, &err);
    assert_non_null(done);
    assert_string_equal(json_get_text(done, "notes"), "why");
    assert_null(snapshot_edit(w.core, "web", "b", "first", NULL, &world_admin, &err));
    assert_int_equal(err.code, ERR_EXISTS);
    world_restart(&w);
    assert_string_equal(tree(), "b<first* first<-");
}

static void deleting_the_vm_takes_its_snapshots_along(void **state)
{
    assert_string_equal(take("a"), "succeeded");
    assert_string_equal(take("b"), "succeeded");
    assert_string_equal(revert("a"), "succeeded");
    assert_string_equal(world_delete(&w, "web"), "succeeded");
    assert_int_equal(world_files(&w), 0);
    world_create(&w, "web", DISKS);
    assert_string_equal(tree(), "");
}

static void a_vm_without_disks_has_snapshots_of_its_configuration(void **state)
{
    struct err err = {0};
    struct uuid op;

    world_create(&w, "bare", "\"vcpus\":2");
    assert_string_equal(
        world_outcome(&w, snapshot_create(w.core, "bare", "a", NULL, &world_admin, &op, &err), &op,
                      &err),
        "succeeded");
    assert_string_equal(
        world_outcome(&w, snapshot_revert(w.core, "bare", "a", &world_admin, &op, &err), &op, &err),
        "succeeded");
    assert_string_equal(
        world_outcome(&w, snapshot_delete(w.core, "bare", "a", NULL, &world_admin, &op, &err), &op,
                      &err),
        "succeeded");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_snapshot_is_a_new_file_on_each_disk),
        T(a_running_vm_goes_on_while_it_is_taken),
        T(reverting_goes_back_to_the_disks_and_the_configuration),
        T(a_branch_grows_from_where_the_vm_stands),
        T(a_running_vm_is_forced_off_and_boots_anew),
        T(deleting_leaves_what_others_need),
        T(deleting_while_it_runs_and_with_two_branches),
        T(a_large_base_takes_over_what_lies_on_it),
        T(a_large_base_takes_over_what_a_running_vm_writes_to),
        T(a_file_in_the_middle_goes_down_and_its_snapshot_stays),
        T(a_base_of_two_branches_goes_up_into_both),
        T(what_was_cancelled_then_is_gone_on_with_later),
#ifdef VMMD_FAILPOINTS
        T(what_fails_once_the_snapshot_is_gone_is_tried_again),
        T(a_lost_answer_is_asked_for),
        T(no_picture_is_no_reason_to_fail),
#endif
        T(a_snapshot_of_a_running_vm_has_a_picture_that_goes_with_it),
        T(what_lies_between_two_snapshots_is_told),
        T(a_slow_deletion_lets_the_vm_be_paused_and_goes_on_when_it_may),
        T(a_restart_deletes_on_at_the_same_limit),
        T(a_slow_deletion_is_cancelled_and_the_snapshot_stays),
        T(a_snapshot_is_renamed),
        T(deleting_the_vm_takes_its_snapshots_along),
        T(a_vm_without_disks_has_snapshots_of_its_configuration),
    };

    return cmocka_run_group_tests_name("core/snapshots", tests, NULL, NULL);
}
