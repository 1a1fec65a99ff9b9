/* Snapshots by schedule (docs/snapshots.md). Nothing is remembered but the snapshots themselves,
 * which say in their names when they were due: after a time without a daemon the newest one tells
 * that one is missing, and one is taken.
 *
 * Each look begins at most one operation for a VM, by the calls that the API uses: taking what is
 * due, else, and where that is refused, deleting the oldest that the schedule does not keep. What
 * is refused because the VM is busy is tried at the next look; what fails otherwise in the next
 * interval, with an event. Where a deletion did not help, the younger ones have their turn, and it
 * an hour later. */
#include "core/snap/schedule.h"

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/job/job.h"
#include "core/snap/retention.h"
#include "core/snap/snap.h"
#include "core/snap/tree.h"
#include "core/vm/registry.h"

#include <stdlib.h>
#include <string.h>

static atomic_bool clock_stands;

#define REST_MS INT64_C(3600000)

static const struct origin self = {
    .principal = "vmmd", .role = ROLE_ADMIN, .route = "snapshot_schedule"};

struct look {
    struct core *core;
    struct vm *vm;
    int64_t now_ms;
    struct vm_schedule schedule;
    bool is_free;    /* no operation holds it, and it is in a state to be worked on */
    bool unchanged;  /* off since before the newest was taken */
    int64_t *taken;  /* newest first */
    struct uuid *id; /* the same */
    size_t n;
};

static void look_clear(struct look *l)
{
    free(l->taken);
    free(l->id);
}

/* Keeps them in order: there are at most SNAPSHOTS_MAX, mostly in order already. */
static void add(struct look *l, const struct snapshot *s)
{
    int64_t at_ms;
    size_t i = 0;

    if (!retention_parse(s->name, &at_ms))
        return;
    while (i < l->n && l->taken[i] > at_ms)
        i++;
    l->taken = mem_resize(l->taken, l->n + 1, sizeof *l->taken);
    l->id = mem_resize(l->id, l->n + 1, sizeof *l->id);
    memmove(l->taken + i + 1, l->taken + i, (l->n - i) * sizeof *l->taken);
    memmove(l->id + i + 1, l->id + i, (l->n - i) * sizeof *l->id);
    l->taken[i] = at_ms;
    l->id[i] = s->id;
    l->n++;
}

static void read_vm(struct look *l)
{
    struct vm *vm = l->vm;

    lock_take(&l->core->registry.lock);
    l->schedule = vm->spec.snapshot_schedule;
    l->is_free =
        vm->phase == VM_DEFINED && uuid_is_zero(&vm->job) && vm_may(VM_VERB_SNAPSHOT, vm->run);
    for (struct snapshot *s = l->schedule.every_min ? vm->snapshots : NULL; s; s = s->next)
        add(l, s);
    l->unchanged = l->n && !vm_run_is_live(vm->run) && vm->state_since_ms < l->taken[0];
    lock_drop(&l->core->registry.lock);
}

/* ---- taking ---- */

/* Until the next slot no other is tried. */
static void miss(struct look *l, int64_t at_ms, const char *code, const char *detail)
{
    CLEANUP(store_rollback) struct store_txn *txn = NULL;
    json_t *data = json_object();
    char name[NAME_MAX_BYTES + 1];
    struct err err = {0};

    l->vm->schedule.missed_slot = schedule_slot(&l->schedule, at_ms);
    retention_name(at_ms, name);
    log_warn("the snapshot %s of %s was not taken: %s", name, VM_NAME(l->core, l->vm), detail);
    json_put_text(data, "name", name);
    json_put_text(data, "vm", UUID_STR(&l->vm->id));
    json_put_text(data, "code", code);
    json_put_text(data, "detail", detail);
    txn = store_begin(l->core->store, &err);
    if (!txn)
        json_decref(data);
    else if (event_add(txn, "snapshot.missed", "vm", &l->vm->id, data, &err) &&
             store_commit(&txn, &err))
        events_ring(l->core);
    if (err.code)
        log_warn("%s", err.detail);
}

/* What the operation that was begun for this slot has come to, which is due still: a full pool is
 * seen there, not by the request. NULL: none was begun. */
