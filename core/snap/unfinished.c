/* Going on with merges that were cut off after their snapshot was gone: see unfinished.h.
 *
 * Whoever cancelled one, or the guest that stopped, wanted something else first, and a pool that
 * was full may still be: so it waits, and what fails again and again is tried less and less often.
 * The operation is a deletion that names no snapshot (delete.c). */
#include "core/snap/unfinished.h"

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/snap/down.h"
#include "core/vm/kinds.h"
#include "core/vm/registry.h"

#define MOST_MS 3600000

int64_t unfinished_first_ms = 60000;

static bool is_free(const struct vm *vm, void *ctx)
{
    return vm->phase == VM_DEFINED && uuid_is_zero(&vm->job);
}

/* Whether it is time for this one, which counts as a try. */
static bool is_time_for(struct vm *vm)
{
    const int64_t now_ms = clock_mono_ms();
    int64_t pause_ms;

    if (!vm->unfinished.tries) { /* seen for the first time */
        vm->unfinished.tries = 1;
        vm->unfinished.next_ms = now_ms + unfinished_first_ms;
    }
    if (now_ms < vm->unfinished.next_ms)
        return false;
    pause_ms = unfinished_first_ms << vm->unfinished.tries;
    if (pause_ms < MOST_MS)
        vm->unfinished.tries++;
    vm->unfinished.next_ms = now_ms + (pause_ms < MOST_MS ? pause_ms : MOST_MS);
    return true;
}

static void finish(struct core *core, struct vm *vm)
{
    const struct origin origin = {.principal = "vmmd", .role = ROLE_ADMIN, .route = "merge"};
    CLEANUP(json_decrefp) json_t *args = json_object();
    struct err err = {0};
    struct uuid op;

    if (vm_submit(core, vm, VM_VERB_DELETE_SNAPSHOT, args, &origin, &op, NULL, NULL, &err))
        log_info("files of %s that no snapshot has any more are merged", VM_NAME(core, vm));
    else if (err.code != ERR_BUSY && err.code != ERR_WRONG_STATE)
        log_warn("files of %s that no snapshot has any more are not merged: %s", VM_NAME(core, vm),
                 err.detail);
}

void unfinished_look(struct core *core)
{
    struct vm **vms;
    size_t n;

    vms = vm_get_all(core, &n);
    for (size_t i = 0; i < n && !atomic_load(&core->closing); i++) {
        if (!vm_is(core, vms[i], is_free, NULL))
            continue;
        if (!down_is_due(core, vms[i]))
            vms[i]->unfinished.tries = 0;
        else if (is_time_for(vms[i]))
            finish(core, vms[i]);
    }
    vm_put_all(core, vms);
}
