/* Verbs on VMs: checking, claiming, submitting. The work itself is in start.c, stop.c and power.c.
 */
#include "core/vm/vm.h"

#include "core/vm/kinds.h"
#include "core/vm/registry.h"
#include "core/vm/save.h"

static const struct job_kind *const kind_of[VM_VERB_COUNT] = {
    [VM_VERB_START] = &vm_start_kind,
    [VM_VERB_SHUTDOWN] = &vm_shutdown_kind,
    [VM_VERB_STOP] = &vm_stop_kind,
    [VM_VERB_RESET] = &vm_reset_kind,
    [VM_VERB_PAUSE] = &vm_pause_kind,
    [VM_VERB_RESUME] = &vm_resume_kind,
    [VM_VERB_SAVE] = &vm_save_kind,
    [VM_VERB_DISCARD] = &vm_discard_kind,
    [VM_VERB_DELETE] = &vm_delete_kind,
    [VM_VERB_SNAPSHOT] = &vm_snapshot_kind,
    [VM_VERB_REVERT] = &vm_revert_kind,
    [VM_VERB_DELETE_SNAPSHOT] = &vm_delete_snapshot_kind,
    [VM_VERB_ARCHIVE_SNAPSHOT] = &vm_archive_snapshot_kind,
    [VM_VERB_UNARCHIVE_SNAPSHOT] = &vm_unarchive_snapshot_kind,
    [VM_VERB_MOVE_STORAGE] = &vm_move_storage_kind,
    [VM_VERB_EXPORT] = &vm_export_kind,
    [VM_VERB_FLATTEN] = &vm_flatten_kind,
    [VM_VERB_ADD_DISK] = &vm_add_disk_kind,
    [VM_VERB_IMPORT_DISK] = &vm_import_disk_kind,
    [VM_VERB_REMOVE_DISK] = &vm_remove_disk_kind,
    [VM_VERB_GROW_DISK] = &vm_grow_disk_kind,
};

const struct job_kind *vm_verb_kind(enum vm_verb verb)
{
    return kind_of[verb];
}

bool vm_submit(struct core *core, struct vm *vm, enum vm_verb verb, const json_t *args,
               const struct origin *origin, struct uuid *op,
               bool (*also)(struct store_txn *txn, void *ctx, struct err *err), void *ctx,
               struct err *err)
{
    const struct job_kind *kind = kind_of[verb];
    struct job_order order = {.kind = kind,
                              .object_type = "vm",
                              .object = vm->id,
                              .object_name = VM_NAME(core, vm),
                              .args = args ? json_deep_copy(args) : NULL,
                              .also = also,
                              .ctx = ctx};
    struct uuid id = origin->dry_run ? (struct uuid){0} : uuid_new();

    if (!vm_claim(core, vm, verb, &id, kind->name, err) || origin->dry_run) {
        json_decref(order.args);
        return origin->dry_run && !err->code;
    }
    *op = order.id = id;
    if (job_submit(core, &order, origin, err))
        return true;
    json_decref(order.args);
    vm_unclaim(core, vm, &id);
    return false;
}

bool vm_act(struct core *core, const char *ref, enum vm_verb verb, const json_t *args,
            const struct origin *origin, struct uuid *op, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get(core, ref, err)};

    *op = (struct uuid){0};
    if (!kind_of[verb])
        return err_set(err, ERR_INTERNAL, "'%s' is no operation", vm_verb_text(verb));
    if (!hold.vm)
        return false;
    return verb == VM_VERB_SAVE ? vm_save(core, hold.vm, false, origin, op, err)
                                : vm_submit(core, hold.vm, verb, args, origin, op, NULL, NULL, err);
}

void vm_adopt(struct core *core, struct job *job)
{
    struct err err = {0};
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), &err)};

    if (!hold.vm)
        return;
    /* One that let another pass has the VM, whichever comes first. */
    lock_take(&core->registry.lock);
    if (uuid_is_zero(&hold.vm->job) || job_kind_find(job_kind_name(job))->shares) {
        hold.vm->job = *job_id(job);
        hold.vm->job_kind = job_kind_name(job);
    }
    lock_drop(&core->registry.lock);
}
