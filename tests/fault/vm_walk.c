/* The fault walk: each operation on a VM is made to fail, and is killed, at its n-th failpoint for
 * n = 1 until it runs through. After each, the invariants are asserted, and once more after the
 * daemon was started again.
 *
 * A failpoint stands before and behind each effect and on both sides of each commit, so walking
 * them all visits every state that a crash can leave, and every effect that happened but was
 * reported as a failure. */
#include "tests/lib/steps.h"
#include "tests/lib/world_disks.h"

#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/job/job.h"
#include "core/snap/snap.h"
#include "core/vm/bulk.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef VMMD_FAILPOINTS

/* vm_kills.c is the other half, a program of its own so that both run at once. */
#ifndef WALK_KILLS
#define WALK_KILLS 0
#endif

#define DISK "\"disks\":[{\"size_bytes\":1048576,\"format\":\"raw\"},{\"size_bytes\":2097152}]"

#define LIVE "\"cpu\":{\"max_vcpus\":4},\"cdroms\":[{\"media\":\"one.iso\"},{}]"

/* One operation: what must be there before it, and what it does. True when it was acknowledged. */
struct operation {
    const char *name;
    void (*before)(struct world *w);
    bool (*act)(struct world *w);
    /* What must hold when it was acknowledged and then the daemon was started again. */
    void (*after)(struct world *w);
    /* What must hold before that, whether it was acknowledged or not, or NULL. */
    void (*at_once)(struct world *w);
    bool fails_only; /* it passes nowhere that the kills of others do not */
};

/* A rename may have happened or not. */
static const char *name_of(struct world *w)
{
    return world_has_vm(w, "shop") ? "shop" : "web";
}

static void nothing(struct world *w)
{
}

static void exists(struct world *w)
{
    world_create(w, "web", DISK);
}

static void runs(struct world *w)
{
    exists(w);
    assert_string_equal(world_act(w, "web", VM_VERB_START), "succeeded");
}

static void put_medium(struct world *w, const char *name)
{
    CLEANUP(mem_freep) char *path = str_format("%s/root-main/media/%s", w->dir, name);
    CLEANUP(closep) int fd = open(path, O_WRONLY | O_CREAT, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, "disc", 4), 4);
}

static void runs_with_room(struct world *w)
{
    put_medium(w, "one.iso");
    put_medium(w, "two.iso");
    world_create(w, "web", DISK "," LIVE);
    assert_string_equal(world_act(w, "web", VM_VERB_START), "succeeded");
}

static void is_paused(struct world *w)
{
    runs(w);
    assert_string_equal(world_act(w, "web", VM_VERB_PAUSE), "succeeded");
}

static bool create_with(struct world *w, const char *more)
{
    struct err err = {0};
    struct uuid op;
    bool ok;

    if (!world_try_create(w, "web", more, &op, &err))
        return false;
    CLEANUP(json_decrefp) json_t *job = world_end_of(w, &op);
    ok = job && str_eq(json_get_text(job, "state"), "succeeded");
    if (job && !ok) {
        assert_non_null(json_get_text(json_object_get(job, "error"), "code"));
        assert_true(strlen(json_get_text(json_object_get(job, "error"), "detail")) > 5);
    }
    return ok;
}

static bool create(struct world *w)
{
    return create_with(w, DISK);
}

static bool create_and_start(struct world *w)
{
    return create_with(w, DISK ",\"start\":true");
}

static bool act(struct world *w, enum vm_verb verb)
{
    return str_eq(world_act(w, "web", verb), "succeeded");
}

static bool start(struct world *w)
{
    return act(w, VM_VERB_START);
}

static bool stop(struct world *w)
{
    return act(w, VM_VERB_STOP);
}

static bool shut_down(struct world *w)
{
    return act(w, VM_VERB_SHUTDOWN);
}

static bool pause_it(struct world *w)
{
    return act(w, VM_VERB_PAUSE);
}

static bool resume(struct world *w)
{
    return act(w, VM_VERB_RESUME);
}

static bool reset(struct world *w)
{
    return act(w, VM_VERB_RESET);
}

static bool delete (struct world *w)
{
    return str_eq(world_delete(w, "web"), "succeeded");
}

static bool act_all(struct world *w, enum vm_verb verb)
{
    CLEANUP(json_decrefp) json_t *refs = json_pack("[s,s]", "nobody", "web"), *done = NULL;
    struct err err = {0};
    struct uuid op;
    const char *id;

    done = vm_act_all(w->core, refs, verb, NULL, &world_admin, &err);
    id = json_get_text(json_array_get(json_object_get(done, "items"), 1), "operation");
    if (!id || !uuid_parse(id, &op))
        return false;
    CLEANUP(json_decrefp) json_t *end = world_end_of(w, &op);
    return end && str_eq(json_get_text(end, "state"), "succeeded");
}

