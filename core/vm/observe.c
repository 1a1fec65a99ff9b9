/* The observed state of a VM: written to row, event log and memory in this order; and what machines
 * tell us. An exit is settled on a thread of its own: the machine is released, the worker's
 * remains are swept, the row is written, the run directory with the exit record goes, and only then
 * the VM is shown as off, so that "off" means that nothing is left. */
#include "core/vm/kinds.h"
#include "core/vm/recover.h"
#include "core/vm/registry.h"
#include "core/vm/restart.h"

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/ram/image.h"

#include <stdio.h>
#include <stdlib.h>

void vm_record_fill(const struct vm *vm, struct vm_record *record, struct vm_texts *texts)
{
    static const char *const phases[] = {"creating", "defined", "deleting"};
    CLEANUP(json_decrefp) json_t *spec = model_encode(&vm_model, &vm->spec);
    CLEANUP(json_decrefp) json_t *active = vm->active ? model_encode(&vm_model, vm->active) : NULL;

    texts->spec = json_write(spec);
    texts->active = active ? json_write(active) : NULL;
    texts->restarts = vm->restarts ? restarts_text(vm->restarts) : NULL;
    *record = (struct vm_record){
        .id = vm->id,
        .name = vm->name,
        .spec = texts->spec,
        .active = texts->active,
        .phase = phases[vm->phase],
        .run = vm_run_text(vm->run),
        .reason = vm_reason_text(vm->reason),
        .desired = vm_desired_text(vm->desired),
        .detail = vm->detail,
        .restarts = texts->restarts,
        .stands_on = vm->stands_on,
        .memory = vm->memory,
        .memory_leaves = vm->memory_leaves,
        .slot = vm->slot,
        .revision = vm->revision,
        .state_revision = vm->state_revision,
        .created_ms = vm->created_ms,
        .updated_ms = vm->updated_ms,
        .state_since_ms = vm->state_since_ms,
    };
}

void vm_texts_clear(struct vm_texts *texts)
{
    free(texts->spec);
    free(texts->active);
    free(texts->restarts);
}

static json_t *state_event(const struct vm *vm, const struct vm_change *change)
{
    json_t *data = json_object();

    json_put_text(data, "name", vm->name);
    json_put_text(data, "from", vm_run_text(vm->run));
    json_put_text(data, "to", vm_run_text(change->run));
    json_put_text(data, "reason",
                  change->reason == VM_REASON_NONE ? NULL : vm_reason_text(change->reason));
    json_put_text(data, "operation", uuid_is_zero(&vm->job) ? NULL : UUID_STR(&vm->job));
    return data;
}

static void fill_active(const struct vm_spec *active, struct vm_record *record,
                        struct vm_texts *texts)
{
    CLEANUP(json_decrefp) json_t *json = model_encode(&vm_model, active);

    free(texts->active);
    record->active = texts->active = json_write(json);
}

/* One change on its way: the row as it will be, and what is told of it. */
struct change_write {
    struct vm_record record;
    struct vm_texts texts;
    json_t *event, *restart_event; /* NULL: none */
    struct restarts restarts;
    enum restart_verdict verdict;
    bool comes_back; /* whoever wanted it running still does */
};

static void fill_restarts(struct vm *vm, const struct vm_change *change, struct change_write *w)
{
    w->verdict = restart_judge(vm, change, &w->restarts);
    w->comes_back = w->restarts.due_ms && (w->verdict == RESTART_DUE || change->ended);
    w->restart_event = restart_event(vm, change, w->verdict, &w->restarts);
    free(w->texts.restarts);
    w->record.restarts = w->texts.restarts = restarts_text(&w->restarts);
}

static void fill_row(const struct vm_change *change, struct change_write *w)
{
    struct vm_record *record = &w->record;

    record->state_revision++;
    if (!change->keep_run) {
        record->run = vm_run_text(change->run);
        record->reason = vm_reason_text(change->reason);
        record->detail = change->detail;
    }
    if (w->event)
        record->state_since_ms = clock_wall_ms();
    if (w->comes_back)
        record->desired = vm_desired_text(VM_DESIRED_RUNNING);
    else if (change->desired)
        record->desired = vm_desired_text(*change->desired);
    if (change->slot)
        record->slot = *change->slot;
    if (change->active)
        fill_active(change->active, record, &w->texts);
    if (change->clear_active)
        record->active = NULL;
    if (change->memory) {
        record->memory = *change->memory;
        record->memory_leaves = change->leaves;
    }
}

