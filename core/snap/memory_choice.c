/* Whether a snapshot keeps the guest's memory, and how it is written (docs/memory.md, "Three ways
 * to write one"): what was asked for, what the machine can do, what the guest would feel of it.
 * Nothing is changed. Called by create.c and plan.c; what follows is taking_memory.c's. */
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/snap/taking.h"
#include "core/vm/registry.h"

static bool is_running(const struct vm *vm, void *ctx)
{
    return vm->run == VM_RUNNING;
}

/* What the guest disturbs least. */
static bool choose_way(const struct machine_memory_ways *ways, struct memory_choice *out,
                       struct err *err)
{
    if (ways->blocker[0])
        return err_field(err, ERR_UNSUPPORTED, "/consistency", "%s", ways->blocker);
    out->way = ways->background ? MEMORY_BACKGROUND : ways->precopy ? MEMORY_PRECOPY : MEMORY_STILL;
    str_copy(out->reason, sizeof out->reason, ways->reason);
    return ways->background || ways->precopy || ways->still ||
           err_field(err, ERR_UNSUPPORTED, "/consistency",
                     "an older vmmd started the VM, and so its memory cannot be kept now: stop it "
                     "and start it again (%.120s)",
                     ways->reason);
}

static bool look_at_machine(struct core *core, struct vm *vm, struct memory_choice *out,
                            struct err *err)
{
    struct machine_memory_ways ways = {0};
    struct machine_usage usage = {0};
    const struct backend *backend;
    struct machine *machine;
    bool ok;

    if (!vm_is(core, vm, is_running, NULL))
        return err_field(err, ERR_WRONG_STATE, "/consistency",
                         "%s does not run: only a running VM's memory can be kept with a snapshot",
                         VM_NAME(core, vm));
    machine = vm_machine_use(core, vm, &backend, err);
    if (!machine)
        return false;
    ok = backend->memory_look ? backend->memory_look(machine, &ways, err)
                              : err_set(err, ERR_UNSUPPORTED, "its memory cannot be kept");
    if (ok && backend->usage && !backend->usage(machine, &usage))
        usage.rss_bytes = 0;
    vm_machine_done(core, vm);
    out->touched_bytes = usage.rss_bytes;
    out->from_image = ways.from_image;
    return ok && choose_way(&ways, out, err);
}

/* How long the guest would stand still; for the other ways that is a matter of milliseconds. */
static void estimate(struct core *core, struct vm *vm, struct memory_choice *c)
{
    if (c->way == MEMORY_STILL)
        c->pause_ms = ram_pause_estimate_ms(core, vm, &c->image, c->touched_bytes, c->from_image);
}

/* Nobody who left the choice to us has a guest stand still for seconds. */
static bool is_worth_it(const struct memory_choice *c, enum consistency asked, struct err *why)
{
    return asked == CONSISTENCY_RUNNING || c->way != MEMORY_STILL ||
           err_set(why, ERR_UNSUPPORTED,
                   "the guest would stand still for about %.1f s while its memory is written, so "
                   "that is done only when asked for ('running'): %.110s",
                   (double)c->pause_ms / 1000, c->reason);
}

bool memory_choose(struct core *core, struct vm *vm, enum consistency asked,
                   struct memory_choice *out, struct err *err)
{
    struct err why = {0};

    *out = (struct memory_choice){0};
    if (asked == CONSISTENCY_DISK)
        return true;
    out->with = look_at_machine(core, vm, out, &why) && ram_image_plan(core, vm, &out->image, &why);
    if (out->with) {
        estimate(core, vm, out);
        out->with = is_worth_it(out, asked, &why);
    }
    if (out->with)
        return true;
    if (asked == CONSISTENCY_RUNNING) {
        *err = why;
        return false;
    }
    str_copy(out->reason, sizeof out->reason, why.detail);
    return true;
}
