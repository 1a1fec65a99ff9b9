/* Starting a VM that is saved (docs/memory.md, "Start of a saved VM"). It is a start like any other
 * (start.c), but for this:
 *
 *   1 the configuration is that of the image; whether it fits, and the disks, is looked at before
 *     anything begins, and the machine begins with the image: its guest stands still where it was
 *   2 step 'resume'; * the VM refers to no image and is 'running'; the image is trash unless
 *     somebody else needs it                                          one transaction
 *   3 cont
 *
 * Before 2 the VM is still saved, whatever happens. It is never resumed twice, since 2 comes before
 * the guest's first instruction. A QEMU that is lost between 2 and 3 is a crash like any other. */
#include "core/vm/resume.h"

#include "core/base/failpoint.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/ram/image.h"
#include "core/vm/registry.h"

#include <stdio.h>
#include <string.h>

#define STEP "resume"

struct uuid resume_image(struct core *core, struct vm *vm)
{
    struct uuid image;

    lock_take(&core->registry.lock);
    image = vm->memory;
    lock_drop(&core->registry.lock);
    return image;
}

static bool fits(struct core *core, struct vm *vm, const struct uuid *image,
                 const struct vm_spec *spec, enum vm_accel accel, char **made, struct err *err)
{
    const struct backend *backend = core_backend(vm->backend);
    struct ram_image *facts = ram_image_get(core, image, err);
    bool ok = facts && FAILPOINT("vm.resume.fits", err) &&
              (backend->memory_fits ? backend->memory_fits(facts->made, spec, accel, err)
                                    : err_set(err, ERR_UNSUPPORTED, "its backend cannot"));

    if (ok)
        *made = TAKE(facts->made);
    ram_image_free(facts);
    return ok;
}

/* What can be done about it, behind what is wrong. */
static void offer_discard(struct core *core, struct vm *vm, struct err *err)
{
    struct err said = *err;

    snprintf(err->detail, sizeof err->detail,
             "%s cannot go on from its saved state: %.300s; 'discard' gives that state up, as "
             "pulling the plug would have",
             VM_NAME(core, vm), said.detail);
}

bool resume_open(struct core *core, struct vm *vm, const struct vm_spec *spec, enum vm_accel accel,
                 int *fd, char **made, struct err *err)
{
    const struct uuid image = resume_image(core, vm);

    *fd = -1;
    *made = NULL;
    if (uuid_is_zero(&image))
        return true;
    if (ram_leaves_check(core, vm, err) && fits(core, vm, &image, spec, accel, made, err))
        *fd = ram_image_open(core, &image, err);
    if (*fd < 0 && err->code != ERR_UNAVAILABLE)
        offer_discard(core, vm, err);
    return *fd >= 0;
}

/* ---- the commit point ---- */

struct using
{
    struct uuid image;
    bool last;
};

static bool let_go(struct store_txn *txn, void *ctx, struct err *err)
{
    struct using *u = ctx;

    return ram_image_let_go(txn, &u->image, &u->last, err) && FAILPOINT("vm.resume.commit", err);
}

bool resume_commit(struct core *core, struct job *job, struct vm *vm, struct err *err)
{
    struct using u = {.image = resume_image(core, vm)};
    const struct uuid none = {0};
    const struct vm_change change = {.run = VM_RUNNING,
                                     .memory = &none,
                                     .also = let_go,
                                     .ctx = &u,
                                     .only_from = 1u << VM_STARTING};
    struct uuid left;

    if (uuid_is_zero(&u.image))
        return true;
    if (!job_step_reached(job) && (!FAILPOINT("vm.resume.step", err) || !job_step(job, STEP, err)))
        return false;
    if (!vm_change_state(core, vm, &change, err))
        return false;
    left = resume_image(core, vm);
    if (!uuid_is_zero(&left))
        return err_set(err, ERR_HYPERVISOR, "QEMU ended before the guest could go on");
    ram_image_left(core, &u.image, u.last);
    vm_copy_now(core, vm); /* else it would be saved again, once the guest has written */
    ram_images_sweep(core);
    return FAILPOINT("vm.resume.committed", err);
}

static bool is_lost(const struct vm *vm, void *ctx)
{
    return !vm->machine && uuid_is_zero(&vm->memory);
}

bool resume_is_possible(struct core *core, const struct job *job, struct vm *vm, struct err *err)
{
    return !str_eq(job_step_reached(job), STEP) || !vm_is(core, vm, is_lost, NULL) ||
           err_set(err, ERR_HYPERVISOR,
                   "QEMU was lost at the moment that the guest was to go on: what it had in its "
                   "memory is lost, and its disks are as they were; start it again");
}
