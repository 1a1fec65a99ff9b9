/* The restart policy at work: see restart.h and docs/autostart.md.
 *
 *   1 the state (crashed, off, paused by a panic) with the time when a restart is due   one txn
 *   2 the pause, in this thread; 'stop', an edit of the policy or a start by hand end it
 *   3 * job vm.restart, the restart counted, none due any more                           one txn
 *   4 the job: power off what still stands there, then a start as any other (start.c)
 *
 * A daemon that ends in 2 leaves the time in the row, and the next one waits for what is left of
 * it; one that ends after 3 leaves a job that is entered again. Nothing is begun twice, since 3
 * takes the time out of the row. */
#include "core/vm/restart.h"

#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/vm/kinds.h"

#include <stdlib.h>

#define BUSY_MS 1000  /* looked at again when another operation holds the VM, or the store fails */
#define LOOK_MS 60000 /* the wall clock may be set meanwhile */

/* ---- what is written with a state ---- */

bool restart_is_due(const struct vm *vm)
{
    return vm->restarts && vm->restarts->due_ms;
}

static bool is_due(const struct vm *vm, void *ctx)
{
    return restart_is_due(vm);
}

void restart_keep(struct vm *vm, const struct restarts *next)
{
    if (!next->due_ms && !next->n) {
        free(vm->restarts);
        vm->restarts = NULL;
        return;
    }
    if (!vm->restarts)
        vm->restarts = mem_alloc(sizeof *vm->restarts);
    *vm->restarts = *next;
}

/* A start that is under way reports its own end. */
static bool is_being_started(const struct vm *vm)
{
    return vm->job_kind &&
           (str_eq(vm->job_kind, vm_start_kind.name) || str_eq(vm->job_kind, vm_restart_kind.name));
}

static bool ends_by_itself(const struct vm *vm, const struct vm_change *change)
{
    bool is_new = vm->run != change->run || vm->reason != change->reason;

    return !change->keep_run && (change->ended || (change->run == VM_PAUSED && is_new)) &&
           !is_being_started(vm) &&
           restart_is_wanted(vm->spec.restart.policy, vm->desired, change->run, change->reason);
}

static bool ends_the_waiting(const struct vm_change *change)
{
    if (change->ended)
        return false; /* what is left of a restart that failed goes */
    if (change->desired && *change->desired != VM_DESIRED_RUNNING)
        return true;
    return !change->keep_run && (change->run == VM_RUNNING || change->run == VM_STARTING);
}

enum restart_verdict restart_judge(const struct vm *vm, const struct vm_change *change,
                                   struct restarts *next)
{
    *next = vm->restarts ? *vm->restarts : (struct restarts){0};
    if (change->again || ends_by_itself(vm, change))
        return restarts_plan(next, vm->spec.restart.max_in_10_min, clock_wall_ms());
    if (ends_the_waiting(change))
        next->due_ms = 0;
    return RESTART_NOT;
}

json_t *restart_event(const struct vm *vm, const struct vm_change *change,
                      enum restart_verdict verdict, const struct restarts *next)
{
    json_t *data;

    if (verdict == RESTART_NOT)
        return NULL;
    data = json_object();
    json_put_text(data, "name", vm->name);
    json_put_text(data, "reason", vm_reason_text(change->keep_run ? vm->reason : change->reason));
    json_put_u64(data, "attempt", next->n + 1);
    json_put_u64(data, "of", vm->spec.restart.max_in_10_min);
    json_put(data, "given_up", json_boolean(verdict == RESTART_GIVEN_UP));
    json_put_time(data, "due_at", next->due_ms);
    return data;
}

void restart_again(struct core *core, struct vm *vm)
{
    const enum vm_desired running = VM_DESIRED_RUNNING;
    const struct vm_change change = {.keep_run = true, .again = true, .desired = &running};
    struct err err = {0};

    if (!vm_change_state(core, vm, &change, &err))
        log_error("the next restart of %s was not planned: %s", VM_NAME(core, vm), err.detail);
}

/* ---- step 3 ---- */

struct count {
    struct vm *vm;
    struct core *core;
    struct restarts next;
};

static bool write_count(struct store_txn *txn, void *ctx, struct err *err)
{
    struct count *c = ctx;
    CLEANUP(mem_freep) char *text = restarts_text(&c->next);
    struct vm_record record;
    struct vm_texts texts;
    bool ok;

    lock_take(&c->core->registry.lock);
    vm_record_fill(c->vm, &record, &texts);
    lock_drop(&c->core->registry.lock);
    record.restarts = text;
    ok = store_vm_put_state(txn, &record, err) && FAILPOINT("vm.restart.count", err);
    vm_texts_clear(&texts);
    return ok;
}

static bool is_still_wanted(const struct vm *vm, void *ctx)
{
    return restart_is_due(vm) && vm->phase == VM_DEFINED && vm->desired == VM_DESIRED_RUNNING &&
           vm->spec.restart.policy != RESTART_NEVER && !vm->ending &&
           restart_is_possible(vm->run, vm->reason);
}

