/* The fault walk over clones (tests/lib/steps.h). After a restart every operation has ended, the
 * VMs are whole or absent, they can be used, and with the last of them the last file goes. */
#include "tests/lib/steps.h"

#include "core/base/fs.h"
#include "core/base/str.h"
#include "core/snap/clone.h"
#include "core/snap/export.h"
#include "core/snap/snap.h"

#define DISK "\"disks\":[{\"size_bytes\":1048576,\"format\":\"raw\"}]"

static bool clone(struct world *w, bool full)
{
    const struct clone_ask ask = {.name = "two", .full = full};
    struct err err = {0};
    struct uuid op, vm;

    return steps_ended_well(w, vm_clone(w->core, "web", &ask, &world_admin, &op, &vm, &err), &op);
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

    return steps_ended_well(
        w, snapshot_delete(w->core, "web", "clone-two", NULL, &world_admin, &op, &err), &op);
}

static bool export_it(struct world *w)
{
    const struct export_ask ask = {.format = DISK_RAW};
    struct err err = {0};
    struct uuid op;

    return steps_ended_well(
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

static const struct step_row rows[] = {
    {"clone", is_off, clone_it, both_are_there, NULL, true, false},
    {"clone, running", runs, clone_it, both_are_there, NULL, true, false},
    {"full clone", is_off, clone_fully, both_are_there, NULL, true, true},
    {"flatten", is_cloned, flatten, both_are_there, NULL, true, false},
    {"delete the original", is_cloned, delete_original, original_is_gone, NULL, true, true},
    {"delete the clone that is left", only_the_clone_is_left, delete_clone, nothing_is_left, NULL,
     true, false},
    {"export", is_cloned, export_it, it_is_exported, NULL, true, true},
    {"delete a snapshot with a clone", is_cloned, delete_snapshot, both_are_there, NULL, true,
     false},
};

/* ---- what must hold after a restart ---- */

static void it_is_whole(struct world *w, const char *name)
{
    if (!world_has_vm(w, name))
        return;
    world_await(w, name, "job", "null");
    assert_string_not_equal(world_vm(w, name, "state"), "creating");
    assert_string_not_equal(world_vm(w, name, "state"), "deleting");
}

static void they_are_whole_or_absent(struct world *w)
{
    steps_all_ended(w, "web");
    it_is_whole(w, "web");
    it_is_whole(w, "two");
}

static void they_can_be_used(struct world *w)
{
    if (world_has_vm(w, "two")) /* while what it stands on is still there */
        assert_string_equal(world_act(w, "two", VM_VERB_START), "succeeded");
    if (world_has_vm(w, "two"))
        assert_string_equal(world_act(w, "two", VM_VERB_STOP), "succeeded");
    steps_use_and_delete(w, "web");
    steps_use_and_delete(w, "two");
    assert_int_equal(world_files(w), 0);
}

int main(void)
{
    static const struct step_walk walk = {"fault/clone_walk", rows, ARRAY_LEN(rows),
                                          they_are_whole_or_absent, they_can_be_used};

    return steps_main(&walk, true, true);
}
