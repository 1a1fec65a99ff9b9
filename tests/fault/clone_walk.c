/* The fault walk over clones: each operation is made to fail, and is killed, at its n-th failpoint
 * for n = 1 until it runs through (see vm_walk.c). After a restart every operation has ended, the
 * VMs are whole or absent, they can be used, and with the last of them the last file goes. */
#include "tests/lib/steps.h"

#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/snap/clone.h"
#include "core/snap/export.h"
#include "core/snap/snap.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef VMMD_FAILPOINTS
#define DISK "\"disks\":[{\"size_bytes\":1048576,\"format\":\"raw\"}]"

struct operation {
    const char *name;
    void (*before)(struct world *w);
    bool (*act)(struct world *w);
    void (*after)(struct world *w); /* it was acknowledged, and the daemon was started again */
    bool kills;                     /* it is killed as well: fakes end with their daemon */
};

static bool ended_well(struct world *w, bool submitted, const struct uuid *op)
{
    CLEANUP(json_decrefp) json_t *job = submitted ? world_end_of(w, op) : NULL;

    return job && str_eq(json_get_text(job, "state"), "succeeded");
}

static bool clone(struct world *w, bool full)
{
    const struct clone_ask ask = {.name = "two", .full = full};
    struct err err = {0};
    struct uuid op, vm;

    return ended_well(w, vm_clone(w->core, "web", &ask, &world_admin, &op, &vm, &err), &op);
}

static bool clone_it(struct world *w)
{
    return clone(w, false);
}

static bool clone_fully(struct world *w)
{
    return clone(w, true);
}

static bool flatten(struct world *w)
{
    return str_eq(world_act(w, "two", VM_VERB_FLATTEN), "succeeded");
}

static bool delete_original(struct world *w)
{
    return str_eq(world_delete(w, "web"), "succeeded");
}

static bool delete_clone(struct world *w)
{
    return str_eq(world_delete(w, "two"), "succeeded");
}

static bool delete_snapshot(struct world *w)
{
    struct err err = {0};
    struct uuid op;

    return ended_well(w, snapshot_delete(w->core, "web", "clone-two", &world_admin, &op, &err),
                      &op);
}

static bool export_it(struct world *w)
{
    const struct export_ask ask = {.format = DISK_RAW};
    struct err err = {0};
    struct uuid op;

    return ended_well(
        w, snapshot_export(w->core, "web", "clone-two", &ask, &world_admin, &op, &err), &op);
}

static void is_off(struct world *w)
{
    world_create(w, "web", DISK);
}

static void runs(struct world *w)
{
    is_off(w);
    assert_string_equal(world_act(w, "web", VM_VERB_START), "succeeded");
}

static void is_cloned(struct world *w)
{
    is_off(w);
    assert_true(clone_it(w));
}

static void only_the_clone_is_left(struct world *w)
{
    is_cloned(w);
    assert_true(delete_original(w));
}

static void both_are_there(struct world *w)
{
    assert_true(world_has_vm(w, "web") && world_has_vm(w, "two"));
}

static void it_is_exported(struct world *w)
{
    struct err err = {0};
    uint64_t size = 0;
    CLEANUP(closep) int fd = export_open(w->core, "web-clone-two-0.raw", &size, &err);

    assert_true(fd >= 0);
    assert_int_equal(size, 1 << 20);
}

static void original_is_gone(struct world *w)
{
    assert_false(world_has_vm(w, "web"));
}

static void nothing_is_left(struct world *w)
{
    assert_false(world_has_vm(w, "two"));
    assert_int_equal(world_files(w), 0);
}

static const struct operation operations[] = {
    {"clone", is_off, clone_it, both_are_there, false},
    {"clone, running", runs, clone_it, both_are_there, false},
    {"full clone", is_off, clone_fully, both_are_there, true},
    {"flatten", is_cloned, flatten, both_are_there, false},
    {"delete the original", is_cloned, delete_original, original_is_gone, true},
    {"delete the clone that is left", only_the_clone_is_left, delete_clone, nothing_is_left, false},
    {"export", is_cloned, export_it, it_is_exported, true},
    {"delete a snapshot with a clone", is_cloned, delete_snapshot, both_are_there, false},
};

