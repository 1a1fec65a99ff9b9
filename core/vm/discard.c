/* Giving up a saved state (docs/memory.md, "Discard"):
 *
 *   1 the job
 *   2 * the VM refers to no image and is off; the image is trash, if nobody else needs it   one txn
 *   3 the file goes
 *
 * Entered again after 2 it has nothing to do but 3, which the next start of the daemon does as
 * well. */
#include "core/base/failpoint.h"
#include "core/ram/image.h"
#include "core/vm/kinds.h"
#include "core/vm/registry.h"
#include "core/vm/save.h"

struct letting_go {
    struct uuid image;
    bool last;
};

static bool let_go(struct store_txn *txn, void *ctx, struct err *err)
{
    struct letting_go *l = ctx;

    return ram_image_let_go(txn, &l->image, &l->last, err) && FAILPOINT("vm.discard.commit", err);
}

static bool discard(struct core *core, struct vm *vm, struct err *err)
{
    const enum vm_desired off = VM_DESIRED_OFF;
    const struct uuid none = {0};
    struct letting_go l = {0};
    const struct vm_change change = {.run = VM_OFF,
                                     .reason = VM_REASON_USER,
                                     .desired = &off,
                                     .memory = &none,
                                     .also = let_go,
                                     .ctx = &l,
                                     .only_from = 1u << VM_SAVED};

    lock_take(&core->registry.lock);
    l.image = vm->memory;
    lock_drop(&core->registry.lock);
    if (!vm_change_state(core, vm, &change, err))
        return false;
    ram_image_left(core, &l.image, l.last);
    return true;
}

static bool run(struct core *core, struct job *job, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), err)};

    if (!hold.vm || !save_end_machine(core, hold.vm, err) || !FAILPOINT("vm.discard.begin", err) ||
        !discard(core, hold.vm, err))
        return false;
    ram_images_sweep(core);
    return true;
}

static void settle(struct core *core, struct job *job, bool ok)
{
    struct err err = {0};
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), &err)};

    if (hold.vm)
        vm_unclaim(core, hold.vm, job_id(job));
}

const struct job_kind vm_discard_kind = {.name = "vm.discard",
                                         .lane = JOB_LANE_LIFECYCLE,
                                         .run = run,
                                         .settle = settle,
                                         .adopt = vm_adopt};
