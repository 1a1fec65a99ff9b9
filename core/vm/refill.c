/* Resuming what was stopped for want of space: see refill.h.
 *
 * QEMU holds the request that met the full file system, and tries it again on 'cont': the guest
 * sees no error. What stops again and again, since the file system says it has room and yet takes
 * nothing, is tried less and less often. */
#include "core/vm/refill.h"

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/disk/disks.h"
#include "core/disk/space.h"
#include "core/vm/kinds.h"
#include "core/vm/registry.h"

#include <stdlib.h>

#define FIRST_MS 5000
#define MOST_MS  600000
#define LONG_MS  (2 * MOST_MS) /* without another try: what was before does not count */

static bool waits_for_space(const struct vm *vm, void *ctx)
{
    return vm->phase == VM_DEFINED && vm->run == VM_PAUSED && vm->reason == VM_REASON_NO_SPACE;
}

/* Of the files that the guest writes to. */
static size_t pools_of(struct core *core, const struct uuid *vm, struct uuid out[VM_DISKS_MAX])
{
    size_t n = 0;

    lock_take(&core->registry.lock);
    for (struct disk *d = disks_of(core, vm); d && n < VM_DISKS_MAX; d = d->next) {
        const struct file *leaf = file_find(core, &d->leaf);
        if (leaf)
            out[n++] = leaf->pool;
    }
    lock_drop(&core->registry.lock);
    return n;
}

static bool has_room(struct core *core, const struct uuid *vm)
{
    struct uuid pools[VM_DISKS_MAX];
    size_t n = pools_of(core, vm, pools);
    struct err err = {0};
    struct space space;

    for (size_t i = 0; i < n; i++)
        if (!space_read(core, &pools[i], &space, &err) || !space_lets_guests_write(&space))
            return false;
    return true;
}

static void resume(struct core *core, struct vm *vm)
{
    const struct origin origin = {.principal = "vmmd", .role = ROLE_ADMIN, .route = "space"};
    struct err err = {0};
    struct uuid op;

    if (vm_submit(core, vm, VM_VERB_RESUME, NULL, &origin, &op, NULL, NULL, &err))
        log_info("%s goes on: there is space again", VM_NAME(core, vm));
    else if (err.code != ERR_BUSY && err.code != ERR_WRONG_STATE)
        log_warn("%s does not go on though there is space: %s", VM_NAME(core, vm), err.detail);
}

/* Whether it is time for this one, which counts as a try. */
static bool is_time_for(struct vm *vm)
{
    int64_t now = clock_mono_ms(), pause;

    if (now < vm->refill.next_ms)
        return false;
    if (now > vm->refill.next_ms + LONG_MS)
        vm->refill.tries = 0;
    pause = (int64_t)FIRST_MS << vm->refill.tries;
    if (pause < MOST_MS)
        vm->refill.tries++;
    vm->refill.next_ms = now + (pause < MOST_MS ? pause : MOST_MS);
    return true;
}

void refill_look(struct core *core)
{
    struct vm **vms;
    size_t n;

    vms = vm_get_all(core, &n);
    for (size_t i = 0; i < n && !atomic_load(&core->closing); i++)
        if (vm_is(core, vms[i], waits_for_space, NULL) && has_room(core, &vms[i]->id) &&
            is_time_for(vms[i]))
            resume(core, vms[i]);
    vm_put_all(core, vms);
}
