/* Pause, resume and reset: one call into the machine; what it did is seen from the machine's
 * events, which alone change the state. */
#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/vm/kinds.h"
#include "core/vm/registry.h"

#define EVENT_MS 10000

static bool is_paused(const struct vm *vm, void *ctx)
{
    return vm->run != VM_RUNNING;
}

static bool is_resumed(const struct vm *vm, void *ctx)
{
    return vm->run != VM_PAUSED;
}

static bool at_once(const struct vm *vm, void *ctx)
{
    return true;
}

typedef bool (*machine_call)(const struct backend *backend, struct machine *machine,
                             struct err *err);

static bool call(struct core *core, struct job *job, machine_call fn,
                 bool (*seen)(const struct vm *vm, void *ctx), struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), err)};
    const struct backend *backend;
    struct machine *machine;
    bool ok;

    if (!hold.vm)
        return false;
    machine = vm_machine_use(core, hold.vm, &backend, err);
    if (!machine)
        return false;
    ok = FAILPOINT_AROUND("vm.power.call", fn(backend, machine, err), err);
    vm_machine_done(core, hold.vm);
    if (!ok)
        return false;
    return vm_wait(core, hold.vm, seen, NULL, clock_mono_ms() + EVENT_MS) ||
           err_set(err, ERR_TIMEOUT, "QEMU took the command but did not report it within %d s",
                   EVENT_MS / 1000);
}

static bool do_pause(const struct backend *backend, struct machine *machine, struct err *err)
{
    return backend->pause(machine, err);
}

static bool do_resume(const struct backend *backend, struct machine *machine, struct err *err)
{
    return backend->cont(machine, err);
}

static bool do_reset(const struct backend *backend, struct machine *machine, struct err *err)
{
    return backend->reset(machine, err);
}

static bool run_pause(struct core *core, struct job *job, struct err *err)
{
    return call(core, job, do_pause, is_paused, err);
}

static bool run_resume(struct core *core, struct job *job, struct err *err)
{
    return call(core, job, do_resume, is_resumed, err);
}

static bool run_reset(struct core *core, struct job *job, struct err *err)
{
    return call(core, job, do_reset, at_once, err);
}

static void settle(struct core *core, struct job *job, bool ok)
{
    struct err err = {0};
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), &err)};

    if (hold.vm)
        vm_unclaim(core, hold.vm, job_id(job));
}

const struct job_kind vm_pause_kind = {.name = "vm.pause",
                                       .lane = JOB_LANE_LIFECYCLE,
                                       .run = run_pause,
                                       .settle = settle,
                                       .adopt = vm_adopt};
const struct job_kind vm_resume_kind = {.name = "vm.resume",
                                        .lane = JOB_LANE_LIFECYCLE,
                                        .run = run_resume,
                                        .settle = settle,
                                        .adopt = vm_adopt};
const struct job_kind vm_reset_kind = {.name = "vm.reset",
                                       .lane = JOB_LANE_LIFECYCLE,
                                       .run = run_reset,
                                       .settle = settle,
                                       .adopt = vm_adopt};
