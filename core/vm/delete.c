/* Deleting a VM (D-DELETE in docs/durability.md):
 *
 *   1 * VM 'deleting', files 'trash', job        one transaction, at the request: the commit point;
 *     files that clones lie on belong to nobody (core/disk/lent.h)
 *   2 its disaster copies go, then files unlinked, directories flushed, the VM's own directory
 * removed 3 rows removed
 *
 * From 1 on it goes only forward: a failure leaves the VM 'deleting', and the next daemon (or the
 * next request to delete) goes on. */
#include "core/vm/vm.h"

#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/disk/disks.h"
#include "core/disk/lent.h"
#include "core/ram/image.h"
#include "core/snap/tree.h"
#include "core/vm/kinds.h"
#include "core/vm/registry.h"

bool vm_delete_mark(struct store_txn *txn, void *ctx, struct err *err)
{
    struct vm_mark *mark = ctx;
    struct vm_record record;
    struct vm_texts texts;
    bool ok;

    lock_take(&mark->core->registry.lock);
    vm_record_fill(mark->vm, &record, &texts);
    lock_drop(&mark->core->registry.lock);
    record.phase = "deleting";
    record.memory = (struct uuid){0};
    record.memory_leaves = NULL;
    ok = store_vm_put(txn, &record, err) && ram_images_write_gone(mark->core, txn, mark->vm, err) &&
         files_write_gone(mark->core, txn, &record.id, mark->job, err) &&
         FAILPOINT("vm.delete.mark", err);
    vm_texts_clear(&texts);
    return ok;
}

void vm_delete_marked(struct core *core, struct vm *vm)
{
    lock_take(&core->registry.lock);
    vm->phase = VM_DELETING;
    lock_drop(&core->registry.lock);
    ram_images_gone(core, vm);
    files_leave(core, &vm->id);
}

bool vm_delete(struct core *core, const char *ref, const struct etag *if_match,
               const struct origin *origin, struct uuid *op, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get(core, ref, err)};
    struct vm *vm = hold.vm;
    struct vm_mark mark = {core, vm, op};
    bool ok;

    *op = (struct uuid){0};
    if (!vm)
        return false;
    lock_take(&vm->writing);
    if (!vm_etag_matches(vm, if_match, err)) {
        lock_drop(&vm->writing);
        return false;
    }
    ok = vm_submit(core, vm, VM_VERB_DELETE, NULL, origin, op, vm_delete_mark, &mark, err);
    if (ok && !origin->dry_run)
        vm_delete_marked(core, vm);
    lock_drop(&vm->writing);
    return ok;
}

static bool remove_rows(struct core *core, struct vm *vm, struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(core->store, err);
    json_t *data;

    if (!txn)
        return false;
    data = json_object();
    json_put_text(data, "name", vm->name);
    return event_add(txn, "vm.deleted", "vm", &vm->id, data, err) &&
           snapshots_remove_rows(txn, vm, err) && disks_remove_rows(core, txn, &vm->id, err) &&
           store_vm_remove(txn, &vm->id, err) && FAILPOINT("vm.delete.rows", err) &&
           store_commit(&txn, err);
}

/* The request's thread does the same, but may not have come to it yet. */
static void leave_lent_files(struct core *core, struct vm *vm)
{
    lock_take(&vm->writing);
    files_leave(core, &vm->id);
    lock_drop(&vm->writing);
}

static bool run(struct core *core, struct job *job, struct err *err)
{
    struct err gone = {0};
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), &gone)};
    struct vm *vm = hold.vm;

    if (!vm)
        return true; /* entered again after the rows had gone */
    leave_lent_files(core, vm);
    if (!FAILPOINT("vm.delete.files", err) || !vm_copy_forget(core, vm, err) ||
        !disks_unlink(core, &vm->id, err) ||
        !FAILPOINT_AROUND("vm.delete.tree", fs_remove_tree(core->vms_fd, UUID_STR(&vm->id), err),
                          err) ||
        !remove_rows(core, vm, err))
        return false;
    disks_delist(core, &vm->id);
    vm_delist(core, vm);
    files_settle_nobodys(core);
    ram_images_sweep(core);
    events_ring(core);
    return true;
}

static void settle(struct core *core, struct job *job, bool ok)
{
    struct err err = {0};
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), &err)};

    if (hold.vm)
        vm_unclaim(core, hold.vm, job_id(job));
}

const struct job_kind vm_delete_kind = {.name = "vm.delete",
                                        .lane = JOB_LANE_LIFECYCLE,
                                        .run = run,
                                        .settle = settle,
                                        .adopt = vm_adopt};
