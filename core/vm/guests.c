/* All guests down, before the host goes down (H-HOST in docs/durability.md): each VM by its
 * host_shutdown action, all at the same time.
 *
 *   1 the job                                                 at the request
 *   2 each VM; "save": an operation of its own, vm.save; "shutdown": claimed, the power button,
 *     desired 'off'; else and when it is held by something else: forced off
 *   3 wait; a save that fails, is refused or takes too long is cancelled, and the VM gets the power
 *     button; who is not off when its time is over is forced off
 *
 * Entered again after a restart of the daemon it looks at who is still there and begins anew with
 * those; a save that goes on is waited for. Ends when no VM lives any more. */
#include "core/vm/vm.h"

#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/vm/kinds.h"
#include "core/vm/registry.h"
#include "core/vm/restart.h"
#include "core/vm/save.h"

#include <stdlib.h>

#define THREADS 16
#define LOOK_MS 500
#define HELD_MS 5000 /* what an operation that was asked to end may take */

struct guest {
    struct vm *vm;
    int64_t began_mono_ms, deadline_mono_ms; /* something else is tried then */
    struct uuid save;                        /* the operation that saves it; zero: none */
    bool was_live, called_off, forced, failed;
    int64_t took_ms; /* until it was down; -1: it is not */
};

struct guests {
    struct core *core;
    struct job *job;
    struct guest *list;
    size_t n;
    atomic_size_t next;
    void (*each)(struct guests *guests, struct guest *guest);
};

bool guests_shutdown(struct core *core, const struct origin *origin, struct uuid *op,
                     struct err *err)
{
    struct job_order order = {.kind = &guests_shutdown_kind};

    *op = (struct uuid){0};
    if (origin->dry_run)
        return true;
    *op = order.id = uuid_new();
    return job_submit(core, &order, origin, err);
}

/* ---- in parallel ---- */

static void *crowd_main(void *arg)
{
    struct guests *g = arg;
    size_t i;

    while ((i = atomic_fetch_add(&g->next, 1)) < g->n)
        g->each(g, &g->list[i]);
    return NULL;
}

