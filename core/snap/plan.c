/* What taking, reverting to or deleting a snapshot would do, and what stands in its way: for dry
 * runs. Nothing is changed, and the operation itself checks everything again. */
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/disks.h"
#include "core/disk/lent.h"
#include "core/ram/expand.h"
#include "core/snap/down.h"
#include "core/snap/reverting.h"
#include "core/snap/snap.h"
#include "core/snap/taking.h"
#include "core/snap/tree.h"
#include "core/vm/registry.h"

#include <stdlib.h>
#include <string.h>

#define NAMES_BYTES 512

struct plan {
    struct core *core;
    struct vm *vm;
    json_t *blockers;
    char clones[NAMES_BYTES]; /* whose files lie on it */
    uint64_t copied, freed, lost;
    bool has_free;
    uint64_t free_bytes;         /* the least of the pools that are written to */
    struct memory_choice memory; /* taking one */
};

static void block(struct plan *p, const struct err *why)
{
    json_add_err(p->blockers, why);
}

/* ---- space ---- */

static void look_at_pool(struct plan *p, int dir)
{
    uint64_t total, free_bytes;
    struct err ignored = {0};

    if (dir < 0 || !fs_space(dir, &total, &free_bytes, &ignored))
        return;
    if (!p->has_free || free_bytes < p->free_bytes)
        p->free_bytes = free_bytes;
    p->has_free = true;
}

static void look_at_leaves(struct plan *p, bool they_go)
{
    lock_take(&p->core->registry.lock);
    for (struct disk *d = disks_of(p->core, &p->vm->id); d; d = d->next) {
        const struct file *leaf = file_find(p->core, &d->leaf);
        const struct layer layer = leaf ? layer_of_file(p->core, leaf) : (struct layer){.dir = -1};
        look_at_pool(p, layer.dir);
        if (leaf && they_go && !leaf->children && !snapshots_with_file(p->vm, &leaf->id))
            p->lost += layer_allocated(&layer);
    }
    lock_drop(&p->core->registry.lock);
}

/* ---- deleting ---- */

/* The running QEMU has it open. */
static bool is_in_use(struct plan *p, const struct file *file) REQUIRES(p->core->registry.lock);
static bool is_in_use(struct plan *p, const struct file *file)
{
    for (struct disk *d = disks_of(p->core, &p->vm->id); d; d = d->next)
        for (struct file *f = file_find(p->core, &d->leaf); f; f = file_find(p->core, &f->parent))
            if (f == file)
                return true;
    return false;
}

static uint64_t allocated(struct plan *p, const struct file *file) REQUIRES(p->core->registry.lock);
static uint64_t allocated(struct plan *p, const struct file *file)
{
    const struct layer layer = layer_of_file(p->core, file);

    return layer_allocated(&layer);
}

/* Each of the VM's own files that lie on it gets what it has, or it gets what the only one has. */
static void look_at_file(struct plan *p, const struct file *file, bool *branch)
    REQUIRES(p->core->registry.lock);
static void look_at_file(struct plan *p, const struct file *file, bool *branch)
{
    const struct layer layer = layer_of_file(p->core, file);
    const uint64_t bytes = layer_allocated(&layer);
    struct disk_owner *owner = disk_owner_find(p->core, &p->vm->id);
    const bool down = down_is_better(p->core, p->vm, file);

    look_at_pool(p, layer.dir);
    for (struct file *f = owner ? owner->files : NULL; f; f = f->next) {
        if (!uuid_eq(&f->parent, &file->id))
            continue;
        p->copied += down ? allocated(p, f) : bytes;
        p->freed += down ? allocated(p, f) : 0;
        *branch |= p->vm->machine && !is_in_use(p, f);
    }
    p->freed += down ? 0 : bytes;
}

