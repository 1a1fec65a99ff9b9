/* Taking up after a restart: see recover.h and docs/durability.md.
 *
 * What is true is asked of the workers, never of the rows: a row says only which VMs may have one.
 */
#include "core/vm/recover.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/host/host.h"
#include "core/vm/kinds.h"
#include "core/vm/registry.h"
#include "core/vm/restart.h"
#include "core/vm/vm.h"

#include <stdlib.h>
#include <string.h>

#define ATTACH_THREADS 16
#define RETRY_MS       2000

/* ---- rows ---- */

static struct vm_spec *decode_active(const char *text, struct err *err)
{
    CLEANUP(json_decrefp) json_t *json = text ? json_loads(text, 0, NULL) : NULL;
    struct vm_spec *spec;

    if (!json)
        return NULL;
    spec = mem_alloc(sizeof *spec);
    if (model_decode(&vm_model, json, MODEL_STORED, spec, err))
        return spec;
    free(spec);
    return NULL;
}

static void fill_restarts(struct vm *vm, const char *text)
{
    CLEANUP(json_decrefp) json_t *json = text ? json_loads(text, 0, NULL) : NULL;
    struct restarts restarts;

    restarts_decode(json, &restarts);
    restart_keep(vm, &restarts);
}

static void fill(struct vm *vm, const struct vm_record *r)
{
    struct err ignored = {0};

    vm->phase = strcmp(r->phase, "creating") == 0   ? VM_CREATING
                : strcmp(r->phase, "deleting") == 0 ? VM_DELETING
                                                    : VM_DEFINED;
    if (!vm_run_parse(r->run, &vm->run) || !vm_reason_parse(r->reason, &vm->reason) ||
        !vm_desired_parse(r->desired, &vm->desired))
        log_error("the row of %s holds an unknown state", r->name);
    vm->detail = str_dup(r->detail);
    fill_restarts(vm, r->restarts);
    vm->active = decode_active(r->active, &ignored);
    vm->stands_on = r->stands_on;
    vm->memory = r->memory;
    vm->memory_leaves = str_dup(r->memory_leaves);
    vm->slot = r->slot;
    vm->revision = r->revision;
    vm->state_revision = r->state_revision;
    vm->created_ms = r->created_ms;
    vm->updated_ms = r->updated_ms;
    vm->state_since_ms = r->state_since_ms;
}

static bool load_vm(void *ctx, const struct vm_record *r)
{
    struct core *core = ctx;
    CLEANUP(json_decrefp) json_t *json = json_loads(r->spec, 0, NULL);
    struct vm_spec spec;
    struct err err = {0};
    struct vm *vm;

    if (!json || !model_decode(&vm_model, json, MODEL_STORED, &spec, &err)) {
        log_error("the configuration of %s cannot be read: %s", r->name, err.detail);
        return true;
    }
    vm = vm_enlist(core, &r->id, &spec, &err);
    if (!vm) {
        log_error("%s", err.detail);
        return true;
    }
    lock_take(&core->registry.lock);
    fill(vm, r);
    lock_drop(&core->registry.lock);
    vm_put(core, vm);
    return true;
}

bool vms_load(struct core *core, struct err *err)
{
    return store_vm_each(core->store, load_vm, core, err);
}

/* ---- machines ---- */

static void record_end(struct core *core, struct vm *vm, enum vm_run run, enum vm_reason reason,
                       const char *detail)
{
    const enum vm_desired off = VM_DESIRED_OFF;
    const uint32_t no_slot = NO_SLOT;
    const struct vm_change change = {.run = run,
                                     .reason = reason,
                                     .detail = detail && *detail ? detail : NULL,
                                     .desired = run == VM_OFF ? &off : NULL,
                                     .slot = &no_slot,
                                     .clear_active = true,
                                     .regardless = true,
                                     .ended = true};
    struct err err = {0};

    vm_sweep_worker(vm);
    if (!vm_change_state(core, vm, &change, &err))
        log_error("the end of %s could not be recorded: %s", VM_NAME(core, vm), err.detail);
    log_info("%s is %s %s", VM_NAME(core, vm), vm_run_text(run), vm_reason_text(reason));
}

/* It stands still for the operation that saves it, or for the one that has it go on from its image:
 * they know what follows. One that is saved has only to go. */
static bool keeps_its_state(const struct vm *vm, void *ctx)
{
    const struct machine_report *report = ctx;

    return vm->run == VM_SAVED || (vm->run == VM_STARTING && !uuid_is_zero(&vm->memory)) ||
           (report->phase == MACHINE_IS_PAUSED &&
            vm_stands_for_save(vm, VM_PAUSED, report->reason));
}

/* A live machine: memory gets it, the state becomes what it reports. A start that was cut off stays
 * 'starting': its job is entered again and goes on from there. */