static bool start_all(struct world *w)
{
    return act_all(w, VM_VERB_START);
}

static bool delete_all(struct world *w)
{
    return act_all(w, VM_VERB_DELETE);
}

static bool patch(struct world *w, const char *ref, const char *text)
{
    CLEANUP(json_decrefp) json_t *json = json_loads(text, 0, NULL);
    CLEANUP(json_decrefp) json_t *vm = NULL;
    struct err err = {0};
    struct etag etag;

    assert_non_null(json);
    vm = vm_edit(w->core, ref, json, NULL, &world_admin, &etag, &err);
    assert_true(vm || strlen(err.detail) > 5);
    return vm != NULL;
}

static bool edit(struct world *w)
{
    return patch(w, "web", "{\"notes\":\"new\",\"vcpus\":3}");
}

static bool rename_it(struct world *w)
{
    return patch(w, "web", "{\"name\":\"shop\"}");
}

static bool hot_add(struct world *w)
{
    return patch(w, "web", "{\"vcpus\":3,\"notes\":\"new\"}");
}

static bool change_media(struct world *w)
{
    return patch(w, "web", "{\"cdroms\":[{\"media\":\"two.iso\"},{\"media\":\"one.iso\"}]}");
}

static bool make_it_autostart(struct world *w)
{
    return patch(w, "web",
                 "{\"autostart\":{\"enabled\":true},\"restart\":{\"policy\":\"on-crash\"}}");
}

static void it_is_there(struct world *w)
{
    assert_true(world_has_vm(w, "web"));
}

static void it_is_off(struct world *w)
{
    assert_string_equal(world_vm(w, "web", "run.state"), "off");
}

static void it_is_gone(struct world *w)
{
    assert_false(world_has_vm(w, "web"));
}

static void it_is_changed(struct world *w)
{
    assert_string_equal(world_vm(w, "web", "notes"), "new");
    assert_string_equal(world_vm(w, "web", "vcpus"), "3");
    assert_string_equal(world_vm(w, "web", "revision"), "2");
}

static void it_is_renamed(struct world *w)
{
    assert_true(world_has_vm(w, "shop"));
    assert_false(world_has_vm(w, "web"));
}

static void its_media_are_changed(struct world *w)
{
    assert_string_equal(world_vm(w, "web", "cdroms"),
                        "[{\"media\":\"two.iso\"},{\"media\":\"one.iso\"}]");
}

static void it_starts_by_itself(struct world *w)
{
    assert_string_equal(world_vm(w, "web", "autostart.enabled"), "true");
    assert_string_equal(world_vm(w, "web", "restart.policy"), "on-crash");
}

/* Whatever was done by half: the next edit, of something else, brings the machine to what is
 * configured, and back to what was configured before. A restart would hide it: the fake machine
 * ends with the daemon. */
static void the_next_edit_makes_it_good(struct world *w)
{
    if (core_is_broken(w->core))
        return; /* a real daemon would leave */
    assert_true(patch(w, "web", "{\"notes\":\"good\"}"));
    assert_string_equal(world_vm(w, "web", "pending"), "null");
    assert_string_equal(world_vm(w, "web", "pending_reason"), "null");
}

/* ---- snapshots ---- */

static unsigned snapshots(struct world *w)
{
    CLEANUP(strbuf_clear) struct strbuf out = {0};
    CLEANUP(query_clear) struct query query = {0};
    CLEANUP(json_decrefp) json_t *list = NULL;
    const struct query_ask ask = {.page_size = 100};
    struct err err = {0};

    assert_true(query_parse(&schema_snapshot, &ask, &query, &err));
    if (!snapshot_list(w->core, name_of(w), &query, &out, &err))
        return 0;
    list = json_loadb(out.data, out.len, 0, NULL);
    return (unsigned)json_array_size(json_object_get(list, "items"));
}

static bool ended_well(struct world *w, bool submitted, const struct uuid *op)
{
    CLEANUP(json_decrefp) json_t *job = submitted ? world_end_of(w, op) : NULL;

    return job && str_eq(json_get_text(job, "state"), "succeeded");
}

static bool take(struct world *w, const char *name)
{
    struct err err = {0};
    struct uuid op;

    return ended_well(w, snapshot_create(w->core, "web", name, NULL, &world_admin, &op, &err), &op);
}

static bool take_one(struct world *w)
{
    return take(w, "third");
}

static bool go_back(struct world *w)
{
    struct err err = {0};
    struct uuid op;

    return ended_well(w, snapshot_revert(w->core, "web", "first", &world_admin, &op, &err), &op);
}

static bool drop_one(struct world *w)
{
    struct err err = {0};
    struct uuid op;

    return ended_well(w, snapshot_delete(w->core, "web", "first", &world_admin, &op, &err), &op);
}

