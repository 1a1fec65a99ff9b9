/* All guests down, before the host goes down (H-HOST in docs/durability.md): each VM by its
 * host_shutdown action, all at the same time.
 *
 *   1 the job                                                 at the request
 *   2 each VM claimed; "shutdown": the power button, desired 'off'; else and when it is held by
 *     something else: forced off
 *   3 wait; who is not off when its time is over is forced off
 *
 * Entered again after a restart of the daemon it looks at who is still there and begins anew with
 * those. Ends when no VM lives any more. */
#include "core/vm/vm.h"

#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/vm/kinds.h"
#include "core/vm/registry.h"
#include "core/vm/restart.h"

#include <stdlib.h>

#define THREADS 16
#define LOOK_MS 500
#define HELD_MS 5000 /* what an operation that was asked to end may take */

struct guest {
    struct vm *vm;
    int64_t deadline_mono_ms; /* forced off then */
    bool forced, failed;
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

static void force_off_late(struct guests *g, struct guest *guest)
{
    if (!guest->forced && clock_left_ms(guest->deadline_mono_ms) == 0)
        force_off(g, guest);
}

/* Takes the VM for this job; what holds it is asked to end. */
static bool claim(struct guests *g, struct vm *vm, struct err *err)
{
    const struct uuid *job = job_id(g->job);

    if (vm_claim_free(g->core, vm, job, guests_shutdown_kind.name, err))
        return true;
    vm_cancel_holder(g->core, vm, job);
    (void)vm_wait(g->core, vm, is_free_or_down, NULL, clock_mono_ms() + HELD_MS);
    return vm_claim_free(g->core, vm, job, guests_shutdown_kind.name, err);
}

static bool wants_button(const struct vm *vm, void *ctx)
{
    return vm->spec.host_shutdown.action == HOST_SHUTDOWN_GUEST && vm->run == VM_RUNNING;
}

static void begin(struct guests *g, struct guest *guest)
{
    struct vm *vm = guest->vm;
    struct err err = {0};

    restart_forget(g->core, vm);
    if (vm_is(g->core, vm, is_down, NULL))
        return;
    lock_take(&g->core->registry.lock);
    guest->deadline_mono_ms = clock_mono_ms() + vm->spec.host_shutdown.timeout_s * INT64_C(1000);
    lock_drop(&g->core->registry.lock);
    if (claim(g, vm, &err) && vm_is(g->core, vm, wants_button, NULL) &&
        vm_press_button(g->core, vm, &err))
        return;
    if (err.code)
        log_warn("%s is forced off: %s", VM_NAME(g->core, vm), err.detail);
    force_off(g, guest);
}

/* ---- the job ---- */

static size_t live_ones(struct guests *g)
{
    size_t live = 0;

    for (size_t i = 0; i < g->n; i++)
        live += vm_is(g->core, g->list[i].vm, is_live, NULL);
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
        g->list[g->n++] = (struct guest){.vm = vms[i]};
}

/* Waits for a change of any of them, a deadline, or half a second. */
static void await_some(struct guests *g)
{
    struct registry *r = &g->core->registry;

    lock_take(&r->lock);
    (void)cond_wait_until(&r->changed, &r->lock, clock_mono_ms() + LOOK_MS);
    lock_drop(&r->lock);
}

static json_t *result(const struct guests *g, size_t were_live)
{
    json_t *v = json_object();
    uint64_t forced = 0;

    for (size_t i = 0; i < g->n; i++)
        forced += g->list[i].forced;
    json_put_u64(v, "guests", were_live);
    json_put_u64(v, "forced_off", forced);
    return v;
}

static bool bring_down(struct guests *g, struct err *err)
{
    size_t were_live = live_ones(g), live;

    if (!FAILPOINT("host.shutdown.begin", err))
        return false;
    for_each(g, begin);
    while ((live = live_ones(g)) > 0) {
        job_progress(g->job, were_live > live ? were_live - live : 0, were_live);
        if (job_cancelled(g->job))
            return err_set(err, ERR_CANCELLED, "cancelled; guests that were asked may still obey");
        if (some_failed(g))
            return err_set(err, ERR_INTERNAL,
                           "%zu guests could not be forced off: the daemon's log says why", live);
        for_each(g, force_off_late);
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