static void record_life(struct core *core, struct vm *vm, struct machine *machine,
                        const struct machine_report *report, uint64_t state_revision)
{
    struct vm_change change = {.run = VM_RUNNING, .regardless = true};
    struct err err = {0};
    enum vm_accel wanted = vm->active ? (enum vm_accel)vm->active->accel : VM_ACCEL_AUTO;
    enum vm_accel accel = wanted;
    char reason[256] = "";
    bool newer;

    err_ignore(host_choose_accel(core, wanted, &accel, reason, &err), &err);
    lock_take(&core->registry.lock);
    vm->machine = machine;
    vm->accel = accel;
    str_copy(vm->accel_reason, sizeof vm->accel_reason, reason);
    newer =
        vm->state_revision != state_revision; /* an event came, which is newer than the report */
    vm->look_again = true;
    cond_wake_all(&core->registry.changed);
    lock_drop(&core->registry.lock);
    if (report->phase == MACHINE_PRELAUNCH || newer ||
        vm_is(core, vm, keeps_its_state, (void *)report))
        return;
    if (report->phase == MACHINE_IS_PAUSED) {
        change.run = VM_PAUSED;
        change.reason = report->reason;
    } else {
        /* of a start that is entered again as well: what runs is not taken back (start.c) */
        change.only_from =
            1u << VM_PAUSED | 1u << VM_UNKNOWN | 1u << VM_RUNNING | 1u << VM_STARTING;
    }
    if (!vm_change_state(core, vm, &change, &err))
        log_error("the state of %s could not be recorded: %s", VM_NAME(core, vm), err.detail);
}

static bool start_is_open(const struct vm *vm, void *ctx)
{
    return vm->run == VM_STARTING && !uuid_is_zero(&vm->job);
}

/* Nothing lives. A start that was cut off is begun anew by its job, so it stays 'starting'. */
static void record_absence(struct core *core, struct vm *vm, const struct machine_event *ended,
                           bool host_reset)
{
    if (host_reset && ended->reason == VM_REASON_WORKER_LOST) { /* it has left no record since */
        record_end(core, vm, VM_CRASHED, VM_REASON_HOST_RESET, NULL);
    } else if (vm_is(core, vm, start_is_open, NULL)) {
        vm_sweep_worker(vm);
        vm_sweep_run_dir(vm);
    } else {
        record_end(core, vm, ended->run, ended->reason, ended->detail);
    }
}

/* One attempt. False: it lives but does not answer. */
static bool look_for(struct core *core, struct vm *vm, bool host_reset)
{
    const struct machine_owner owner = {vm_machine_event, core};
    struct machine_report report = {0};
    struct machine *machine = NULL;
    uint64_t state_revision;
    struct err err = {0};

    lock_take(&core->registry.lock);
    state_revision = vm->state_revision;
    lock_drop(&core->registry.lock);
    if (!core_backend(vm->backend)->attach(&vm->id, &owner, &machine, &report, &err)) {
        log_warn("%s does not answer: %s", VM_NAME(core, vm), err.detail);
        vm_observe(core, vm, VM_UNKNOWN, VM_REASON_WORKER_LOST, err.detail);
        return false;
    }
    if (machine) {
        record_life(core, vm, machine, &report, state_revision);
        vm_apply_live(core, vm);
    } else {
        record_absence(core, vm, &report.ended, host_reset);
    }
    return true;
}

static bool take_up(struct core *core, struct vm *vm, bool host_reset)
{
    bool answered;

    vm_arrives(core, vm);
    answered = look_for(core, vm, host_reset);
    vm_has_arrived(core, vm);
    return answered;
}

struct later {
    struct core *core;
    struct vm *vm;
    bool host_reset;
};

static bool never(const struct vm *vm, void *ctx)
{
    return !vm_run_is_live(vm->run);
}

static void *take_up_main(void *arg)
{
    struct later *l = arg;

    log_set_vm(UUID_STR(&l->vm->id));
    while (!atomic_load(&l->core->closing) && !take_up(l->core, l->vm, l->host_reset))
        if (vm_wait(l->core, l->vm, never, NULL, clock_mono_ms() + RETRY_MS))
            break;
    vm_exit_settled(l->core, l->vm);
    free(l);
    return NULL;
}

void vm_take_up_later(struct core *core, struct vm *vm, bool host_reset)
{
    struct later *l = mem_alloc(sizeof *l);
    struct err err = {0};

    *l = (struct later){core, vm, host_reset};
    lock_take(&core->registry.lock);
    vm->refs++;
    core->registry.exits++;
    lock_drop(&core->registry.lock);
    if (!thread_start_detached("vm-attach", take_up_main, l, &err)) {
        log_error("%s", err.detail);
        abort(); /* the next daemon takes it up */
    }
}

/* ---- all of them ---- */

