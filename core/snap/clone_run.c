/* Cloning a VM: the operation (docs/storage.md). Its object is the new VM.
 *
 *   1 job, rows of the new VM 'creating', its overlays 'creating' on the other VM's files; without
 * a snapshot named, the rows of taking one                        one transaction, at the request
 *   2 files made, variables copied
 *   3 without a snapshot named: the machine switches, as in taking one
 *   with an archived memory: that is expanded into an image of the new VM's own
 *   4 * VM 'defined', files 'live', and the rows of the snapshot    one transaction
 *
 * A full clone is not defined at 4. It goes on with
 *   5 step "copy", from which on the other VM may do as it likes; what lies below is streamed into
 * each disk's file, by a QEMU that runs no guest; the memory that it is to go on with is copied,
 * when its disks are in another pool
 *   6 * VM 'defined', files 'live'                                  one transaction
 */
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/disks.h"
#include "core/disk/lent.h"
#include "core/disk/space.h"
#include "core/ram/image.h"
#include "core/snap/cloning.h"
#include "core/snap/taking.h"
#include "core/vm/kinds.h"
#include "core/vm/nvram.h"
#include "core/vm/registry.h"

#include <string.h>

struct work {
    struct core *core;
    struct job *job;
    struct vm *vm;        /* the new one */
    struct vm *from;      /* NULL: deleted meanwhile */
    struct uuid snapshot; /* that it is a clone of */
    struct taking taking; /* vm NULL: a snapshot was named */
    bool full;
};

static void work_clear(struct work *w)
{
    taking_clear(&w->taking);
    if (w->vm)
        vm_put(w->core, w->vm);
    if (w->from)
        vm_put(w->core, w->from);
}

/* Whose snapshot was taken for it is free from then on, and may have neither the snapshot nor the
 * files any more that were made for it: what is there is its own. */
static bool has_taken(const struct work *w)
{
    return w->vm->phase == VM_DEFINED || str_eq(job_step_reached(w->job), "copy");
}

static bool begin(struct work *w, struct err *err)
{
    const json_t *args = job_args(w->job), *take = json_object_get(args, "take");
    struct err gone = {0};

    w->vm = vm_get_id(w->core, job_object(w->job), err);
    w->from = vm_get(w->core, json_get_text(args, "source"), &gone);
    w->full = str_eq(job_kind_name(w->job), vm_clone_full_kind.name);
    if (!w->vm || !uuid_parse(json_get_text(take ? take : args, "snapshot"), &w->snapshot))
        return w->vm && err_set(err, ERR_INTERNAL, "the operation has no snapshot");
    if (!take || !w->from || has_taken(w))
        return true;
    w->taking = (struct taking){.core = w->core, .job = w->job, .vm = w->from, .args = take};
    return taking_begin(&w->taking, err);
}

/* ---- 2 to 4 ---- */

static bool write_defined(struct store_txn *txn, void *ctx, struct err *err)
{
    struct work *w = ctx;

    return vm_define_rows(w->core, txn, w->vm, err);
}

static bool define(struct work *w, struct err *err)
{
    bool ok;

    lock_take(&w->vm->writing);
    ok = clone_image_commit(w->core, w->vm, w->job, write_defined, w, err);
    if (ok)
        vm_now_defined(w->core, w->vm);
    lock_drop(&w->vm->writing);
    ram_images_sweep(w->core);
    return ok;
}

/* A snapshot's variables go with it, and may have gone before they were copied, unless an earlier
 * daemon did it: a VM without any would not find what it boots. */
static bool had_variables(struct work *w, struct err *err)
{
    bool gone;

    if (w->taking.vm)
        return true;
    lock_take(&w->core->registry.lock);
    gone = w->vm->spec.firmware.type == FIRMWARE_UEFI && !snapshot_get(w->from, &w->snapshot);
    lock_drop(&w->core->registry.lock);
    return !gone || vm_nvram_is_there(w->core, w->vm, &w->vm->spec) ||
           err_set(err, ERR_NOT_FOUND,
                   "the snapshot was deleted before its firmware's variables were copied");
}

static bool make_files(struct work *w, struct err *err)
{
    CLEANUP(closep) int dir = vm_dir_make(w->core, w->vm, err);

    return dir >= 0 && FAILPOINT("vm.clone.files", err) && disks_make(w->core, &w->vm->id, err) &&
           (!w->taking.vm || taking_prepare(&w->taking, err)) &&
           FAILPOINT("vm.clone.variables", err) &&
           nvram_hand_over(w->core, w->from, &w->snapshot, w->vm, err) && had_variables(w, err);
}

