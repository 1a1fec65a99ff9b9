/* The fault walk over bundles (tests/lib/steps.h): whatever fails or is killed, a bundle is there
 * as a whole or not at all, and so is the VM that is made of one. */
#include "tests/lib/steps.h"

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/bundle/bundle.h"
#include "core/snap/snap.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#ifdef VMMD_FAILPOINTS
#define DISKS "\"disks\":[{\"size_bytes\":1048576}]"

/* Off, with a snapshot that has its memory. */
static void is_off(struct world *w)
{
    const struct snapshot_ask ask = {.name = "busy", .consistency = CONSISTENCY_RUNNING};
    struct err err = {0};
    struct uuid op;

    world_create(w, "web", DISKS);
    assert_string_equal(world_act(w, "web", VM_VERB_START), "succeeded");
    assert_true(
        steps_ended_well(w, snapshot_take(w->core, "web", &ask, &world_admin, &op, &err), &op));
    assert_string_equal(world_act(w, "web", VM_VERB_STOP), "succeeded");
}

static bool pack(struct world *w)
{
    const struct bundle_ask ask = {
        .pool = "main", .name = "carried", .snapshots = true, .consistency = CONSISTENCY_AUTO};
    struct err err = {0};
    json_t *plan = NULL;
    struct uuid op;

    return steps_ended_well(w, vm_export(w->core, "web", &ask, &world_admin, &op, &plan, &err),
                            &op);
}

static void has_no_snapshot(struct world *w)
{
    world_create(w, "web", DISKS);
}

/* Fakes end with their daemon: one that is killed starts its guest itself. */
static bool start_and_pack(struct world *w)
{
    return str_eq(world_act(w, "web", VM_VERB_START), "succeeded") && pack(w);
}

static void is_packed(struct world *w)
{
    is_off(w);
    assert_true(pack(w));
}

static bool unpack(struct world *w)
{
    const struct import_ask ask = {.bundle = "carried", .pool = "main", .name = "twin"};
    struct err err = {0};
    json_t *plan = NULL;
    struct uuid op;

    return steps_ended_well(w, vm_import(w->core, &ask, &world_admin, &op, &plan, &err), &op);
}

/* "complete", or "" when there is none. */
static const char *state_of(struct world *w)
{
    static char text[32];
    CLEANUP(strbuf_clear) struct strbuf list = {0};
    CLEANUP(query_clear) struct query query = {0};
    const struct query_ask ask = {.page_size = 10};
    CLEANUP(json_decrefp) json_t *all = NULL;
    const char *state;
    struct err err = {0};

    assert_true(query_parse(&schema_bundle, &ask, &query, &err));
    bundle_list(w->core, &query, &list);
    all = json_loadb(list.data, list.len, 0, NULL);
    state = json_get_text(json_array_get(json_object_get(all, "items"), 0), "state");
    str_copy(text, sizeof text, state ? state : "");
    return text;
}

/* No folder that an export was writing is left. */
static void no_part_is_left(struct world *w)
{
    CLEANUP(mem_freep) char *path = str_format("%s/root-main/vmmd-bundles", w->dir);
    DIR *dir = opendir(path);

    for (struct dirent *e; dir && (e = readdir(dir));)
        assert_true(str_eq(e->d_name, ".") || str_eq(e->d_name, "..") || e->d_name[0] != '.');
    if (dir)
        closedir(dir);
}

/* What a VM's disk, snapshots and memories lie in. */
static unsigned files_of(struct world *w, const char *vm)
{
    CLEANUP(strbuf_clear) struct strbuf list = {0};
    CLEANUP(query_clear) struct query query = {0};
    const struct query_ask ask = {.page_size = 10};
    CLEANUP(json_decrefp) json_t *all = NULL;
    struct err err = {0};
    unsigned files = 1;
    json_t *s;
    size_t i;

    if (!world_has_vm(w, vm))
        return 0;
    assert_true(query_parse(&schema_snapshot, &ask, &query, &err));
    assert_true(snapshot_list(w->core, vm, &query, &list, &err));
    all = json_loadb(list.data, list.len, 0, NULL);
    json_array_foreach (json_object_get(all, "items"), i, s)
        files += 1 + str_eq(json_get_text(s, "consistency"), "running");
    return files;
}

static void it_is_whole_or_absent(struct world *w)
{
    const char *state;

    steps_all_ended(w, "web");
    state = state_of(w);
    assert_true(str_eq(state, "complete") || !state[0]);
    no_part_is_left(w);
    steps_all_ended(w, "twin");
    assert_int_equal(world_files(w), files_of(w, "web") + files_of(w, "twin"));
}

static void its_twin_is_there(struct world *w)
{
    struct err err = {0};
    CLEANUP(json_decrefp) json_t *s = snapshot_show(w->core, "twin", "busy", &err);

    assert_string_equal(json_get_text(s, "consistency"), "running");
}

static void it_is_there(struct world *w)
{
    assert_string_equal(state_of(w), "complete");
}

static void they_can_be_used(struct world *w)
{
    struct err err = {0};

    if (state_of(w)[0])
        assert_true(bundle_remove(w->core, "carried", &world_admin, &err));
    steps_use_and_delete(w, "web");
    steps_use_and_delete(w, "twin");
    assert_int_equal(world_files(w), 0);
}

static const struct step_row rows[] = {
    {"export a VM", is_off, pack, it_is_there, NULL, true, true},
    {"import a VM", is_packed, unpack, its_twin_is_there, NULL, true, true},
    /* with VMMD_SLOW only: taking the snapshot is walked elsewhere */
    {"start and export a VM", has_no_snapshot, start_and_pack, it_is_there, NULL, false, true},
};

int main(void)
{
    const struct step_walk walk = {"fault/bundle_walk", rows,
                                   ARRAY_LEN(rows) - (getenv("VMMD_SLOW") ? 0 : 1),
                                   it_is_whole_or_absent, they_can_be_used};

    return steps_main(&walk, true, true);
}

#else
int main(void)
{
    print_message("[  SKIPPED ] this build has no failpoints\n");
    return 0;
}
#endif