static bool rename_one(struct world *w)
{
    struct err err = {0};
    CLEANUP(json_decrefp)
    json_t *done = snapshot_edit(w->core, "web", "first", "zero", NULL, &world_admin, &err);

    return done != NULL;
}

static void has_two(struct world *w)
{
    exists(w);
    assert_true(take(w, "first") && take(w, "second"));
}

static void has_two_and_runs(struct world *w)
{
    has_two(w);
    assert_string_equal(world_act(w, "web", VM_VERB_START), "succeeded");
}

static void has_a_large_one_and_runs(struct world *w)
{
    exists(w);
    world_fatten(w);
    assert_true(take(w, "first") && start(w));
}

static void has_two_branches(struct world *w)
{
    has_two(w);
    assert_true(go_back(w));
}

static void there_are_three(struct world *w)
{
    assert_int_equal(snapshots(w), 3);
}

static void there_are_two(struct world *w)
{
    assert_int_equal(snapshots(w), 2);
}

static void there_is_one(struct world *w)
{
    assert_int_equal(snapshots(w), 1);
}

static const struct operation operations[] = {
    {"create", nothing, create, it_is_there, NULL, false},
    {"create and start", nothing, create_and_start, it_is_there, NULL, false},
    {"delete", exists, delete, it_is_gone, NULL, false},
    {"start", exists, start, it_is_there, NULL, false},
    {"edit", exists, edit, it_is_changed, NULL, false},
    {"rename", exists, rename_it, it_is_renamed, NULL, false},
    {"autostart", exists, make_it_autostart, it_starts_by_itself, NULL, false},
    {"hot-add", runs_with_room, hot_add, it_is_there, the_next_edit_makes_it_good, false},
    {"media", runs_with_room, change_media, its_media_are_changed, the_next_edit_makes_it_good,
     false},
    {"stop", runs, stop, it_is_off, NULL, false},
    {"shutdown", runs, shut_down, it_is_off, NULL, false},
    {"pause", runs, pause_it, it_is_there, NULL, false},
    {"resume", is_paused, resume, it_is_there, NULL, false},
    {"reset", runs, reset, it_is_there, NULL, false},
    {"start all", exists, start_all, it_is_there, NULL, false},
    {"delete all", exists, delete_all, it_is_gone, NULL, false},
    {"snapshot", has_two, take_one, there_are_three, NULL, false},
    {"snapshot, running", has_two_and_runs, take_one, there_are_three, NULL, false},
    {"revert", has_two, go_back, there_are_two, NULL, false},
    {"delete snapshot", has_two, drop_one, there_is_one, NULL, false},
    {"delete snapshot, running", has_two_and_runs, drop_one, there_is_one, NULL, false},
    {"add disk", exists, world_disk_add_one, world_has_three_disks, NULL, false},
    {"remove disk", exists, world_disk_remove, world_has_one_disk, NULL, false},
    {"add disk, running", runs, world_disk_add_one, world_has_three_disks, NULL, false},
    {"remove disk, running", runs, world_disk_remove, world_has_one_disk, NULL, false},
    {"grow disk", exists, world_disk_grow_one, world_has_a_grown_disk, NULL, false},
    {"delete snapshot, downward", has_a_large_one_and_runs, drop_one, it_is_there, NULL, false},
    {"rename snapshot", has_two, rename_one, there_are_two, NULL, true},
    {"delete with snapshots", has_two_branches, delete, it_is_gone, NULL, true},
};

/* ---- the invariants, each a sentence ---- */

static void every_operation_has_ended(struct world *w)
{
    struct err err = {0};
    CLEANUP(json_decrefp)
    json_t *list = world_list(w, &schema_operation, (struct query_ask){0}, &err);
    json_t *items = json_object_get(list, "items"), *item;
    size_t i;

    json_array_foreach (items, i, item) {
        struct uuid id;
        assert_true(uuid_parse(json_get_text(item, "id"), &id));
        CLEANUP(json_decrefp) json_t *end = world_end_of(w, &id);
        assert_non_null(end);
    }
}

static void no_claim_is_left(struct world *w)
{
    if (world_has_vm(w, name_of(w)))
        world_await(w, name_of(w), "job", "null");
}

/* Neither a half VM nor a file without a VM. */
static void a_vm_is_whole_or_absent(struct world *w)
{
    if (world_has_vm(w, name_of(w))) {
        assert_string_not_equal(world_vm(w, name_of(w), "state"), "creating");
        assert_string_not_equal(world_vm(w, name_of(w), "state"), "deleting");
        /* on each of its disks a file for each snapshot, and the one that is written to */
        assert_int_equal(world_files(w), world_disks(w, NULL) * (1 + snapshots(w)));
    } else {
        assert_int_equal(world_files(w), 0);
    }
}

