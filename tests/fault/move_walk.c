/* The fault walk over moves of storage (tests/lib/steps.h). The disks are where they were or where
 * they were to go, whole, with all snapshots and the guest's memory; no other file is left, and the
 * VM can be used. */
#include "tests/lib/steps.h"

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/pool.h"
#include "core/move/move.h"
#include "core/snap/snap.h"

#include <glob.h>
#include <string.h>

#define DISKS "\"disks\":[{\"size_bytes\":1048576,\"format\":\"raw\"},{\"size_bytes\":2097152}]"

/* ---- what is there before ---- */

static void take(struct world *w, const char *name)
{
    const struct snapshot_ask ask = {.name = name, .consistency = CONSISTENCY_RUNNING};
    struct err err = {0};
    struct uuid op;

    assert_true(
        steps_ended_well(w, snapshot_take(w->core, "web", &ask, &world_admin, &op, &err), &op));
}

/* With a snapshot of its disks and its memory. */
static void it_runs(struct world *w)
{
    struct err err = {0};
    struct uuid id;

    assert_true(pool_create(w->core, "away", "second", &world_admin, &id, &err));
    world_create(w, "web", DISKS);
    assert_string_equal(world_act(w, "web", VM_VERB_START), "succeeded");
    take(w, "one");
}

static void it_has_none(struct world *w)
{
    struct err err = {0};
    struct uuid id;

    assert_true(pool_create(w->core, "away", "second", &world_admin, &id, &err));
    world_create(w, "web", DISKS);
}

static void it_has_one_of_its_disks(struct world *w)
{
    struct err err = {0};
    struct uuid op;

    it_has_none(w);
    assert_true(steps_ended_well(
        w, snapshot_create(w->core, "web", "one", NULL, &world_admin, &op, &err), &op));
}

static void it_is_saved(struct world *w)
{
    it_runs(w);
    assert_string_equal(world_act(w, "web", VM_VERB_SAVE), "succeeded");
}

/* ---- what is done ---- */

static bool move(struct world *w, const struct move_request *request)
{
    struct err err = {0};
    json_t *plan = NULL;
    struct uuid op;

    return steps_ended_well(
        w, vm_move_storage(w->core, "web", request, &world_admin, &op, &plan, &err), &op);
}

static bool move_all(struct world *w)
{
    return move(w, &(struct move_request){.pool = "away", .format = -1});
}

static bool move_and_keep(struct world *w)
{
    return move(w, &(struct move_request){.pool = "away", .format = -1, .keep_source = true});
}

static bool move_as_raw(struct world *w)
{
    return move(w, &(struct move_request){.pool = "away", .format = DISK_RAW});
}

/* ---- what must hold ---- */

/* The pool of the VM's disks, which is one. */
static const char *pool_of(struct world *w)
{
    static char text[64];
    struct etag etag;
    struct err err = {0};
    CLEANUP(json_decrefp) json_t *vm = vm_show(w->core, "web", &etag, &err);
    const json_t *disks = json_object_get(vm, "disks");
    const char *pool = json_get_text(json_array_get(disks, 0), "pool");

    assert_string_equal(json_get_text(json_array_get(disks, 1), "pool"), pool);
    str_copy(text, sizeof text, pool);
    return text;
}

/* Files that were moved from and stay, under names that are none of ours. */
static unsigned kept(struct world *w)
{
    CLEANUP(mem_freep) char *pattern = str_format("%s/root-main/*/moved-*", w->dir);
    glob_t found;
    unsigned n = glob(pattern, GLOB_NOSORT, NULL, &found) == 0 ? (unsigned)found.gl_pathc : 0;

    globfree(&found);
    return n;
}

/* How consistent its snapshot is, "" when it has none. */
static const char *level(struct world *w)
{
    static char text[16];
    struct err none = {0};
    CLEANUP(json_decrefp) json_t *one = snapshot_show(w->core, "web", "one", &none);
    const char *is = json_get_text(one, "consistency");

    str_copy(text, sizeof text, is ? is : "");
    return text;
}

/* And of the memory that its snapshot has. */
static unsigned files_of_disks(struct world *w)
{
    const char *is = level(w);

    return !*is ? 2 : str_eq(is, "running") ? 5 : 4;
}

static void it_is_here_or_there(struct world *w)
{
    const bool saved = str_eq(world_vm(w, "web", "run.state"), "saved");

    steps_all_ended(w, "web");
    if (saved)
        assert_string_equal(world_vm(w, "web", "saved.pool"), pool_of(w));
    else
        (void)pool_of(w);
    assert_int_equal(world_files(w) - kept(w), (saved ? 1u : 0u) + files_of_disks(w));
}

static void it_is_there_and_here(struct world *w)
{
    assert_string_equal(pool_of(w), "away");
    assert_int_equal(kept(w), 4);
}

static void it_is_there(struct world *w)
{
    assert_string_equal(pool_of(w), "away");
}

static void it_can_be_used(struct world *w)
{
    struct err err = {0};
    struct uuid op;

    if (str_eq(world_vm(w, "web", "run.state"), "saved"))
        assert_string_equal(world_act(w, "web", VM_VERB_START), "succeeded");
    if (str_eq(world_vm(w, "web", "run.state"), "running"))
        assert_string_equal(world_act(w, "web", VM_VERB_STOP), "succeeded");
    if (*level(w))
        assert_true(steps_ended_well(
            w, snapshot_revert(w->core, "web", "one", &world_admin, &op, &err), &op));
    steps_use_and_delete(w, "web");
    assert_int_equal(world_files(w), kept(w));
}

static const struct step_row rows[] = {
    {"move, saved", it_is_saved, move_all, it_is_there, NULL, false, true},
    {"move, running", it_runs, move_all, it_is_there, NULL, true, false},
    {"move, keeping what was there", it_has_one_of_its_disks, move_and_keep, it_is_there_and_here,
     NULL, false, true},
    {"move, another format", it_has_none, move_as_raw, it_is_there, NULL, false, true},
};

int main(void)
{
    static const struct step_walk walk = {"fault/move_walk", rows, ARRAY_LEN(rows),
                                          it_is_here_or_there, it_can_be_used};

    return steps_main(&walk, true, true);
}