static bool submit(struct core *core, struct vm *vm, struct err *err)
{
    const struct origin origin = {.principal = "vmmd", .role = ROLE_ADMIN, .route = "restart"};
    struct count count = {.vm = vm, .core = core};
    struct job_order order = {.kind = &vm_restart_kind,
                              .object_type = "vm",
                              .object = vm->id,
                              .object_name = vm->name,
                              .id = uuid_new(),
                              .also = write_count,
                              .ctx = &count};
    bool ok;

    if (!vm_claim_free(core, vm, &order.id, vm_restart_kind.name, err))
        return false;
    lock_take(&core->registry.lock);
    count.next = vm->restarts ? *vm->restarts : (struct restarts){0};
    lock_drop(&core->registry.lock);
    restarts_count(&count.next, clock_wall_ms());
    ok = job_submit(core, &order, &origin, err);
    if (!ok) {
        vm_unclaim(core, vm, &order.id);
        return false;
    }
    lock_take(&core->registry.lock);
    restart_keep(vm, &count.next);
    shown_drop(&core->registry, vm);
    lock_drop(&core->registry.lock);
    return true;
}

/* The pause is over. */
static void begin(struct core *core, const struct uuid *id)
{
    struct err err = {0};
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, id, &err)};
    bool ok = true;

    if (!hold.vm)
        return;
    lock_take(&hold.vm->writing);
    if (vm_is(core, hold.vm, is_still_wanted, NULL))
        ok = submit(core, hold.vm, &err);
    lock_drop(&hold.vm->writing);
    if (ok)
        return;
    log_info("%s is started again later: %s", UUID_STR(id), err.detail);
    restart_arm(core, id, clock_wall_ms() + BUSY_MS);
}

/* ---- the thread ---- */

struct alarm {
    struct uuid vm;
    int64_t due_ms;
    struct alarm *next;
};

struct restarter {
    struct core *core;
    pthread_t thread;
    bool started;
    struct lock lock;
    struct cond woken;
    struct alarm *alarms GUARDED_BY(lock); /* the next one first */
    bool stopping GUARDED_BY(lock);
};

void restart_arm(struct core *core, const struct uuid *vm, int64_t due_ms)
{
    struct restarter *r = core->restarter;
    struct alarm *a = mem_alloc(sizeof *a), **at;

    *a = (struct alarm){.vm = *vm, .due_ms = due_ms};
    lock_take(&r->lock);
    for (at = &r->alarms; *at && (*at)->due_ms <= due_ms; at = &(*at)->next)
        ;
    a->next = *at;
    *at = a;
    cond_wake_all(&r->woken);
    lock_drop(&r->lock);
}

/* The next alarm that is due, taken out of the list; NULL when the daemon ends. */
static struct alarm *next_alarm(struct restarter *r)
{
    struct alarm *a = NULL;

    lock_take(&r->lock);
    while (!r->stopping && !a) {
        int64_t left = r->alarms ? r->alarms->due_ms - clock_wall_ms() : LOOK_MS;

        if (r->alarms && left <= 0) {
            a = r->alarms;
            r->alarms = a->next;
        } else {
            (void)cond_wait_until(&r->woken, &r->lock,
                                  clock_mono_ms() + (left < LOOK_MS ? left : LOOK_MS));
        }
    }
    lock_drop(&r->lock);
    return a;
}

static void *restarter_main(void *arg)
{
    struct restarter *r = arg;
    struct alarm *a;

    while ((a = next_alarm(r))) {
        begin(r->core, &a->vm);
        free(a);
    }
    return NULL;
}

void restart_forget(struct core *core, struct vm *vm)
{
    const enum vm_desired off = VM_DESIRED_OFF;
    const struct vm_change change = {.keep_run = true, .desired = &off};
    struct err err = {0};

    if (vm_is(core, vm, is_due, NULL) && !vm_change_state(core, vm, &change, &err))
        log_error("a restart of %s was not forgotten: %s", VM_NAME(core, vm), err.detail);
}

/* What an earlier daemon had planned. */
static void take_up(struct core *core, bool host_reset)
{
    struct vm **vms;
    size_t n;

    vms = vm_get_all(core, &n);
    for (size_t i = 0; i < n; i++) {
        int64_t due_ms;

        lock_take(&core->registry.lock);
        due_ms = restart_is_due(vms[i]) ? vms[i]->restarts->due_ms : 0;
        lock_drop(&core->registry.lock);
        if (due_ms && host_reset)
            restart_forget(core, vms[i]);
        else if (due_ms)
            restart_arm(core, &vms[i]->id, due_ms);
    }
    vm_put_all(core, vms);
}

struct restarter *restarter_new(struct core *core)
{
    struct restarter *r = mem_alloc(sizeof *r);

    r->core = core;
    lock_init(&r->lock);
    cond_init(&r->woken);
    return r;
}

bool restarter_start(struct restarter *r, bool host_reset, struct err *err)
{
    r->started = thread_start(&r->thread, "restarter", restarter_main, r, err);
    if (r->started)
        take_up(r->core, host_reset);
    return r->started;
}

void restarter_stop(struct restarter *r)
{
    if (!r || !r->started)
        return;
    lock_take(&r->lock);
    r->stopping = true;
    cond_wake_all(&r->woken);
    lock_drop(&r->lock);
    pthread_join(r->thread, NULL);
    r->started = false;
}

void restarter_free(struct restarter *r)
{
    if (!r)
        return;
    for (struct alarm *a = r->alarms, *next; a; a = next) {
        next = a->next;
        free(a);
    }
    cond_clear(&r->woken);
    lock_clear(&r->lock);
    free(r);
}