/* Nothing of it lives. One that is saved stays so, and so does one that was about to go on from its
 * image and has not used it up. */
static void judge_end(const struct vm *vm, struct vm_change *change)
{
    static const enum vm_desired saved = VM_DESIRED_SAVED;

    if (vm->run == VM_SAVED) {
        change->keep_run = true;
        change->desired = NULL;
    } else if (vm->run == VM_STARTING && !uuid_is_zero(&vm->memory)) {
        change->run = VM_SAVED;
        change->reason = VM_REASON_START_FAILED;
        change->desired = &saved;
    }
}

/* From memory and the change; false when the change does not apply. */
static bool fill_change(struct core *core, struct vm *vm, struct vm_change *change,
                        struct change_write *w)
{
    lock_take(&core->registry.lock);
    if (change->ended)
        judge_end(vm, change);
    if (change->only_from && !(change->only_from >> vm->run & 1)) {
        lock_drop(&core->registry.lock);
        return false;
    }
    vm_record_fill(vm, &w->record, &w->texts);
    if (!change->keep_run && (vm->run != change->run || vm->reason != change->reason))
        w->event = state_event(vm, change);
    fill_restarts(vm, change, w);
    lock_drop(&core->registry.lock);
    fill_row(change, w);
    return true;
}

static bool add_events(struct store_txn *txn, struct change_write *w, struct err *err)
{
    json_t *state = TAKE(w->event), *restart = TAKE(w->restart_event);

    if (state && !event_add(txn, "vm.state", "vm", &w->record.id, state, err)) {
        json_decref(restart);
        return false;
    }
    return !restart || event_add(txn, "vm.restart", "vm", &w->record.id, restart, err);
}

static bool write_change(struct core *core, const struct vm_change *change, struct change_write *w,
                         struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(core->store, err);

    return txn && add_events(txn, w, err) && store_vm_put_state(txn, &w->record, err) &&
           (!change->also || change->also(txn, change->ctx, err)) && store_commit(&txn, err);
}

static void set_active(struct vm *vm, struct vm_spec *active)
{
    if (vm->active) {
        vm_spec_clear(vm->active);
        free(vm->active);
    }
    vm->active = active;
}

static void apply(struct core *core, struct vm *vm, const struct vm_change *change,
                  const struct change_write *w)
{
    const struct vm_record *record = &w->record;
    struct vm_spec *active = change->active ? vm_spec_copy(change->active) : NULL;

    if (change->memory)
        ram_vm_set(core, vm, change->memory, change->leaves);
    lock_take(&core->registry.lock);
    if (!change->keep_run) {
        vm->run = change->run;
        vm->reason = change->reason;
        free(vm->detail);
        vm->detail = str_dup(change->detail);
    }
    vm->state_revision = record->state_revision;
    vm->state_since_ms = record->state_since_ms;
    vm->slot = record->slot;
    if (w->comes_back)
        vm->desired = VM_DESIRED_RUNNING;
    else if (change->desired)
        vm->desired = *change->desired;
    restart_keep(vm, &w->restarts);
    if (change->active || change->clear_active) {
        set_active(vm, active);
        vm->pending_reason[0] = 0;
    }
    cond_wake_all(&core->registry.changed);
    lock_drop(&core->registry.lock);
    events_ring(core);
}

bool vm_change_state(struct core *core, struct vm *vm, const struct vm_change *wanted,
                     struct err *err)
{
    struct vm_change change = *wanted;
    struct change_write w = {0};
    bool ok = true;

