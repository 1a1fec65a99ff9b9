/* The fault walk over snapshots with the guest's memory (tests/lib/steps.h): taking one, going back
 * to it, cloning, archiving and deleting it. Whatever fails or is killed, a snapshot is there as a
 * whole, with its disks alone and a word why, or not at all; each image has somebody who needs it.
 */
#include "tests/lib/steps.h"

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/pool.h"
#include "core/snap/clone.h"
#include "core/snap/snap.h"

#include <string.h>

#ifdef VMMD_FAILPOINTS
#define N_DISKS 2u
#define DISKS                                                                                      \
    "\"memory_bytes\":16777216,\"disks\":[{\"size_bytes\":1048576},{\"size_bytes\":2097152}]"

/* ---- what is there before ---- */

static bool take(struct world *w)
{
    const struct snapshot_ask ask = {.name = "busy", .consistency = CONSISTENCY_RUNNING};
    struct err err = {0};
    struct uuid op;

    return steps_ended_well(w, snapshot_take(w->core, "web", &ask, &world_admin, &op, &err), &op);
}

static void is_off(struct world *w)
{
    world_create(w, "web", DISKS);
}

static void runs(struct world *w)
{
    is_off(w);
    assert_string_equal(world_act(w, "web", VM_VERB_START), "succeeded");
}

static void runs_with_one(struct world *w)
{
    runs(w);
    assert_true(take(w));
}

static void is_off_with_one(struct world *w)
{
    runs_with_one(w);
    assert_string_equal(world_act(w, "web", VM_VERB_STOP), "succeeded");
}

static void is_off_beside_a_pool(struct world *w)
{
    struct err err = {0};
    struct uuid id;

    assert_true(pool_create(w->core, "away", "second", &world_admin, &id, &err));
    is_off_with_one(w);
}

/* ---- what is done ---- */

/* Fakes end with their daemon: one that is killed starts its guest itself. */
static bool start_and_take(struct world *w)
{
    return str_eq(world_act(w, "web", VM_VERB_START), "succeeded") && take(w);
}

static bool go_back(struct world *w)
{
    struct err err = {0};
    struct uuid op;

    return steps_ended_well(
        w, snapshot_revert_to(w->core, "web", "busy", false, &world_admin, &op, &err), &op);
}

static bool drop(struct world *w)
{
    struct err err = {0};
    struct uuid op;

    return steps_ended_well(
        w, snapshot_delete(w->core, "web", "busy", NULL, &world_admin, &op, &err), &op);
}

static bool clone(struct world *w)
{
    const struct clone_ask ask = {.name = "twin", .snapshot = "busy"};
    struct err err = {0};
    struct uuid op, id;

    return steps_ended_well(w, vm_clone(w->core, "web", &ask, &world_admin, &op, &id, &err), &op);
}

static bool archive_it(struct world *w, bool pack)
{
    struct err err = {0};
    struct uuid op;

    return steps_ended_well(
        w, snapshot_archive(w->core, "web", "busy", pack, &world_admin, &op, &err), &op);
}

static bool archive(struct world *w)
{
    return archive_it(w, true);
}

static bool unarchive(struct world *w)
{
    return archive_it(w, false);
}

static bool clone_fully(struct world *w)
{
    const struct clone_ask ask = {.name = "twin", .snapshot = "busy", .full = true, .pool = "away"};
    struct err err = {0};
    struct uuid op, id;

    return steps_ended_well(w, vm_clone(w->core, "web", &ask, &world_admin, &op, &id, &err), &op);
}

static void is_off_archived(struct world *w)
{
    is_off_with_one(w);
    assert_true(archive(w));
}

/* Its memory is an image from then on, and of the snapshot nothing is left. */
static void runs_from_an_image(struct world *w)
{
    struct err err = {0};
    struct uuid op;

    runs_with_one(w);
    assert_true(steps_ended_well(
        w, snapshot_revert_to(w->core, "web", "busy", true, &world_admin, &op, &err), &op));
    assert_true(drop(w));
}

/* ---- what must hold ---- */

static bool is_archived(struct world *w)
{
    struct err err = {0};
    CLEANUP(json_decrefp) json_t *s = snapshot_show(w->core, "web", "busy", &err);

    return json_get_bool(json_object_get(s, "memory"), "archived", false);
}

