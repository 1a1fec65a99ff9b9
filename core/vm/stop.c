/* Ending a VM (S-STOP in docs/durability.md): 'shutdown' presses the ACPI button and waits for the
 * guest; 'stop' needs no claim, cancels whatever job holds the VM, and kills. Both end when the
 * exit has been settled (observe.c): the VM is off and nothing of it is left. Entered again after a
 * restart, they see what is still alive and go on. */
#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/log.h"
#include "core/vm/kinds.h"
#include "core/vm/registry.h"

#define STOP_MS 60000

static bool is_gone(const struct vm *vm, void *ctx)
{
    return !vm_run_is_live(vm->run) && !vm->ending;
}

static bool is_ending(const struct vm *vm, void *ctx)
{
    return vm->ending;
}

static bool is_gone_or_cancelled(const struct vm *vm, void *ctx)
{
    return is_gone(vm, NULL) || job_cancelled(ctx);
}

/* ---- shutdown ---- */

static bool press_button(struct core *core, struct vm *vm, struct err *err)
{
    const enum vm_desired off = VM_DESIRED_OFF;
    const struct vm_change stopping = {
        .run = VM_STOPPING, .desired = &off, .only_from = 1u << VM_RUNNING};
    const struct backend *backend;
    struct machine *machine = vm_machine_use(core, vm, &backend, err);
    bool ok;

    if (!machine)
        return vm_is(core, vm, is_gone, NULL); /* it ended meanwhile: all is done */
    ok = FAILPOINT("vm.shutdown.mark", err) && vm_change_state(core, vm, &stopping, err) &&
         FAILPOINT("vm.shutdown.button", err) && backend->powerdown(machine, err);
    vm_machine_done(core, vm);
    return ok;
}

static uint64_t grace_s(struct core *core, const struct vm *vm)
{
    uint64_t seconds;

    lock_take(&core->registry.lock);
    seconds = vm->spec.shutdown_timeout_s;
    lock_drop(&core->registry.lock);
    return seconds;
}

static bool run_shutdown(struct core *core, struct job *job, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), err)};
    struct vm *vm = hold.vm;
    uint64_t timeout_s;

    if (!vm || !press_button(core, vm, err))
        return false;
    timeout_s = json_get_u64(job_args(job), "timeout_s", grace_s(core, vm));
    if (!vm_wait(core, vm, is_gone_or_cancelled, job, clock_mono_ms() + (int64_t)timeout_s * 1000))
        return err_set(err, ERR_TIMEOUT,
                       "%s did not shut down within %llu s: its system may ignore the power "
                       "button; 'stop' forces it off",
                       VM_NAME(core, vm), (unsigned long long)timeout_s);
    if (!vm_is(core, vm, is_gone, NULL))
        return err_set(err, ERR_CANCELLED, "the shutdown was cancelled; the guest may still obey");
    return true;
}

static void settle_shutdown(struct core *core, struct job *job, bool ok)
{
    const enum vm_desired running = VM_DESIRED_RUNNING;
    const struct vm_change back = {
        .run = VM_RUNNING, .desired = &running, .only_from = 1u << VM_STOPPING, .regardless = true};
    struct err err = {0};
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), &err)};

    if (!hold.vm)
        return;
    if (!ok && !vm_is(core, hold.vm, is_ending, NULL) &&
        !vm_change_state(core, hold.vm, &back, &err))
        log_error("%s", err.detail);
    vm_unclaim(core, hold.vm, job_id(job));
}

const struct job_kind vm_shutdown_kind = {.name = "vm.shutdown",
                                          .lane = JOB_LANE_LIFECYCLE,
                                          .cancellable = true,
                                          .run = run_shutdown,
                                          .settle = settle_shutdown,
                                          .adopt = vm_adopt};

/* ---- stop ---- */

static void cancel_holder(struct core *core, struct vm *vm, const struct uuid *self)
{
    struct uuid holder;

    lock_take(&core->registry.lock);
    holder = vm->job;
    lock_drop(&core->registry.lock);
    if (!uuid_is_zero(&holder) && !uuid_eq(&holder, self))
        job_ask_cancel(core, &holder);
}

/* Kills through the machine where there is one; a launch under way is ended at its root. */
static bool kill_it(struct core *core, struct vm *vm, struct err *err)
{
    const struct backend *backend;
    struct err none = {0};
    struct machine *machine = vm_machine_use(core, vm, &backend, &none);
    bool ok;

    if (machine) {
        ok = backend->kill(machine, err);
        vm_machine_done(core, vm);
        if (ok || vm->backend != VM_BACKEND_QEMU)
            return ok;
        log_warn("%s: QEMU did not end by request: %s", VM_NAME(core, vm), err->detail);
        *err = (struct err){0};
    }
    return vm->backend != VM_BACKEND_QEMU || host_worker_kill(&vm->id, err);
}

static bool run_stop(struct core *core, struct job *job, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), err)};
    struct vm *vm = hold.vm;

    if (!vm)
        return false;
    cancel_holder(core, vm, job_id(job));
    if (vm_is(core, vm, is_gone, NULL))
        return true;
    if (!FAILPOINT("vm.stop.kill", err) || !kill_it(core, vm, err))
        return false;
    return vm_wait(core, vm, is_gone, NULL, clock_mono_ms() + STOP_MS) ||
           err_set(err, ERR_TIMEOUT, "%s is still not gone after %d s", VM_NAME(core, vm),
                   STOP_MS / 1000);
}

static void settle_stop(struct core *core, struct job *job, bool ok)
{
    struct err err = {0};
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), &err)};

    if (hold.vm)
        vm_unclaim(core, hold.vm, job_id(job));
}

/* After a restart the VM may have ended by itself, so that a new start would be possible, which the
 * old stop would then cancel: it holds the VM until it has ended, unless the job that it was to
 * cancel does. That one is older, and is asked after this one. */
static void adopt_stop(struct core *core, struct job *job)
{
    struct err err = {0};
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), &err)};
    bool is_free;

    if (!hold.vm)
        return;
    lock_take(&core->registry.lock);
    is_free = uuid_is_zero(&hold.vm->job);
    lock_drop(&core->registry.lock);
    if (is_free)
        vm_adopt(core, job);
}

const struct job_kind vm_stop_kind = {.name = "vm.stop",
                                      .lane = JOB_LANE_LIFECYCLE,
                                      .run = run_stop,
                                      .settle = settle_stop,
                                      .adopt = adopt_stop};
