/* What the tests of bundles share: a VM with a tree of snapshots, what is made of it and of that,
 * and the folder that it lies in. */
#pragma once
#include "tests/lib/world_acts.h"

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/bundle/bundle.h"
#include "core/disk/copy.h"
#include "core/disk/pool.h"
#include "core/snap/snap.h"
#include "core/vm/registry.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DISKS "\"disks\":[{\"size_bytes\":1048576,\"format\":\"raw\"},{\"size_bytes\":2097152}]"

static struct world w;

static inline const char *take_with_memory(const char *vm, const char *name)
{
    const struct snapshot_ask ask = {.name = name, .consistency = CONSISTENCY_RUNNING};
    struct err err = {0};
    struct uuid op;

    return world_outcome(&w, snapshot_take(w.core, vm, &ask, &world_admin, &op, &err), &op, &err);
}

/* Saved, with a tree: "a" of its disks, on it "b" with memory, and "c" beside it. */
static inline int setup(void **state)
{
    world_make(&w);
    world_create(&w, "web", DISKS);
    assert_string_equal(world_take(&w, "web", "a"), "succeeded");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    assert_string_equal(take_with_memory("web", "b"), "succeeded");
    assert_string_equal(world_act(&w, "web", VM_VERB_STOP), "succeeded");
    assert_string_equal(world_revert(&w, "web", "a"), "succeeded");
    assert_string_equal(world_take(&w, "web", "c"), "succeeded");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    assert_string_equal(world_act(&w, "web", VM_VERB_SAVE), "succeeded");
    return 0;
}

static inline int teardown(void **state)
{
    world_remove(&w);
    return 0;
}

static inline const char *export_as(const char *vm, const struct bundle_ask *ask)
{
    struct err err = {0};
    json_t *plan = NULL;
    struct uuid op;

    return world_outcome(&w, vm_export(w.core, vm, ask, &world_admin, &op, &plan, &err), &op, &err);
}

static inline const char *export_to(const char *vm, const char *pool, const char *name)
{
    const struct bundle_ask ask = {.pool = pool, .name = name, .snapshots = true};

    return export_as(vm, &ask);
}

/* ---- the folder ---- */

static inline char *in_bundle(const char *name, const char *file)
{
    return str_format("%s/root-main/vmmd-bundles/%s/%s", w.dir, name, file);
}

static inline json_t *document(const char *name)
{
    CLEANUP(mem_freep) char *path = in_bundle(name, "bundle.json");
    json_t *v = json_load_file(path, 0, NULL);

    assert_non_null(v);
    return v;
}

/* The path of the n-th file that bundle.json speaks of. */
static inline char *file_of(const char *name, size_t n)
{
    CLEANUP(json_decrefp) json_t *v = document(name);
    const json_t *f = json_array_get(json_object_get(json_object_get(v, "vm"), "files"), n);
    const bool memory = str_eq(json_get_text(f, "role"), "memory");
    CLEANUP(mem_freep)
    char *file =
        str_format("%s.%s", json_get_text(f, "id"), memory ? "mem" : json_get_text(f, "format"));

    return in_bundle(name, file);
}

/* ---- made of one ---- */

static inline const char *import_as(const struct import_ask *ask)
{
    struct err err = {0};
    json_t *plan = NULL;
    struct uuid op;
    bool ok = vm_import(w.core, ask, &world_admin, &op, &plan, &err);

    if (!ok)
        print_message("%s\n", err.detail);
    return world_outcome(&w, ok, &op, &err);
}

static inline const char *import_named(const char *bundle, const char *name)
{
    const struct import_ask ask = {.bundle = bundle, .pool = "main", .name = name};

    return import_as(&ask);
}