struct crowd {
    struct core *core;
    struct vm **vms;
    size_t n;
    atomic_size_t next;
    bool host_reset;
};

static bool may_live(const struct vm *vm, void *ctx)
{
    return vm_run_is_live(vm->run) || vm->slot != NO_SLOT;
}

static void *crowd_main(void *arg)
{
    struct crowd *crowd = arg;
    size_t i;

    while ((i = atomic_fetch_add(&crowd->next, 1)) < crowd->n) {
        struct vm *vm = crowd->vms[i];

        if (!vm_is(crowd->core, vm, may_live, NULL))
            continue;
        log_set_vm(UUID_STR(&vm->id));
        if (!take_up(crowd->core, vm, crowd->host_reset))
            vm_take_up_later(crowd->core, vm, crowd->host_reset);
    }
    return NULL;
}

void vms_take_up(struct core *core, bool host_reset)
{
    struct crowd crowd = {.core = core, .host_reset = host_reset};
    pthread_t threads[ATTACH_THREADS];
    unsigned started = 0;
    struct err err = {0};

    crowd.vms = vm_get_all(core, &crowd.n);
    while (started < ATTACH_THREADS && started < crowd.n &&
           thread_start(&threads[started], "attach", crowd_main, &crowd, &err))
        started++;
    crowd_main(&crowd);
    for (unsigned i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    vm_put_all(core, crowd.vms);
}

/* ---- remains ---- */

/* What is left of a VM that cannot live: a leaf, or only a run directory when the row of its end
 * was committed and this process ended before the directory was removed. */
static bool sweep_remains(void *ctx, const struct uuid *id, bool populated)
{
    struct core *core = ctx;
    struct err err = {0};
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, id, &err)};

    if (hold.vm && vm_is(core, hold.vm, may_live, NULL))
        return true;
    err = (struct err){0};
    log_info("sweeping what is left of a worker that belongs to no running VM: %s", UUID_STR(id));
    if (!host_worker_kill(id, &err) || !host_run_dir_remove(id, &err))
        log_warn("%s", err.detail);
    return true;
}

static bool is_half(const struct vm *vm, void *ctx)
{
    return vm->phase != VM_DEFINED && uuid_is_zero(&vm->job);
}

static bool mark_creation_failed(struct core *core, struct vm *vm)
{
    bool creating;

    lock_take(&core->registry.lock);
    creating = vm->phase == VM_CREATING;
    if (creating)
        vm->phase = VM_DELETING;
    lock_drop(&core->registry.lock);
    return creating;
}

/* A VM whose creation or deletion failed for good before: it is deleted now. */
static void finish_half(struct core *core, struct vm *vm)
{
    const struct origin origin = {.principal = "vmmd", .role = ROLE_ADMIN, .route = "recovery"};
    struct err err = {0};
    struct uuid op;

    if (!vm_is(core, vm, is_half, NULL))
        return;
    if (mark_creation_failed(core, vm))
        log_info("%s was never finished: deleting it", VM_NAME(core, vm));
    if (!vm_delete(core, UUID_STR(&vm->id), NULL, &origin, &op, &err))
        log_warn("%s stays half deleted: %s", VM_NAME(core, vm), err.detail);
}

static bool is_stray(const struct vm *vm, void *ctx)
{
    return (vm->run == VM_STARTING || vm->run == VM_STOPPING || vm->run == VM_SAVED) &&
           uuid_is_zero(&vm->job);
}

/* Between two states with no job that would bring it to one: a start is undone, a shutdown is
 * forgotten, what has been saved ends. */
static void settle_stray(struct core *core, struct vm *vm)
{
    const enum vm_desired desired = VM_DESIRED_RUNNING;
    const struct vm_change running = {
        .run = VM_RUNNING, .desired = &desired, .only_from = 1u << VM_STOPPING};
    const struct backend *backend;
    struct machine *machine;
    struct err err = {0};

    if (!vm_is(core, vm, is_stray, NULL))
        return;
    if (!vm_change_state(core, vm, &running, &err))
        log_error("%s", err.detail);
    machine = vm_machine_use(core, vm, &backend, &err);
    if (!machine)
        return;
    if (vm_is(core, vm, is_stray, NULL) && !backend->kill(machine, &err))
        log_warn("%s: %s", VM_NAME(core, vm), err.detail);
    vm_machine_done(core, vm);
}

void vms_sweep(struct core *core)
{
    struct vm **vms;
    struct err err = {0};
    size_t n;

    if (!host_worker_each(sweep_remains, core, &err) ||
        !host_run_dir_each(sweep_remains, core, &err))
        log_warn("workers were not swept: %s", err.detail);
    vms = vm_get_all(core, &n);
    for (size_t i = 0; i < n; i++) {
        finish_half(core, vms[i]);
        settle_stray(core, vms[i]);
    }
    vm_put_all(core, vms);
}