static bool plan_delete(struct plan *p, const char *ref, struct err *err)
{
    struct snapshot_disk_record *disks = NULL;
    bool branch = false;
    struct snapshot *s;
    size_t n = 0;

    lock_take(&p->core->registry.lock);
    s = snapshot_need(p->core, p->vm, ref, err);
    if (s && s->n_disks) {
        n = s->n_disks;
        disks = mem_dup(s->disks, n * sizeof *disks);
    }
    for (size_t i = 0; i < n; i++) {
        const struct file *file = file_find(p->core, &disks[i].file);
        if (file && !file_is_lent(p->core, file))
            look_at_file(p, file, &branch);
    }
    lock_drop(&p->core->registry.lock);
    for (size_t i = 0; i < n && !p->clones[0]; i++)
        file_borrowers(p->core, &disks[i].file, p->clones);
    free(disks);
    if (branch) {
        struct err why = {0};
        err_ignore(err_set(&why, ERR_WRONG_STATE,
                           "another branch lies on the snapshot, which a running VM cannot change: "
                           "stop the VM first"),
                   &why);
        block(p, &why);
    }
    return s != NULL;
}

static bool plan_revert(struct plan *p, const char *ref, bool start, struct err *err)
{
    const struct file *image = NULL;
    struct uuid memory = {0};
    struct err why = {0};
    struct snapshot *s;
    int dir = -1;

    lock_take(&p->core->registry.lock);
    s = snapshot_need(p->core, p->vm, ref, err);
    if (s) {
        memory = s->memory;
        image = file_find(p->core, &memory);
    }
    if (image)
        dir = layer_of_file(p->core, image).dir;
    lock_drop(&p->core->registry.lock);
    if (s && !revert_check(p->core, p->vm, ref, start, &why))
        block(p, &why);
    look_at_leaves(p, true);
    p->copied = ram_expand_bytes(p->core, &memory);
    if (p->copied)
        look_at_pool(p, dir);
    return s != NULL;
}

static void plan_take(struct plan *p, const char *name, enum consistency consistency)
{
    struct err why = {0};

    look_at_leaves(p, false);
    if (!memory_choose(p->core, p->vm, consistency, &p->memory, &why))
        block(p, &why);
    why = (struct err){0};
    if (!taking_check(p->core, p->vm, name, &why))
        block(p, &why);
}

static json_t *plan_json(struct plan *p)
{
    json_t *json = json_object();

    json_put(json, "blockers", json_incref(p->blockers));
    json_put_u64(json, "bytes", p->copied);
    json_put_u64(json, "freed_bytes", p->freed);
    json_put_u64(json, "lost_bytes", p->lost);
    json_put_u64(json, "free_bytes", p->free_bytes);
    json_put_u64(json, "estimate_s", p->copied ? p->copied / GUESSED_BYTES_S + 1 : 0);
    json_put_text(json, "kept_for", p->clones[0] ? p->clones : NULL);
    json_put_text(json, "consistency", p->memory.with ? "running" : "disk");
    json_put_text(json, "way", p->memory.with ? ram_way_text(p->memory.way) : NULL);
    json_put_text(json, "reason", p->memory.reason[0] ? p->memory.reason : NULL);
    json_put_u64(json, "memory_bytes", p->memory.with ? p->memory.image.size_bytes : 0);
    json_put_u64(json, "pause_estimate_ms", p->memory.with ? p->memory.pause_ms : 0);
    return json;
}

json_t *snapshot_plan(struct core *core, const char *ref, const struct snapshot_act *act,
                      struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get(core, ref, err)};
    CLEANUP(json_decrefp) json_t *blockers = json_array();
    struct plan p = {.core = core, .vm = hold.vm, .blockers = blockers};
    const struct uuid nobody = {0};
    struct err why = {0};
    bool ok = true;

    if (!hold.vm)
        return NULL;
    if (!vm_claim(core, hold.vm, act->verb, &nobody, NULL, &why))
        block(&p, &why);
    if (act->verb == VM_VERB_SNAPSHOT)
        plan_take(&p, act->snapshot, act->consistency);
    else if (act->verb == VM_VERB_REVERT)
        ok = plan_revert(&p, act->snapshot, act->start, err);
    else
        ok = plan_delete(&p, act->snapshot, err);
    return ok ? plan_json(&p) : NULL;
}