static void for_each(struct guests *g, void (*each)(struct guests *, struct guest *))
{
    pthread_t threads[THREADS];
    struct err err = {0};
    unsigned started = 0;

    g->each = each;
    atomic_store(&g->next, 0);
    while (started < THREADS && started + 1 < g->n &&
           thread_start(&threads[started], "guests", crowd_main, g, &err))
        started++;
    crowd_main(g);
    for (unsigned i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
}

/* ---- one VM ---- */

static bool is_live(const struct vm *vm, void *ctx)
{
    return vm_run_is_live(vm->run) || vm->ending;
}

static bool is_down(const struct vm *vm, void *ctx)
{
    return !is_live(vm, NULL);
}

static bool is_saved(const struct vm *vm, void *ctx)
{
    return vm->run == VM_SAVED;
}

static bool is_held_by(const struct vm *vm, void *ctx)
{
    const struct uuid *job = ctx;

    return uuid_eq(&vm->job, job);
}

static bool is_free_or_down(const struct vm *vm, void *ctx)
{
    return uuid_is_zero(&vm->job) || is_down(vm, NULL);
}

static void force_off(struct guests *g, struct guest *guest)
{
    struct err err = {0};

    if (vm_is(g->core, guest->vm, is_down, NULL))
        return;
    guest->forced = true;
    guest->failed = !vm_force_off(g->core, guest->vm, job_id(g->job), &err);
    if (guest->failed)
        log_error("%s could not be forced off: %s", VM_NAME(g->core, guest->vm), err.detail);
}

static void give_time(struct guests *g, struct guest *guest)
{
    lock_take(&g->core->registry.lock);
    guest->deadline_mono_ms =
        clock_mono_ms() + guest->vm->spec.host_shutdown.timeout_s * INT64_C(1000);
    lock_drop(&g->core->registry.lock);
}

/* What holds the VM is asked to end. */
static void free_it(struct guests *g, struct vm *vm)
{
    vm_cancel_holder(g->core, vm, job_id(g->job));
    (void)vm_wait(g->core, vm, is_free_or_down, NULL, clock_mono_ms() + HELD_MS);
}

/* Takes the VM for this job. */
static bool claim(struct guests *g, struct vm *vm, struct err *err)
{
    const struct uuid *job = job_id(g->job);
    struct err held = {0};

    if (vm_claim_free(g->core, vm, job, guests_shutdown_kind.name, &held))
        return true;
    err_ignore(false, &held);
    free_it(g, vm);
    return vm_claim_free(g->core, vm, job, guests_shutdown_kind.name, err);
}

static bool wants_button(const struct vm *vm, void *ctx)
{
    return vm->spec.host_shutdown.action != HOST_STOP_GUEST && vm->run == VM_RUNNING;
}

static void bring_off(struct guests *g, struct guest *guest)
{
    struct vm *vm = guest->vm;
    struct err err = {0};

    if (vm_is(g->core, vm, is_down, NULL))
        return;
    give_time(g, guest);
    if (claim(g, vm, &err) && vm_is(g->core, vm, wants_button, NULL) &&
        vm_press_button(g->core, vm, &err))
        return;
    if (err.code)
        log_warn("%s is forced off: %s", VM_NAME(g->core, vm), err.detail);
    force_off(g, guest);
}

/* ---- one that is to be saved ---- */

static bool wants_save(const struct vm *vm, void *ctx)
{
    return vm->spec.host_shutdown.action == HOST_SAVE_GUEST &&
           (vm->run == VM_RUNNING || vm->run == VM_PAUSED);
}

/* One that is being saved already, by whomever, is waited for. */
static bool is_being_saved(struct guests *g, struct guest *guest)
{
    const struct vm *vm = guest->vm;

    lock_take(&g->core->registry.lock);
    if (vm->job_kind == vm_save_kind.name)
        guest->save = vm->job;
    lock_drop(&g->core->registry.lock);
    return !uuid_is_zero(&guest->save);
}

static bool begin_save(struct guests *g, struct guest *guest)
{
    const struct origin origin = {
        .principal = "vmmd", .role = ROLE_ADMIN, .route = "host-shutdown"};
    struct vm *vm = guest->vm;
    struct err err = {0};

    if (is_being_saved(g, guest))
        return true;
    if (!vm_is(g->core, vm, wants_save, NULL))
        return false;
    if (!FAILPOINT("host.shutdown.save", &err))
        return false;
    if (vm_save(g->core, vm, true, &origin, &guest->save, &err))
        return true;
    if (err.code == ERR_BUSY) {
        err = (struct err){0};
        free_it(g, vm);
        if (vm_save(g->core, vm, true, &origin, &guest->save, &err))
            return true;
    }
    guest->save = (struct uuid){0};
    log_warn("%s is shut down in place of saved: %s", VM_NAME(g->core, vm), err.detail);
    return false;
}

/* Its operation goes on, or it has ended one way or the other. */
static void look_at_save(struct guests *g, struct guest *guest)
{
    if (vm_is(g->core, guest->vm, is_held_by, &guest->save)) {
        if (clock_left_ms(guest->deadline_mono_ms))
            return;
        if (guest->called_off) { /* and it did not end for that */
            force_off(g, guest);
            return;
        }
        log_warn("%s is not saved in its time", VM_NAME(g->core, guest->vm));
        guest->called_off = true;
        guest->deadline_mono_ms = clock_mono_ms() + HELD_MS;
        job_ask_cancel(g->core, &guest->save);
        return;
    }
    guest->save = (struct uuid){0};
    bring_off(g, guest);
}

static void call_off(struct guests *g, struct guest *guest)
{
    if (!uuid_is_zero(&guest->save))
        job_ask_cancel(g->core, &guest->save);
}

/* ---- all of them ---- */

static void begin(struct guests *g, struct guest *guest)
{
    restart_forget(g->core, guest->vm);
    if (vm_is(g->core, guest->vm, is_down, NULL))
        return;
    give_time(g, guest);
    if (!begin_save(g, guest))
        bring_off(g, guest);
}

static void look(struct guests *g, struct guest *guest)
{
    if (guest->forced || guest->took_ms >= 0)
        return;
    if (!uuid_is_zero(&guest->save))
        look_at_save(g, guest);
    else if (clock_left_ms(guest->deadline_mono_ms) == 0)
        force_off(g, guest);
}

/* ---- the job ---- */

/* A VM that is saved is down when QEMU is gone, which its operation sees to. */
static bool is_under_way(struct guests *g, struct guest *guest)
{
    return vm_is(g->core, guest->vm, is_live, NULL) ||
           (!uuid_is_zero(&guest->save) && vm_is(g->core, guest->vm, is_held_by, &guest->save));
}

static size_t live_ones(struct guests *g)
{
    size_t live = 0;

    for (size_t i = 0; i < g->n; i++) {
        struct guest *guest = &g->list[i];

        if (is_under_way(g, guest))
            live++;
        else if (guest->took_ms < 0)
            guest->took_ms = clock_mono_ms() - guest->began_mono_ms;
    }
    return live;
}

static bool some_failed(const struct guests *g)
{
    for (size_t i = 0; i < g->n; i++)
        if (g->list[i].failed)
            return true;
    return false;
}

static void gather(struct guests *g, struct vm **vms, size_t n)
{
    g->list = mem_array(n + 1, sizeof *g->list);
    for (size_t i = 0; i < n; i++)
        g->list[g->n++] = (struct guest){.vm = vms[i],
                                         .began_mono_ms = clock_mono_ms(),
                                         .took_ms = -1,
                                         .was_live = vm_is(g->core, vms[i], is_live, NULL)};
}

/* Waits for a change of any of them, a deadline, or half a second. */
static void await_some(struct guests *g)
{
    struct registry *r = &g->core->registry;

    lock_take(&r->lock);
    (void)cond_wait_until(&r->changed, &r->lock, clock_mono_ms() + LOOK_MS);
    lock_drop(&r->lock);
}

static json_t *how_it_went(const struct guests *g, const struct guest *guest)
{
    json_t *v = json_object();
    bool saved = vm_is(g->core, guest->vm, is_saved, NULL);

    json_put_text(v, "vm", VM_NAME(g->core, guest->vm));
    json_put_text(v, "how", saved ? "saved" : guest->forced ? "forced-off" : "shut-down");
    json_put_u64(v, "ms", guest->took_ms > 0 ? (uint64_t)guest->took_ms : 0);
    return v;
}

static json_t *result(const struct guests *g, size_t were_live)
{
    json_t *v = json_object(), *took = json_array();
    uint64_t forced = 0, saved = 0;

    for (size_t i = 0; i < g->n; i++) {
        const struct guest *guest = &g->list[i];

        forced += guest->forced;
        saved += guest->was_live && vm_is(g->core, guest->vm, is_saved, NULL);
        if (guest->was_live)
            json_array_append_new(took, how_it_went(g, guest));
    }
    json_put_u64(v, "guests", were_live);
    json_put_u64(v, "saved", saved);
    json_put_u64(v, "forced_off", forced);
    json_put(v, "took", took);
    return v;
}

static bool bring_down(struct guests *g, struct err *err)
{
    size_t were_live = live_ones(g), live;

    if (!FAILPOINT("host.shutdown.begin", err))
        return false;
    if (!job_cancelled(g->job)) /* as one that is entered again may be: nobody else is asked */
        for_each(g, begin);
    while ((live = live_ones(g)) > 0) {
        job_progress(g->job, were_live > live ? were_live - live : 0, were_live);
        if (job_cancelled(g->job)) {
            for_each(g, call_off);
            return err_set(err, ERR_CANCELLED, "cancelled; guests that were asked may still obey");
        }
        if (some_failed(g))
            return err_set(err, ERR_INTERNAL,
                           "%zu guests could not be forced off: the daemon's log says why", live);
        for_each(g, look);
        await_some(g);
    }
    job_progress(g->job, were_live, were_live);
    job_set_result(g->job, result(g, were_live));
    return true;
}

static bool run(struct core *core, struct job *job, struct err *err)
{
    struct guests g = {.core = core, .job = job};
    struct vm **vms;
    size_t n;
    bool ok;

    vms = vm_get_all(core, &n);
    gather(&g, vms, n);
    ok = bring_down(&g, err);
    free(g.list);
    vm_put_all(core, vms);
    return ok;
}

/* Who was asked and did not obey runs on, as after a shutdown that failed. */
static void settle(struct core *core, struct job *job, bool ok)
{
    struct vm **vms;
    size_t n;

    vms = vm_get_all(core, &n);
    for (size_t i = 0; i < n; i++) {
        bool ours;

        lock_take(&core->registry.lock);
        ours = uuid_eq(&vms[i]->job, job_id(job));
        lock_drop(&core->registry.lock);
        if (!ours)
            continue;
        if (!ok)
            vm_shutdown_given_up(core, vms[i]);
        vm_unclaim(core, vms[i], job_id(job));
    }
    vm_put_all(core, vms);
}

const struct job_kind guests_shutdown_kind = {.name = "host.shutdown-guests",
                                              .lane = JOB_LANE_LIFECYCLE,
                                              .cancellable = true,
                                              .run = run,
                                              .settle = settle};