/* The state of the snapshot's memory; "" without a snapshot. */
static const char *memory(struct world *w)
{
    static char text[32];
    struct err err = {0};
    CLEANUP(json_decrefp) json_t *s = snapshot_show(w->core, "web", "busy", &err);
    const char *state = json_get_text(json_object_get(s, "memory"), "state");

    str_copy(text, sizeof text, state ? state : "");
    return text;
}

/* A snapshot and its image; a clone with files of its own on the same. Of an archived one whoever
 * goes on with it has an image of their own. */
static void files_are_those_that_are_needed(struct world *w)
{
    unsigned snapshots, images, twins = 0;
    const char *state;

    steps_all_ended(w, "web");
    state = memory(w);
    snapshots = state[0] != 0;
    images = str_eq(state, "ready");
    if (is_archived(w))
        images += str_eq(world_vm(w, "web", "run.state"), "saved");
    assert_string_not_equal(state, "streaming");
    if (world_has_vm(w, "twin"))
        twins = N_DISKS + (is_archived(w) || str_eq(world_vm(w, "twin", "saved.pool"), "away"));
    assert_int_equal(world_files(w), N_DISKS * (1 + snapshots) + images + twins);
}

/* The image is the last that goes, whoever of the two goes last. */
static void it_can_be_used(struct world *w)
{
    if (str_eq(world_vm(w, "web", "run.state"), "running"))
        assert_string_equal(world_act(w, "web", VM_VERB_STOP), "succeeded");
    if (memory(w)[0])
        assert_true(go_back(w));
    assert_string_equal(world_delete(w, "web"), "succeeded");
    if (world_has_vm(w, "twin"))
        assert_string_equal(world_delete(w, "twin"), "succeeded");
    assert_int_equal(world_files(w), 0);
}

static void it_is_whole(struct world *w)
{
    assert_string_equal(memory(w), "ready");
}

static void it_is_saved(struct world *w)
{
    it_is_whole(w);
    assert_string_equal(world_vm(w, "web", "run.state"), "saved");
}

static void it_is_archived(struct world *w)
{
    assert_true(is_archived(w));
}

static void it_is_saved_beside_it(struct world *w)
{
    it_is_archived(w);
    it_is_saved(w);
}

static void its_twin_is_saved_beside_it(struct world *w)
{
    it_is_archived(w);
    assert_string_equal(world_vm(w, "twin", "run.state"), "saved");
}

static void it_is_plain(struct world *w)
{
    it_is_whole(w);
    assert_false(is_archived(w));
}

static void its_twin_is_saved(struct world *w)
{
    it_is_whole(w);
    assert_string_equal(world_vm(w, "twin", "run.state"), "saved");
}

static void it_is_gone(struct world *w)
{
    assert_string_equal(memory(w), "");
}

static const struct step_row rows[] = {
    {"snapshot with memory", runs, take, it_is_whole, NULL, true, false},
    {"snapshot with memory, still", runs_from_an_image, take, it_is_whole, NULL, true, false},
    {"start, snapshot with memory", is_off, start_and_take, it_is_whole, NULL, false, true},
    {"revert to memory", is_off_with_one, go_back, it_is_saved, it_is_whole, true, true},
    {"revert to memory, running", runs_with_one, go_back, it_is_saved, it_is_whole, true, false},
    {"clone with memory", is_off_with_one, clone, its_twin_is_saved, it_is_whole, true, true},
    {"full clone with memory", is_off_beside_a_pool, clone_fully, its_twin_is_saved, it_is_whole,
     false, true},
    {"archive", is_off_with_one, archive, it_is_archived, it_is_whole, false, true},
    {"unarchive", is_off_archived, unarchive, it_is_plain, it_is_whole, true, false},
    {"revert to archived memory", is_off_archived, go_back, it_is_saved_beside_it, it_is_archived,
     true, true},
    {"clone with archived memory", is_off_archived, clone, its_twin_is_saved_beside_it,
     it_is_archived, true, true},
    {"delete with memory", is_off_with_one, drop, it_is_gone, NULL, true, true},
};

int main(void)
{
    static const struct step_walk walk = {"fault/memory_walk", rows, ARRAY_LEN(rows),
                                          files_are_those_that_are_needed, it_can_be_used};

    return steps_main(&walk, true, true);
}

#else
int main(void)
{
    print_message("[  SKIPPED ] this build has no failpoints\n");
    return 0;
}
#endif
