/* Reverting a VM to one of its snapshots: what is asked for, and what can be refused before
 * anything begins. What the operation does is in revert_run.c. */
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/disks.h"
#include "core/host/host.h"
#include "core/host/memory.h"
#include "core/ram/expand.h"
#include "core/ram/image.h"
#include "core/snap/reverting.h"
#include "core/snap/snap.h"
#include "core/snap/tree.h"
#include "core/user/sight_inside.h"
#include "core/vm/kinds.h"
#include "core/vm/registry.h"

#include <stdlib.h>

/* ---- the request ---- */

struct rows {
    const struct overlay *overlays;
    size_t n;
    struct layer image; /* its id is zero: none is made */
    const struct uuid *job;
};

static bool write_rows(struct store_txn *txn, void *ctx, struct err *err)
{
    const struct rows *rows = ctx;

    return overlays_write(txn, rows->overlays, rows->n, "creating", rows->job, err) &&
           (uuid_is_zero(&rows->image.id) || ram_image_rows(txn, &rows->image, rows->job, err)) &&
           FAILPOINT("vm.revert.rows", err);
}

static void drop_copy(struct snapshot **copy)
{
    if (*copy)
        snapshot_free(*copy);
}

/* ---- what can be refused before anything begins ---- */

static void drop_image(struct ram_image **image)
{
    ram_image_free(*image);
}

static bool is_live(const struct vm *vm, void *ctx)
{
    return vm_run_is_live(vm->run);
}

/* What runs gives its own memory back first. */
static bool check_room(struct core *core, struct vm *vm, const struct vm_spec *spec,
                       struct err *err)
{
    uint64_t promised = 0;
    bool ok = vm_is(core, vm, is_live, NULL) || memory_promise(core, spec, &promised, err);

    if (ok)
        memory_release(core, promised);
    return ok;
}

/* It is whole, or there is the room to expand it. */
static bool check_image(struct core *core, struct vm *vm, const struct uuid *id, struct err *err)
{
    CLEANUP(closep) int fd = -1;
    struct layer ignored;

    if (ram_expand_bytes(core, id))
        return ram_expand_plan(core, id, &vm->id, &ignored, err);
    fd = ram_image_open(core, id, err);
    return fd >= 0;
}

/* The host goes on with it. */
static bool check_memory(struct core *core, struct vm *vm, const struct uuid *id, bool start,
                         struct err *err)
{
    CLEANUP(drop_image) struct ram_image *image = ram_image_get(core, id, err);
    CLEANUP(vm_spec_freep)
    struct vm_spec *spec = image ? ram_image_spec(core, vm, id, err) : NULL;
    const struct backend *backend = core_backend(vm->backend);
    char reason[256];
    enum vm_accel accel;

    return spec && check_image(core, vm, id, err) &&
           host_choose_accel(core, (enum vm_accel)spec->accel, &accel, reason, err) &&
           (!backend->memory_fits || backend->memory_fits(image->made, spec, accel, err)) &&
           (!start || check_room(core, vm, spec, err));
}

/* The VM gets the snapshot's labels and disks, for which other grants may be than for what it has.
 */
static bool may_become(struct core *core, struct vm *vm, const struct snapshot *s, struct err *err)
    REQUIRES(core->registry.lock);
static bool may_become(struct core *core, struct vm *vm, const struct snapshot *s, struct err *err)
{
    CLEANUP(json_decrefp) json_t *spec = sight_is_narrow() ? json_loads(s->spec, 0, NULL) : NULL;
    struct selectable before, after = {.labels = json_object_get(spec, "labels")};
    char pools[VM_DISKS_MAX][UUID_TEXT];

    selectable_spec(&vm->spec, &before);
    for (size_t i = 0; i < s->n_disks && after.n_pools < VM_DISKS_MAX; i++) {
        const struct file *file = file_find(core, &s->disks[i].file);
        if (!file)
            continue;
        uuid_text(&file->pool, pools[after.n_pools]);
        after.pools[after.n_pools] = pools[after.n_pools];
        after.n_pools++;
    }
    return sight_may_become(core, &before, &after, err);
}