/* The snapshot and the new VM are recorded together, unless the clone is a full one. */
static bool take(struct work *w, struct err *err)
{
    if (!w->full) {
        w->taking.also = write_defined;
        w->taking.ctx = w;
    }
    if (!taking_finish(&w->taking, err))
        return false;
    if (!w->full)
        vm_now_defined(w->core, w->vm);
    return true;
}

static bool make_image(struct work *w, struct err *err)
{
    return clone_image_make(w->core, w->vm, w->from ? w->from : w->vm, w->job, err);
}

static bool link_up(struct work *w, struct err *err)
{
    if (w->taking.vm && taking_is_done(&w->taking)) /* of a full clone, entered again */
        return true;
    if (!w->from)
        return err_set(err, ERR_NOT_FOUND, "the VM that was to be cloned is gone");
    if (!make_files(w, err))
        return false;
    if (job_cancelled(w->job) && !w->taking.again)
        return err_set(err, ERR_CANCELLED, "cancelled before there was a clone");
    if (w->taking.vm)
        return take(w, err);
    return w->full || (make_image(w, err) && define(w, err));
}

/* ---- 5 and 6 ---- */

static bool copy(struct work *w, struct err *err)
{
    struct pace pace;

    pace_begin_at_once(&pace, w->core, w->from ? w->from : w->vm,
                       w->job); /* its guest goes first */
    return flatten_vm(w->core, w->vm, &pace, err) && make_image(w, err) && define(w, err);
}

static bool step_to_copy(struct work *w, struct err *err)
{
    return FAILPOINT("vm.clone.step", err) && job_step(w->job, "copy", err);
}

/* The other VM is held until it is on record that nothing of it is to be undone any more. */
static bool make(struct work *w, struct err *err)
{
    const bool again = str_eq(job_step_reached(w->job), "copy");

    if (w->full && !flatten_reserve(w->core, w->vm, w->job, again, err))
        return false;
    if (!again && (!link_up(w, err) || (w->full && !step_to_copy(w, err))))
        return false;
    if (w->taking.vm)
        vm_unclaim(w->core, w->from, job_id(w->job));
    return !w->full || copy(w, err);
}

static bool run(struct core *core, struct job *job, struct err *err)
{
    CLEANUP(work_clear) struct work w = {.core = core, .job = job};
    json_t *result = json_object();

    if (!begin(&w, err)) {
        json_decref(result);
        return false;
    }
    json_put_text(result, "vm", UUID_STR(&w.vm->id));
    json_put_text(result, "snapshot", UUID_STR(&w.snapshot));
    job_set_result(job, result);
    if (w.vm->phase != VM_DEFINED && !make(&w, err))
        return false;
    return !json_get_bool(job_args(job), "start", false) || vm_start_now(core, job, w.vm, err) ||
           err_prefix(err, "the VM was created, but does not run");
}

static void settle(struct core *core, struct job *job, bool ok)
{
    CLEANUP(work_clear) struct work w = {.core = core, .job = job};
    struct err err = {0};
    bool begun = begin(&w, &err);

    space_release(core, job_id(job));
    if (begun && !ok && w.vm->phase == VM_CREATING) {
        if (w.taking.vm)
            taking_undo(&w.taking);
        vm_new_undo(core, w.vm);
        files_settle_nobodys(core);
    } else if (begun && !ok) {
        vm_start_undo(core, w.vm);
    }
    if (w.vm)
        vm_unclaim(core, w.vm, job_id(job));
    if (w.from)
        vm_unclaim(core, w.from, job_id(job));
}

/* The other VM is held as long as a snapshot is taken of it. */
static void adopt(struct core *core, struct job *job)
{
    const json_t *take = json_object_get(job_args(job), "take");
    struct err gone = {0};
    CLEANUP(vm_drop)
    struct vm_hold from = {core, take ? vm_get(core, json_get_text(job_args(job), "source"), &gone)
                                      : NULL};

    vm_adopt(core, job);
    if (!from.vm || str_eq(job_step_reached(job), "copy"))
        return;
    lock_take(&core->registry.lock);
    from.vm->job = *job_id(job);
    from.vm->job_kind = job_kind_name(job);
    lock_drop(&core->registry.lock);
}

const struct job_kind vm_clone_kind = {.name = "vm.clone",
                                       .lane = JOB_LANE_LIFECYCLE,
                                       .cancellable = true,
                                       .run = run,
                                       .settle = settle,
                                       .adopt = adopt};
const struct job_kind vm_clone_full_kind = {.name = "vm.clone-full",
                                            .lane = JOB_LANE_COPY,
                                            .cancellable = true,
                                            .limitable = true,
                                            .run = run,
                                            .settle = settle,
                                            .adopt = adopt};