    lock_take(&vm->writing);
    if (fill_change(core, vm, &change, &w)) {
        ok = write_change(core, &change, &w, err);
        if (ok && change.ended)
            vm_sweep_run_dir(vm);
        if (ok || change.regardless)
            apply(core, vm, &change, &w);
    }
    lock_drop(&vm->writing);
    if (ok && change.memory)
        vm_copy_later(core, &vm->id);
    if (w.verdict == RESTART_DUE && (ok || change.regardless))
        restart_arm(core, &vm->id, w.restarts.due_ms);
    json_decref(w.event); /* left when the transaction did not come so far */
    json_decref(w.restart_event);
    vm_texts_clear(&w.texts);
    return ok;
}

/* Why a guest stands still that nobody paused, in its own last words. */
static const char *explain(struct core *core, const struct vm *vm, enum vm_reason reason, char *out,
                           size_t size)
{
    static const char *const means[VM_REASON_COUNT] = {
        [VM_REASON_GUEST_PANIC] = "the guest's kernel panicked",
        [VM_REASON_WATCHDOG] = "the guest did not serve its watchdog in time",
    };
    char words[1024];

    if (!means[reason])
        return NULL;
    vm_last_words(core, vm, words, sizeof words);
    snprintf(out, size, "%s%s%s", means[reason], *words ? ". Its last words: " : "", words);
    return out;
}

bool vm_stands_for_save(const struct vm *vm, enum vm_run run, enum vm_reason reason)
{
    return run == VM_PAUSED && vm->job_kind == vm_save_kind.name &&
           (reason == VM_REASON_NONE || reason == VM_REASON_USER || reason == VM_REASON_MIGRATION);
}

void vm_observe(struct core *core, struct vm *vm, enum vm_run run, enum vm_reason reason,
                const char *detail)
{
    struct vm_change change = {.run = run, .reason = reason, .detail = detail, .regardless = true};
    enum vm_desired desired = run == VM_PAUSED ? VM_DESIRED_PAUSED : VM_DESIRED_RUNNING;
    bool same, possible, starting;
    struct err err = {0};
    char text[1200];

    lock_take(&core->registry.lock);
    same = (vm->run == run && vm->reason == reason) || vm_stands_for_save(vm, run, reason);
    possible = vm->run == run || vm_run_may_become(vm->run, run);
    starting = vm->run == VM_STARTING || vm->run == VM_STOPPING;
    lock_drop(&core->registry.lock);
    if (same || !possible)
        return;
    if (starting && run == VM_RUNNING)
        return; /* the job says when a start is done, and whether a shutdown is given up */
    if (run == VM_RUNNING || reason == VM_REASON_USER)
        change.desired = &desired;
    if (!detail)
        change.detail = explain(core, vm, reason, text, sizeof text);
    if (!vm_change_state(core, vm, &change, &err))
        log_error("the state '%s' of %s could not be recorded: %s", vm_run_text(run),
                  UUID_STR(&vm->id), err.detail);
}

/* ---- exits ---- */

struct exit_case {
    struct core *core;
    struct vm *vm; /* a reference */
    struct machine_event event;
};

static bool has_arrived(const struct vm *vm, void *ctx)
{
    return vm->arriving == 0;
}

static bool machine_is_idle(const struct vm *vm, void *ctx)
{
    return vm->machine_users == 0;
}

/* Takes the machine out of the VM once it is there, and no call is under way in it, and ends
 * watching. */
static void release_machine(struct core *core, struct vm *vm)
{
    struct machine *machine;

    (void)vm_wait(core, vm, has_arrived, NULL, INT64_MAX / 4);
    while (!vm_wait(core, vm, machine_is_idle, NULL, clock_mono_ms() + 1000))
        if (atomic_load(&core->closing))
            break;
    lock_take(&core->registry.lock);
    machine = vm->machine;
    vm->machine = NULL;
    lock_drop(&core->registry.lock);
    if (machine)
        core_backend(vm->backend)->release(machine);
}

void vm_sweep_worker(const struct vm *vm)
{
    struct err err = {0};

    if (vm->backend == VM_BACKEND_QEMU && !host_worker_kill(&vm->id, &err))
        log_warn("sweeping after %s: %s", UUID_STR(&vm->id), err.detail);
}