/* A snapshot that a stranger described may name a disk that is another VM's. */
bool revert_takes_own(struct core *core, const struct vm *vm, const struct snapshot *s,
                      struct err *err)
{
    for (size_t i = 0; i < s->n_disks; i++) {
        const struct disk *disk = disk_find(core, &s->disks[i].disk);
        if (disk && !uuid_eq(&disk->vm, &vm->id))
            return err_set(err, ERR_WRONG_STATE,
                           "the snapshot %s has the disk %s, which is another VM's by now", s->name,
                           UUID_STR(&disk->id));
    }
    return true;
}

bool revert_check(struct core *core, struct vm *vm, const char *snapshot, bool start,
                  struct err *err)
{
    struct uuid image = {0};
    struct snapshot *s;
    bool may;

    lock_take(&core->registry.lock);
    s = snapshot_need(core, vm, snapshot, err);
    if (s)
        image = s->memory;
    may = s && revert_takes_own(core, vm, s, err) && may_become(core, vm, s, err);
    lock_drop(&core->registry.lock);
    return may && (uuid_is_zero(&image) || check_memory(core, vm, &image, start, err));
}

/* The snapshot, copied, since the list may change once the lock is dropped; NULL also when the VM
 * may not become it: by its name it may be another one than revert_check() has looked at. */
static struct snapshot *copy_of(struct core *core, struct vm *vm, const char *ref, struct err *err)
{
    struct snapshot *found, *copy = NULL;

    lock_take(&core->registry.lock);
    found = snapshot_need(core, vm, ref, err);
    if (found && may_become(core, vm, found, err)) {
        copy = mem_dup(found, sizeof *found);
        copy->name = str_dup(found->name);
        copy->notes = str_dup(found->notes);
        copy->spec = str_dup(found->spec);
        copy->memory_note = str_dup(found->memory_note);
        copy->disks =
            found->n_disks ? mem_dup(found->disks, found->n_disks * sizeof *found->disks) : NULL;
    }
    lock_drop(&core->registry.lock);
    return copy;
}

static bool runs(const struct vm *vm, void *ctx)
{
    return vm->run == VM_RUNNING || vm->run == VM_PAUSED;
}

bool snapshot_revert(struct core *core, const char *ref, const char *snapshot,
                     const struct origin *origin, struct uuid *op, struct err *err)
{
    return snapshot_revert_to(core, ref, snapshot, true, origin, op, err);
}

bool snapshot_revert_to(struct core *core, const char *ref, const char *snapshot, bool start,
                        const struct origin *origin, struct uuid *op, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get(core, ref, err)};
    CLEANUP(drop_copy) struct snapshot *to = NULL;
    CLEANUP(json_decrefp) json_t *args = json_object();
    CLEANUP(mem_freep) struct overlay *overlays = NULL;
    struct rows rows = {.job = op};
    bool ok;

    *op = (struct uuid){0};
    if (!hold.vm || !revert_check(core, hold.vm, snapshot, start, err))
        return false;
    lock_take(&hold.vm->writing);
    to = copy_of(core, hold.vm, snapshot, err);
    overlays = to ? overlays_plan_on(core, &hold.vm->id, to->disks, to->n_disks, err) : NULL;
    rows.n = to ? to->n_disks : 0;
    rows.overlays = overlays;
    if (overlays) {
        json_put_text(args, "snapshot", UUID_STR(&to->id));
        json_put(args, "disks", overlays_json(overlays, rows.n));
        json_put_bool(args, "start",
                      start && (!uuid_is_zero(&to->memory) || vm_is(core, hold.vm, runs, NULL)));
    }
    ok = overlays && (uuid_is_zero(&to->memory) ||
                      ram_expand_plan(core, &to->memory, &hold.vm->id, &rows.image, err));
    if (ok && !uuid_is_zero(&rows.image.id)) {
        json_put(args, "image", ram_image_args(&rows.image));
        json_put_text(args, "pool", UUID_STR(&rows.image.pool));
        json_put_bool(args, "copies", true);
    }
    ok = ok && vm_submit(core, hold.vm, VM_VERB_REVERT, args, origin, op, write_rows, &rows, err);
    lock_drop(&hold.vm->writing);
    return ok;
}