static void it_can_still_be_used_and_deleted(struct world *w)
{
    const char *name = name_of(w), *state;

    if (!world_has_vm(w, name))
        return;
    state = world_vm(w, name, "run.state");
    if (strcmp(state, "running") == 0 || strcmp(state, "paused") == 0)
        assert_string_equal(world_act(w, name, VM_VERB_STOP), "succeeded");
    assert_string_equal(world_act(w, name, VM_VERB_START), "succeeded");
    assert_string_equal(world_act(w, name, VM_VERB_STOP), "succeeded");
    assert_string_equal(world_delete(w, name), "succeeded");
    assert_int_equal(world_files(w), 0);
}

static void all_is_well_after_a_restart(struct world *w, const struct operation *op, bool acked)
{
    assert_true(world_open(w));
    every_operation_has_ended(w);
    no_claim_is_left(w);
    a_vm_is_whole_or_absent(w);
    if (acked)
        op->after(w);
    it_can_still_be_used_and_deleted(w);
}

/* ---- the walk ---- */

/* Fails the n-th step; true when the operation passed fewer than n. */
static bool fail_at(const struct operation *op, unsigned n)
{
    CLEANUP(mem_freep) char *spec = str_format("%s%u=fail", steps_mode(), n);
    struct world w = {0};
    unsigned passed;
    bool acked;

    world_make(&w);
    op->before(&w);
    failpoint_arm(spec);
    acked = op->act(&w);
    passed = failpoint_passed();
    failpoint_arm(NULL);
    if (op->at_once)
        op->at_once(&w);
    world_close(&w);
    all_is_well_after_a_restart(&w, op, acked);
    world_remove(&w);
    return passed < n;
}

/* The child's life: a daemon that is killed at its n-th step. Tells through 'out' what it was
 * acknowledged. */
static void live_and_die(struct world *w, const struct operation *op, unsigned n, int out)
{
    CLEANUP(mem_freep) char *spec = str_format("%s%u=kill", steps_mode(), n);
    struct {
        unsigned passed;
        bool acked;
    } told;

    if (!world_open(w))
        _exit(2);
    failpoint_arm(spec);
    told.acked = op->act(w);
    told.passed = failpoint_passed();
    _exit(write(out, &told, sizeof told) == sizeof told ? 0 : 3);
}

static bool kill_at(const struct operation *op, unsigned n)
{
    struct {
        unsigned passed;
        bool acked;
    } told = {UINT32_MAX, false};
    struct world w = {0};
    int out[2], status;
    pid_t child;

    world_make(&w);
    op->before(&w);
    world_close(&w);
    assert_int_equal(pipe(out), 0);
    world_await_alone();
    child = fork();
    if (child == 0)
        live_and_die(&w, op, n, out[1]);
    close(out[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status))
        assert_int_equal(WTERMSIG(status), SIGKILL);
    else
        assert_int_equal(WEXITSTATUS(status), 0);
    if (read(out[0], &told, sizeof told) < 0)
        fail_msg("read");
    close(out[0]);
    all_is_well_after_a_restart(&w, op, told.acked && told.passed < n);
    world_remove(&w);
    return told.passed < n;
}

static void walk(const struct operation *op, bool (*at)(const struct operation *, unsigned),
                 const char *how)
{
    unsigned n = 1;

    while (!at(op, n))
        if (++n > 200)
            fail_msg("%s never runs through", op->name);
    print_message("%s: %s at %u steps\n", op->name, how, n - 1);
    assert_true(n > 2); /* a walk that meets no failpoint proves nothing */
}

/* Whether a fake runs on across the child's start is not the point: stopped VMs are enough. */
static bool needs_a_running_vm(const struct operation *op)
{
    return op->before == runs || op->before == runs_with_room || op->before == is_paused ||
           op->before == has_two_and_runs;
}

static void no_failure_at_any_step_leaves_anything_behind(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(operations); i++)
        walk(&operations[i], fail_at, "failed");
}

static void no_kill_at_any_step_leaves_anything_behind(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(operations); i++)
        if (!needs_a_running_vm(&operations[i]) && !operations[i].fails_only)
            walk(&operations[i], kill_at, "killed");
}

int main(void)
{
    const struct CMUnitTest failures[] = {
        cmocka_unit_test(no_failure_at_any_step_leaves_anything_behind)};
    const struct CMUnitTest kills[] = {
        cmocka_unit_test(no_kill_at_any_step_leaves_anything_behind)};

    world_without_qemu();
    return WALK_KILLS ? cmocka_run_group_tests_name("fault/vm_kills", kills, NULL, NULL)
                      : cmocka_run_group_tests_name("fault/vm_walk", failures, NULL, NULL);
}

#else
int main(void)
{
    print_message("[  SKIPPED ] this build has no failpoints\n");
    return 0;
}
#endif