void vm_sweep_run_dir(const struct vm *vm)
{
    struct err err = {0};

    if (vm->backend == VM_BACKEND_QEMU && !host_run_dir_remove(&vm->id, &err))
        log_warn("sweeping after %s: %s", UUID_STR(&vm->id), err.detail);
}

static bool never(const struct vm *vm, void *ctx)
{
    return false;
}

/* Written until it is written: on a full disk that takes until somebody made room. */
static void record_exit(struct core *core, struct vm *vm, const struct machine_event *event)
{
    const enum vm_desired off = VM_DESIRED_OFF;
    const uint32_t no_slot = NO_SLOT;
    struct vm_change change = {
        .run = event->run,
        .reason = event->reason,
        .detail = event->detail[0] ? event->detail : NULL,
        .desired = event->run == VM_OFF ? &off : NULL,
        .slot = &no_slot,
        .clear_active = true,
        .ended = true,
    };
    int64_t pause_ms = 50;
    struct err err = {0};
    char text[1200];

    if (event->reason == VM_REASON_GUEST_PANIC)
        change.detail = explain(core, vm, event->reason, text, sizeof text);
    while (!vm_change_state(core, vm, &change, &err)) {
        log_error("the end of %s is not recorded yet: %s", VM_NAME(core, vm), err.detail);
        if (store_is_poisoned(core->store) || atomic_load(&core->closing))
            return;
        (void)vm_wait(core, vm, never, NULL, clock_mono_ms() + pause_ms);
        pause_ms = pause_ms < 5000 ? 2 * pause_ms : pause_ms;
    }
}

static void *settle_exit(void *arg)
{
    struct exit_case *c = arg;
    struct core *core = c->core;

    log_set_vm(UUID_STR(&c->vm->id));
    release_machine(core, c->vm);
    if (c->event.kind == MACHINE_LOST) {
        vm_take_up_later(core, c->vm, false);
    } else if (!atomic_load(&core->closing)) {
        vm_sweep_worker(c->vm);
        record_exit(core, c->vm, &c->event);
        log_write(c->event.run == VM_CRASHED ? LOG_WARN : LOG_INFO, "QEMU of %s ended: %s %s",
                  VM_NAME(core, c->vm), vm_run_text(c->event.run), vm_reason_text(c->event.reason));
    }
    vm_exit_settled(core, c->vm);
    free(c);
    return NULL;
}

static void begin_exit(struct core *core, struct vm *vm, const struct machine_event *event)
{
    struct exit_case *c;
    struct err err = {0};
    bool first;

    lock_take(&core->registry.lock);
    first = !vm->ending;
    if (first) {
        vm->ending = true;
        vm->refs++;
        core->registry.exits++;
    }
    lock_drop(&core->registry.lock);
    if (!first)
        return;
    c = mem_alloc(sizeof *c);
    *c = (struct exit_case){.core = core, .vm = vm, .event = *event};
    if (!thread_start_detached("vm-exit", settle_exit, c, &err)) {
        log_error("%s", err.detail);
        abort(); /* no thread, no way to tell the truth: the next daemon finds it out */
    }
}

static void serial_grew(struct core *core)
{
    lock_take(&core->serial.lock);
    core->serial.rings++;
    cond_wake_all(&core->serial.rung);
    lock_drop(&core->serial.lock);
}

void vm_machine_event(void *ctx, const struct uuid *id, const struct machine_event *event)
{
    struct core *core = ctx;
    struct err err = {0};
    struct vm *vm;

    if (event->kind == MACHINE_SERIAL) {
        serial_grew(core);
        return;
    }
    vm = vm_get_id(core, id, &err);
    if (!vm)
        return;
    log_set_vm(UUID_STR(id));
    if (event->kind == MACHINE_RUNNING)
        vm_observe(core, vm, VM_RUNNING, VM_REASON_NONE, NULL);
    else if (event->kind == MACHINE_PAUSED)
        vm_observe(core, vm, VM_PAUSED, event->reason, NULL);
    else if (event->kind == MACHINE_LOST || event->kind == MACHINE_EXITED)
        begin_exit(core, vm, event);
    log_set_vm(NULL);
    vm_put(core, vm);
}