static json_t *begun(struct look *l)
{
    struct err err = {0};

    if (schedule_slot(&l->schedule, l->vm->schedule.begun_ms) !=
        schedule_slot(&l->schedule, l->now_ms))
        return NULL;
    return job_show(l->core, &l->vm->schedule.begun, &err);
}

static bool begin(struct look *l)
{
    char name[NAME_MAX_BYTES + 1];
    struct err err = {0};

    retention_name(l->now_ms, name);
    l->vm->schedule.begun_ms = l->now_ms;
    if (snapshot_create(l->core, UUID_STR(&l->vm->id), name, "taken by the schedule", &self,
                        &l->vm->schedule.begun, &err))
        return true;
    l->vm->schedule.begun_ms = 0;
    if (err.code != ERR_BUSY && err.code != ERR_EXISTS)
        miss(l, l->now_ms, err_slug(err.code), err.detail);
    return false;
}

/* False: nothing was begun. */
static bool take(struct look *l)
{
    CLEANUP(json_decrefp) json_t *op = NULL;
    const json_t *error;

    if (l->vm->schedule.missed_slot == schedule_slot(&l->schedule, l->now_ms))
        return false;
    op = begun(l);
    error = json_object_get(op, "error");
    if (json_is_object(error)) {
        miss(l, l->vm->schedule.begun_ms, json_get_text(error, "code"),
             json_get_text(error, "detail"));
        return false;
    }
    if (op && !json_get_text(op, "ended_at")) /* it has let go of its VM already */
        return true;
    return begin(l); /* where one was taken it was deleted since */
}

/* ---- deleting ---- */

/* What was to be deleted and is still there stands in no other's way. */
static void look_back(struct look *l)
{
    const struct uuid tried = l->vm->schedule.dropped;

    if (l->now_ms >= l->vm->schedule.again_ms)
        l->vm->schedule.stuck_ms = 0;
    l->vm->schedule.dropped = (struct uuid){0};
    for (size_t i = 0; i < l->n; i++) {
        if (!uuid_eq(&l->id[i], &tried))
            continue;
        if (!l->vm->schedule.stuck_ms)
            l->vm->schedule.again_ms = l->now_ms + REST_MS;
        l->vm->schedule.stuck_ms = l->taken[i];
    }
}

/* The oldest that is not kept, younger than what could not be deleted; NULL. */
static const struct uuid *surplus(struct look *l)
{
    bool stays[SNAPSHOTS_MAX + 1];

    if (l->n > SNAPSHOTS_MAX)
        return NULL;
    retention_choose(&l->schedule, l->taken, l->n, stays);
    for (size_t i = l->n; i--;)
        if (!stays[i] && l->taken[i] > l->vm->schedule.stuck_ms)
            return &l->id[i];
    return NULL;
}

static void drop(struct look *l)
{
    const struct uuid *id;
    struct err err = {0};
    struct uuid op;

    look_back(l);
    id = surplus(l);
    if (!id)
        return;
    l->vm->schedule.dropped = *id;
    if (snapshot_delete(l->core, UUID_STR(&l->vm->id), UUID_STR(id), NULL, &self, &op, &err))
        return;
    if (err.code == ERR_BUSY)
        l->vm->schedule.dropped = (struct uuid){0}; /* which says nothing of it */
    else
        log_warn("a snapshot of %s that its schedule does not keep stays: %s",
                 VM_NAME(l->core, l->vm), err.detail);
}

/* ---- */

static void look_at(struct core *core, struct vm *vm, int64_t now_ms)
{
    CLEANUP(look_clear) struct look l = {.core = core, .vm = vm, .now_ms = now_ms};

    read_vm(&l);
    if (!l.schedule.every_min || !l.is_free)
        return;
    if (l.unchanged || !schedule_is_due(&l.schedule, l.taken, l.n, now_ms) || !take(&l))
        drop(&l);
}

void schedules_look(struct core *core, int64_t now_ms)
{
    struct vm **vms;
    size_t n;

    vms = vm_get_all(core, &n);
    for (size_t i = 0; i < n && !atomic_load(&core->closing); i++)
        look_at(core, vms[i], now_ms);
    vm_put_all(core, vms);
}

void schedules_tick(struct core *core)
{
    if (!atomic_load(&clock_stands))
        schedules_look(core, clock_wall_ms());
}

void schedules_stop_clock(void)
{
    atomic_store(&clock_stands, true);
}
