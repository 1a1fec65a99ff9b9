/* Making a VM independent of the VMs that it is a clone of: what lies below each of its files that
 * lies on another's is streamed into it. Also the second half of a full clone.
 *
 *   for each such file C:
 *     1 QEMU copies into C what it shows of the files below
 *     2 * C has no parent                                               one transaction
 *   3 files that nobody needs any more are removed
 *
 * Cancelled or cut off it is taken up where it was. */
#include "core/base/failpoint.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/disks.h"
#include "core/disk/lent.h"
#include "core/disk/space.h"
#include "core/snap/cloning.h"
#include "core/snap/merge.h"
#include "core/vm/kinds.h"
#include "core/vm/registry.h"

#include <stdlib.h>

/* A file of the VM that lies on another's, and the base of its chain. */
static bool next_file(struct core *core, const struct uuid *vm, struct layer *child,
                      struct layer *base)
{
    struct disk_owner *owner;
    bool found = false;

    lock_take(&core->registry.lock);
    owner = disk_owner_find(core, vm);
    for (struct file *f = owner ? owner->files : NULL; f && !found; f = f->next) {
        struct file *below = file_find(core, &f->parent);
        found = below && !uuid_eq(&below->vm, vm);
        if (!found)
            continue;
        *child = layer_of_file(core, f);
        for (struct file *up; (up = file_find(core, &below->parent));)
            below = up;
        *base = layer_of_file(core, below);
    }
    lock_drop(&core->registry.lock);
    return found;
}

/* Files of a VM that is being made are held by the operation that makes it. */
static bool write_parent(struct core *core, const struct vm *vm, struct job *job,
                         const struct layer *child, struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(core->store, err);
    const bool creating = vm->phase == VM_CREATING;
    const struct uuid none = {0};

    return txn &&
           layer_write(txn, child, creating ? "creating" : "live", creating ? job_id(job) : &none,
                       err) &&
           FAILPOINT("vm.flatten.commit", err) && store_commit(&txn, err);
}

static bool flatten_one(struct core *core, struct vm *vm, struct pace *pace, struct layer *child,
                        const struct layer *base, struct err *err)
{
    CLEANUP(mem_freep) struct layer *below = NULL;
    struct file *file;
    size_t n = 0;

    below = chain_of_leaf(core, &child->parent, &n);
    if (!FAILPOINT("vm.flatten.stream", err) || !merge_stream(core, vm, pace, base, child, err))
        return false;
    child->parent = (struct uuid){0};
    if (!write_parent(core, vm, pace->job, child, err))
        return false;
    lock_take(&core->registry.lock);
    file = file_find(core, &child->id);
    if (file)
        file_set_parent(core, file, &child->parent);
    lock_drop(&core->registry.lock);
    merge_forget(core, vm, below, n);
    return true;
}

bool flatten_vm(struct core *core, struct vm *vm, struct pace *pace, struct err *err)
{
    struct layer child, base;

    while (next_file(core, &vm->id, &child, &base)) {
        if (job_cancelled(pace->job) && !merge_is_begun(core, vm, &child))
            return err_set(err, ERR_CANCELLED, "its files lie on another VM's still");
        if (!flatten_one(core, vm, pace, &child, &base, err))
            return false;
    }
    vm_copy_now(core, vm);
    files_settle_nobodys(core);
    return true;
}

/* ---- room ---- */

/* What lies below the file, when that is another VM's, as far as the disk can have of it. */
static uint64_t bytes_below(struct core *core, const struct layer *file)
{
    CLEANUP(mem_freep) struct layer *below = NULL;
    uint64_t bytes = 0;
    size_t n;

    below = chain_of_leaf(core, &file->parent, &n);
    for (size_t i = 0; i < n && !uuid_eq(&below[0].vm, &file->vm); i++)
        bytes += layer_allocated(&below[i]);
    return bytes < file->size_bytes ? bytes : file->size_bytes;
}

bool flatten_reserve(struct core *core, const struct vm *vm, struct job *job, bool again,
                     struct err *err)
{
    CLEANUP(mem_freep) struct layer *files = NULL;
    CLEANUP(mem_freep) uint64_t *bytes = NULL;
    size_t n;

    files = layers_of_vm(core, &vm->id, &n);
    bytes = mem_array(n + 1, sizeof *bytes);
    for (size_t i = 0; i < n; i++) {
        size_t first = 0; /* in that pool */
        while (!uuid_eq(&files[first].pool, &files[i].pool))
            first++;
        bytes[first] += bytes_below(core, &files[i]);
    }
    for (size_t i = 0; i < n; i++) {
        struct err none = {0};
        if (bytes[i] &&
            !space_reserve(core, &files[i].pool, job_id(job), bytes[i], "/pool", &none) && !again) {
            *err = none;
            return false;
        }
    }
    return true;
}

/* ---- the operation ---- */

static bool run(struct core *core, struct job *job, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), err)};
    const bool again = job_step_reached(job) != NULL;
    struct pace pace;
    bool ok;

    if (!hold.vm || !flatten_reserve(core, hold.vm, job, again, err) ||
        (!again && !job_step(job, "copy", err)))
        return false;
    pace_begin_at_once(&pace, core, hold.vm, job);
    ok = flatten_vm(core, hold.vm, &pace, err);
    if (ok)
        vm_copy_later(core, &hold.vm->id);
    return ok;
}

static void settle(struct core *core, struct job *job, bool ok)
{
    struct err err = {0};
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), &err)};

    space_release(core, job_id(job));
    if (hold.vm)
        vm_unclaim(core, hold.vm, job_id(job));
}

const struct job_kind vm_flatten_kind = {.name = "vm.flatten",
                                         .lane = JOB_LANE_COPY,
                                         .cancellable = true,
                                         .limitable = true,
                                         .shares = true,
                                         .run = run,
                                         .settle = settle,
                                         .adopt = vm_adopt};