/* ---- what must hold after a restart ---- */

static void every_operation_has_ended(struct world *w)
{
    struct err err = {0};
    CLEANUP(json_decrefp)
    json_t *list = world_list(w, &schema_operation, (struct query_ask){0}, &err);
    json_t *item;
    size_t i;

    json_array_foreach (json_object_get(list, "items"), i, item) {
        struct uuid id;
        assert_true(uuid_parse(json_get_text(item, "id"), &id));
        CLEANUP(json_decrefp) json_t *end = world_end_of(w, &id);
        assert_non_null(end);
    }
}

static void it_is_whole_and_can_be_used(struct world *w, const char *name)
{
    if (!world_has_vm(w, name))
        return;
    world_await(w, name, "job", "null");
    assert_string_not_equal(world_vm(w, name, "state"), "creating");
    assert_string_not_equal(world_vm(w, name, "state"), "deleting");
    assert_string_equal(world_act(w, name, VM_VERB_START), "succeeded");
    assert_string_equal(world_act(w, name, VM_VERB_STOP), "succeeded");
}

static void all_is_well_after_a_restart(struct world *w, const struct operation *op, bool acked)
{
    assert_true(world_open(w));
    every_operation_has_ended(w);
    if (acked)
        op->after(w);
    it_is_whole_and_can_be_used(w, "web");
    it_is_whole_and_can_be_used(w, "two");
    if (world_has_vm(w, "web"))
        assert_true(delete_original(w));
    if (world_has_vm(w, "two"))
        assert_true(delete_clone(w));
    assert_int_equal(world_files(w), 0);
}

/* ---- the walk ---- */

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
    world_close(&w);
    all_is_well_after_a_restart(&w, op, acked);
    world_remove(&w);
    return passed < n;
}

static void live_and_die(struct world *w, const struct operation *op, unsigned n, int out)
{
    CLEANUP(mem_freep) char *spec = str_format("%s%u=kill", steps_mode(), n);
    bool passed_fewer;

    if (!world_open(w))
        _exit(2);
    failpoint_arm(spec);
    passed_fewer = op->act(w) && failpoint_passed() < n;
    _exit(write(out, &passed_fewer, 1) == 1 ? 0 : 3);
}

static bool kill_at(const struct operation *op, unsigned n)
{
    struct world w = {0};
    int out[2], status;
    bool over = false;
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
    assert_true(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0);
    if (read(out[0], &over, 1) < 0)
        fail_msg("read");
    close(out[0]);
    all_is_well_after_a_restart(&w, op, over);
    world_remove(&w);
    return over;
}

static void walk(const struct operation *op, bool (*at)(const struct operation *, unsigned),
                 const char *how)
{
    unsigned n = 1;

    while (!at(op, n))
        if (++n > 200)
            fail_msg("%s never runs through", op->name);
    print_message("%s: %s at %u steps\n", op->name, how, n - 1);
    assert_true(n > 2);
}

static void no_failure_at_any_step_leaves_anything_behind(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(operations); i++)
        walk(&operations[i], fail_at, "failed");
}

static void no_kill_at_any_step_leaves_anything_behind(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(operations); i++)
        if (operations[i].kills)
            walk(&operations[i], kill_at, "killed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_failure_at_any_step_leaves_anything_behind),
        cmocka_unit_test(no_kill_at_any_step_leaves_anything_behind),
    };

    world_without_qemu();
    return cmocka_run_group_tests_name("fault/clone_walk", tests, NULL, NULL);
}
#else
int main(void)
{
    print_message("[  SKIPPED ] this build has no failpoints\n");
    return 0;
}
#endif
