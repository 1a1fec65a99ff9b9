/* Ending a VM (S-STOP in docs/durability.md): 'shutdown' presses the ACPI button and waits for the
 * guest; 'stop' needs no claim, cancels whatever job holds the VM, and kills. Both end when the
 * exit has been settled (observe.c): the VM is off and nothing of it is left. Entered again after a
 * restart, they see what is still alive and go on. */
#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/log.h"
#include "core/vm/kinds.h"
#include "core/vm/registry.h"
#include "core/vm/restart.h"

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

bool vm_press_button(struct core *core, struct vm *vm, struct err *err)
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
         FAILPOINT_AROUND("vm.shutdown.button", backend->powerdown(machine, err), err);
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

static bool is_called_off(struct core *core, struct job *job, struct vm *vm, struct err *err)
{
    return job_cancelled(job) && !vm_is(core, vm, is_gone, NULL) &&
           !err_set(err, ERR_CANCELLED, "the shutdown was cancelled; the guest may still obey");
}

static bool run_shutdown(struct core *core, struct job *job, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), err)};
    struct vm *vm = hold.vm;
    uint64_t timeout_s;

    if (!vm || is_called_off(core, job, vm, err) || !vm_press_button(core, vm, err))
        return false;
    timeout_s = json_get_u64(job_args(job), "timeout_s", grace_s(core, vm));
    if (!vm_wait(core, vm, is_gone_or_cancelled, job, clock_mono_ms() + (int64_t)timeout_s * 1000))
        return err_set(err, ERR_TIMEOUT,
                       "%s did not shut down within %llu s: its system may ignore the power "
                       "button; 'stop' forces it off",
                       VM_NAME(core, vm), (unsigned long long)timeout_s);
    return !is_called_off(core, job, vm, err);
}

void vm_shutdown_given_up(struct core *core, struct vm *vm)
{
    const enum vm_desired running = VM_DESIRED_RUNNING;
    const struct vm_change back = {
        .run = VM_RUNNING, .desired = &running, .only_from = 1u << VM_STOPPING, .regardless = true};
    struct err err = {0};

    if (!vm_is(core, vm, is_ending, NULL) && !vm_change_state(core, vm, &back, &err))
        log_error("%s", err.detail);
}

static void settle_shutdown(struct core *core, struct job *job, bool ok)
{
    struct err err = {0};
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), &err)};

    if (!hold.vm)
        return;
    if (!ok)
        vm_shutdown_given_up(core, hold.vm);
    vm_unclaim(core, hold.vm, job_id(job));
}

const struct job_kind vm_shutdown_kind = {.name = "vm.shutdown",
                                          .lane = JOB_LANE_LIFECYCLE,
                                          .cancellable = true,
                                          .run = run_shutdown,
                                          .settle = settle_shutdown,
                                          .adopt = vm_adopt};

/* ---- stop ---- */

void vm_cancel_holder(struct core *core, struct vm *vm, const struct uuid *self)
{
    struct uuid holder;

    lock_take(&core->registry.lock);
    /* One VM that is forced off is no reason to let the others run on. */
    holder = vm->job_kind == guests_shutdown_kind.name ? *self : vm->job;
    lock_drop(&core->registry.lock);
    if (!uuid_is_zero(&holder) && !uuid_eq(&holder, self))
        job_ask_cancel(core, &holder);
}

/* Kills through the machine where there is one; a launch under way is ended at its root. */
bool vm_kill(struct core *core, struct vm *vm, struct err *err)
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

static bool may_come_back(const struct vm *vm, void *ctx)
{
    return vm->run != VM_SAVED && (vm->desired != VM_DESIRED_OFF || restart_is_due(vm));
}

/* Durable before the effect: whoever sees the end, now or after a restart, knows that it was asked
 * for, and no restart policy starts it again. */
static bool mark_unwanted(struct core *core, struct vm *vm, struct err *err)
{
    const enum vm_desired off = VM_DESIRED_OFF;
    const struct vm_change change = {.keep_run = true, .desired = &off};

    return !vm_is(core, vm, may_come_back, NULL) ||
           (FAILPOINT("vm.stop.mark", err) && vm_change_state(core, vm, &change, err));
}

static bool is_gone_for_good(const struct vm *vm, void *ctx)
{
    const struct uuid *self = ctx;
    bool restarts = vm->job_kind == vm_restart_kind.name && !uuid_eq(&vm->job, self);

    return is_gone(vm, NULL) && !restarts;
}

bool vm_force_off(struct core *core, struct vm *vm, const struct uuid *self, struct err *err)
{
    struct uuid ours = *self;

    vm_cancel_holder(core, vm, self);
    if (!mark_unwanted(core, vm, err))
        return false;
    if (!vm_is(core, vm, is_gone, NULL) &&
        !FAILPOINT_AROUND("vm.stop.kill", vm_kill(core, vm, err), err))
        return false;
    if (!vm_wait(core, vm, is_gone_for_good, &ours, clock_mono_ms() + STOP_MS))
        return err_set(err, ERR_TIMEOUT, "%s is still not gone after %d s", VM_NAME(core, vm),
                       STOP_MS / 1000);
    return mark_unwanted(core, vm, err); /* a restart that failed meanwhile wants the next one */
}

static bool is_saved(const struct vm *vm, void *ctx)
{
    return vm->run == VM_SAVED;
}

static bool run_stop(struct core *core, struct job *job, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), err)};

    return hold.vm && vm_force_off(core, hold.vm, job_id(job), err) &&
           (!vm_is(core, hold.vm, is_saved, NULL) ||
            err_set(err, ERR_WRONG_STATE,
                    "%s had been saved by then: 'discard' gives what was in its memory up",
                    VM_NAME(core, hold.vm)));
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
