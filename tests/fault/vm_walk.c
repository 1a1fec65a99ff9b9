/* The fault walk over what is asked of a VM (tests/lib/steps.h): its power, its configuration, its
 * disks, its snapshots. */
#include "tests/lib/steps.h"
#include "tests/lib/world_disks.h"

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/job/job.h"
#include "core/snap/snap.h"
#include "core/vm/bulk.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* vm_kills.c is the other half, a program of its own so that both run at once. */
#ifndef WALK_KILLS
#define WALK_KILLS 0
#endif

#define DISK "\"disks\":[{\"size_bytes\":1048576,\"format\":\"raw\"},{\"size_bytes\":2097152}]"

#define LIVE "\"cpu\":{\"max_vcpus\":4},\"cdroms\":[{\"media\":\"one.iso\"},{}]"

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

    return steps_ended_well(w, world_try_create(w, "web", more, &op, &err), &op);
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

static bool take(struct world *w, const char *name)
{
    struct err err = {0};
    struct uuid op;

    return steps_ended_well(w, snapshot_create(w->core, "web", name, NULL, &world_admin, &op, &err),
                            &op);
}

static bool take_one(struct world *w)
{
    return take(w, "third");
}

static bool go_back(struct world *w)
{
    struct err err = {0};
    struct uuid op;

    return steps_ended_well(w, snapshot_revert(w->core, "web", "first", &world_admin, &op, &err),
                            &op);
}

static bool drop_one(struct world *w)
{
    struct err err = {0};
    struct uuid op;

    return steps_ended_well(
        w, snapshot_delete(w->core, "web", "first", NULL, &world_admin, &op, &err), &op);
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

/* Whether a fake runs on across the start of the daemon that is killed is not the point: stopped
 * VMs are enough, and there is no need to be killed where others were. */
static const struct step_row rows[] = {
    {"create", nothing, create, it_is_there, NULL, true, true},
    {"create and start", nothing, create_and_start, it_is_there, NULL, true, true},
    {"delete", exists, delete, it_is_gone, NULL, true, true},
    {"start", exists, start, it_is_there, NULL, true, true},
    {"edit", exists, edit, it_is_changed, NULL, true, true},
    {"rename", exists, rename_it, it_is_renamed, NULL, true, true},
    {"autostart", exists, make_it_autostart, it_starts_by_itself, NULL, true, true},
    {"hot-add", runs_with_room, hot_add, it_is_there, the_next_edit_makes_it_good, true, false},
    {"media", runs_with_room, change_media, its_media_are_changed, the_next_edit_makes_it_good,
     true, false},
    {"stop", runs, stop, it_is_off, NULL, true, false},
    {"shutdown", runs, shut_down, it_is_off, NULL, true, false},
    {"pause", runs, pause_it, it_is_there, NULL, true, false},
    {"resume", is_paused, resume, it_is_there, NULL, true, false},
    {"reset", runs, reset, it_is_there, NULL, true, false},
    {"start all", exists, start_all, it_is_there, NULL, true, true},
    {"delete all", exists, delete_all, it_is_gone, NULL, true, true},
    {"snapshot", has_two, take_one, there_are_three, NULL, true, true},
    {"snapshot, running", has_two_and_runs, take_one, there_are_three, NULL, true, false},
    {"revert", has_two, go_back, there_are_two, NULL, true, true},
    {"delete snapshot", has_two, drop_one, there_is_one, NULL, true, true},
    {"delete snapshot, running", has_two_and_runs, drop_one, there_is_one, NULL, true, false},
    {"add disk", exists, world_disk_add_one, world_has_three_disks, NULL, true, true},
    {"import disk", exists, world_disk_import_one, world_has_three_disks, NULL, true, true},
    {"remove disk", exists, world_disk_remove, world_has_one_disk, NULL, true, true},
    {"add disk, running", runs, world_disk_add_one, world_has_three_disks, NULL, true, false},
    {"remove disk, running", runs, world_disk_remove, world_has_one_disk, NULL, true, false},
    {"grow disk", exists, world_disk_grow_one, world_has_a_grown_disk, NULL, true, true},
    {"delete snapshot, downward", has_a_large_one_and_runs, drop_one, it_is_there, NULL, true,
     KILLS_ALONE},
    {"rename snapshot", has_two, rename_one, there_are_two, NULL, true, false},
    {"delete with snapshots", has_two_branches, delete, it_is_gone, NULL, true, false},
};

/* ---- the invariants, each a sentence ---- */

/* Neither a half VM nor a file without a VM. */
static void a_vm_is_whole_or_absent(struct world *w)
{
    steps_all_ended(w, name_of(w));
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
    if (!world_has_vm(w, name_of(w)))
        return;
    steps_use_and_delete(w, name_of(w));
    assert_int_equal(world_files(w), 0);
}

int main(void)
{
    static const struct step_walk walk = {WALK_KILLS ? "fault/vm_kills" : "fault/vm_walk", rows,
                                          ARRAY_LEN(rows), a_vm_is_whole_or_absent,
                                          it_can_still_be_used_and_deleted};

    return steps_main(&walk, !WALK_KILLS, WALK_KILLS);
}
