/* What the tests of recovery share: a world whose database is lost, what "vmmd --recover" makes of
 * it, and its report. */
#pragma once
#include "tests/lib/world.h"

#include "backends/fake/fake.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/port/store.h"
#include "core/rebuild/rebuild.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UNUSED      __attribute__((unused))
#define ONE         "\"disks\":[{\"size_bytes\":1048576}]"
#define STORY(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static struct world w;

UNUSED static int setup(void **state)
{
    fake_tick_ms = 5;
    world_make(&w);
    return 0;
}

UNUSED static int teardown(void **state)
{
    world_remove(&w);
    return 0;
}

UNUSED static void act(const char *vm, enum vm_verb verb)
{
    assert_string_equal(world_act(&w, vm, verb), "succeeded");
}

/* ---- losing the database ---- */

UNUSED static void close_world(void)
{
    world_close(&w);
}

UNUSED static void remove_below(const char *path)
{
    CLEANUP(closep) int dir = open(w.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(mem_freep) char *parent = str_dup(path);
    char *slash = strrchr(parent, '/');
    CLEANUP(closep) int above = -1;
    struct err err = {0};

    if (slash)
        *slash = 0;
    above = fs_open(dir, slash ? parent : ".", O_RDONLY | O_DIRECTORY, 0, &err);
    assert_true(fs_remove_tree(above, slash ? slash + 1 : path, &err));
}

UNUSED static void lose_database(void)
{
    static const char *const files[] = {"vmmd.db", "vmmd.db-wal", "vmmd.db-shm"};

    close_world();
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        CLEANUP(mem_freep) char *path = str_format("%s/state/%s", w.dir, files[i]);
        unlink(path);
    }
}

/* As "vmmd --recover" does it; the report. */
UNUSED static json_t *recover(bool apply, bool doubtful)
{
    static const char *const ids[] = {"main", "second"};
    CLEANUP(mem_freep) char *state = str_format("%s/state", w.dir);
    struct scan_root roots[2];
    struct err err = {0};
    struct rebuild *r = store_rebuild_begin(state, &err);
    CLEANUP(scan_freep) struct scan *scan = NULL;
    char kept[64];
    json_t *report;

    if (!r)
        fail_msg("%s", err.detail);
    for (size_t i = 0; i < 2; i++) {
        CLEANUP(mem_freep) char *path = str_format("%s/root-%s", w.dir, ids[i]);
        roots[i] = (struct scan_root){ids[i], open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    }
    scan = scan_new(&(struct scan_ask){
        .state = store_rebuild_dir(r), .roots = roots, .n_roots = 2, .doubtful = doubtful});
    if (apply) {
        struct store *store = store_rebuild_open(r, rebuild_epoch(scan), &err);
        if (!store || !rebuild_fill(scan, store, &err) || !store_rebuild_commit(r, kept, &err))
            fail_msg("%s", err.detail);
    }
    report = scan_report(scan, apply ? kept : NULL);
    store_rebuild_end(r);
    for (size_t i = 0; i < 2; i++)
        closep(&roots[i].dir);
    return report;
}

UNUSED static json_t *come_back(void)
{
    json_t *report = recover(true, false);

    assert_true(world_open(&w));
    return report;
}

UNUSED static const json_t *vm_in(const json_t *report, const char *name)
{
    const json_t *vm;
    size_t i;

    json_array_foreach (json_object_get(report, "vms"), i, vm)
        if (str_eq(json_get_text(vm, "name"), name) || str_eq(json_get_text(vm, "id"), name))
            return vm;
    fail_msg("%s is not in the report", name);
    return NULL;
}

UNUSED static void is_judged(const json_t *report, const char *name, const char *verdict,
                             const char *why)
{
    const json_t *vm = vm_in(report, name);
    CLEANUP(mem_freep) char *said = json_dumps(json_object_get(vm, "findings"), 0);

    if (!str_eq(json_get_text(vm, "verdict"), verdict) || (why && !strstr(said, why)))
        fail_msg("%s is %s: %s", name, json_get_text(vm, "verdict"), said);
    if (!why && json_array_size(json_object_get(vm, "findings")))
        fail_msg("%s: %s", name, said);
}

UNUSED static size_t orphans_in(const json_t *report)
{
    return json_array_size(json_object_get(report, "orphans"));
}

/* ---- a copy, changed by a stranger ---- */

UNUSED static char *copy_path(const char *vm_id)
{
    return str_format("%s/state/vm/%s/config.json", w.dir, vm_id);
}

/* The copies in the pool roots are gone then: the one in the state directory counts. */
UNUSED static void forget_roots(void)
{
    remove_below("root-main/vmmd-copies");
    remove_below("root-second/vmmd-copies");
}

UNUSED static json_t *read_copy(const char *vm_id)
{
    CLEANUP(mem_freep) char *path = copy_path(vm_id);
    json_t *copy = json_load_file(path, 0, NULL);

    assert_non_null(copy);
    return copy;
}

UNUSED static void write_copy(const char *vm_id, json_t *copy)
{
    CLEANUP(mem_freep) char *path = copy_path(vm_id);

    assert_int_equal(json_dump_file(copy, path, 0), 0);
    json_decref(copy);
}

UNUSED static json_t *item(const json_t *copy, const char *list, size_t i)
{
    json_t *found = json_array_get(json_object_get(copy, list), i);

    assert_non_null(found);
    return found;
}

UNUSED static void id_of(const char *vm, char out[UUID_TEXT])
{
    str_copy(out, UUID_TEXT, world_vm(&w, vm, "id"));
}
