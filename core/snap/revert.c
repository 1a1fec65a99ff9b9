/* Reverting a VM to one of its snapshots (docs/storage.md, docs/memory.md):
 *
 *   1 job, rows of new leaves on the snapshot's files 'creating'     one transaction, at the
 * request 2 they are made; a VM that runs is forced off 3 * disks write to them, the configuration
 * is the snapshot's (but the name), the old leaves 'trash', the VM stands on the snapshot; with the
 * guest's memory it is 'saved' with that image, and lets go of one that it had one transaction 4
 * firmware variables put back, old leaves removed 5 step "start"; it is started, if it had run or
 * goes on from its memory, unless declined
 *
 * Before 3 the new leaves go; after it only forward. */
#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/change.h"
#include "core/disk/disks.h"
#include "core/host/host.h"
#include "core/host/memory.h"
#include "core/ram/image.h"
#include "core/snap/reverting.h"
#include "core/snap/snap.h"
#include "core/snap/tree.h"
#include "core/vm/kinds.h"
#include "core/vm/registry.h"

#include <stdlib.h>
#include <string.h>

/* ---- the request ---- */

struct rows {
    const struct overlay *overlays;
    size_t n;
    const struct uuid *job;
};

static bool write_rows(struct store_txn *txn, void *ctx, struct err *err)
{
    const struct rows *rows = ctx;

    return overlays_write(txn, rows->overlays, rows->n, "creating", rows->job, err) &&
           FAILPOINT("vm.revert.rows", err);
}

/* The snapshot's disks, copied: the list may change once the lock is dropped. */
static struct snapshot *copy_of(struct core *core, struct vm *vm, const char *ref, struct err *err)
{
    struct snapshot *found, *copy = NULL;

    lock_take(&core->registry.lock);
    found = snapshot_need(core, vm, ref, err);
    if (found) {
        copy = mem_dup(found, sizeof *found);
        copy->name = str_dup(found->name);
        copy->notes = str_dup(found->notes);
        copy->spec = str_dup(found->spec);
        copy->memory_note = str_dup(found->memory_note);
        copy->disks =
            found->n_disks ? mem_dup(found->disks, found->n_disks * sizeof *found->disks) : NULL;
    }
    lock_drop(&core->registry.lock);
    return copy;
}

static void drop_copy(struct snapshot **copy)
{
    if (*copy)
        snapshot_free(*copy);
}

/* ---- what can be refused before anything begins ---- */

static void drop_image(struct ram_image **image)
{
    ram_image_free(*image);
}

static bool is_live(const struct vm *vm, void *ctx)
{
    return vm_run_is_live(vm->run);
}

/* What runs gives its own memory back first. */
static bool check_room(struct core *core, struct vm *vm, const struct vm_spec *spec,
                       struct err *err)
{
    uint64_t promised = 0;
    bool ok = vm_is(core, vm, is_live, NULL) || memory_promise(core, spec, &promised, err);

    if (ok)
        memory_release(core, promised);
    return ok;
}

/* The image is whole, and the host goes on with it. */
static bool check_memory(struct core *core, struct vm *vm, const struct uuid *id, bool start,
                         struct err *err)
{
    CLEANUP(drop_image) struct ram_image *image = ram_image_get(core, id, err);
    CLEANUP(vm_spec_freep)
    struct vm_spec *spec = image ? ram_image_spec(core, vm, id, err) : NULL;
    CLEANUP(closep) int fd = spec ? ram_image_open(core, id, err) : -1;
    const struct backend *backend = core_backend(vm->backend);
    char reason[256];
    enum vm_accel accel;

    return fd >= 0 && host_choose_accel(core, (enum vm_accel)spec->accel, &accel, reason, err) &&
           (!backend->memory_fits || backend->memory_fits(image->made, spec, accel, err)) &&
           (!start || check_room(core, vm, spec, err));
}

bool revert_check(struct core *core, struct vm *vm, const char *snapshot, bool start,
                  struct err *err)
{
    struct uuid image = {0};
    struct snapshot *s;

    lock_take(&core->registry.lock);
    s = snapshot_need(core, vm, snapshot, err);
    if (s)
        image = s->memory;
    lock_drop(&core->registry.lock);
    return s && (uuid_is_zero(&image) || check_memory(core, vm, &image, start, err));
}

static bool runs(const struct vm *vm, void *ctx)
{
    return vm->run == VM_RUNNING || vm->run == VM_PAUSED;
}

bool snapshot_revert(struct core *core, const char *ref, const char *snapshot,
                     const struct origin *origin, struct uuid *op, struct err *err)
{
    return snapshot_revert_to(core, ref, snapshot, true, origin, op, err);
}

bool snapshot_revert_to(struct core *core, const char *ref, const char *snapshot, bool start,
                        const struct origin *origin, struct uuid *op, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get(core, ref, err)};
    CLEANUP(drop_copy) struct snapshot *to = NULL;
    CLEANUP(json_decrefp) json_t *args = json_object();
    CLEANUP(mem_freep) struct overlay *overlays = NULL;
    struct rows rows = {.job = op};
    bool ok;

    *op = (struct uuid){0};
    if (!hold.vm || !revert_check(core, hold.vm, snapshot, start, err))
        return false;
    lock_take(&hold.vm->writing);
    to = copy_of(core, hold.vm, snapshot, err);
    overlays = to ? overlays_plan_on(core, &hold.vm->id, to->disks, to->n_disks, err) : NULL;
    rows.n = to ? to->n_disks : 0;
    rows.overlays = overlays;
    if (overlays) {
        json_put_text(args, "snapshot", UUID_STR(&to->id));
        json_put(args, "disks", overlays_json(overlays, rows.n));
        json_put_bool(args, "start",
                      start && (!uuid_is_zero(&to->memory) || vm_is(core, hold.vm, runs, NULL)));
    }
    ok = overlays &&
         vm_submit(core, hold.vm, VM_VERB_REVERT, args, origin, op, write_rows, &rows, err);
    lock_drop(&hold.vm->writing);
    return ok;
}

/* ---- the operation ---- */

struct work {
    struct core *core;
    struct job *job;
    struct vm *vm;
    struct uuid id; /* of the snapshot */
    struct overlay *overlays;
    size_t n;
};

static void work_clear(struct work *w)
{
    free(w->overlays);
}

static bool begin(struct work *w, struct err *err)
{
    if (!w->vm || !uuid_parse(json_get_text(job_args(w->job), "snapshot"), &w->id))
        return w->vm && err_set(err, ERR_INTERNAL, "the operation has no snapshot");
    w->overlays = overlays_of_job(w->core, &w->vm->id, job_args(w->job), &w->n, err);
    return w->overlays != NULL;
}

/* Step 3 was committed: the disks write to the new leaves. */
static bool is_done(struct work *w)
{
    bool done = w->n > 0;

    lock_take(&w->core->registry.lock);
    for (size_t i = 0; i < w->n; i++) {
        struct disk *disk = disk_find(w->core, &w->overlays[i].disk);
        done &= disk && uuid_eq(&disk->leaf, &w->overlays[i].file);
    }
    done &= uuid_eq(&w->vm->stands_on, &w->id);
    lock_drop(&w->core->registry.lock);
    return done;
}

/* What changes with the commit. */
struct change {
    struct layer *old; /* files that nobody needs once the disks write elsewhere */
    size_t n_old;
    struct disk *disks; /* as they will be, one an overlay */
    struct uuid *gone;  /* disks that the snapshot does not have */
    size_t n_gone;
    struct uuid memory; /* that the VM goes on with; zero: none */
    char *leaves;       /* ... and the files of its disks */
    struct uuid before; /* that it lets go of; zero: none */
    bool last;          /* ... nobody needs it any more */
    const char *run;    /* what it is then */
};

static void change_clear(struct change *c)
{
    free(c->old);
    free(c->disks);
    free(c->gone);
    free(c->leaves);
}

static bool is_kept(const struct work *w, const struct uuid *disk)
{
    for (size_t i = 0; i < w->n; i++)
        if (uuid_eq(&w->overlays[i].disk, disk))
            return true;
    return false;
}

/* The VM's disks as they are: those that go, and all leaves. */
static struct uuid *look_at_disks(struct work *w, struct change *c, size_t *n)
{
    struct uuid *leaves = NULL;

    *n = 0;
    lock_take(&w->core->registry.lock);
    for (struct disk *d = disks_of(w->core, &w->vm->id); d; d = d->next) {
        leaves = mem_resize(leaves, *n + 1, sizeof *leaves);
        leaves[(*n)++] = d->leaf;
        if (is_kept(w, &d->id))
            continue;
        c->gone = mem_resize(c->gone, c->n_gone + 1, sizeof *c->gone);
        c->gone[c->n_gone++] = d->id;
    }
    lock_drop(&w->core->registry.lock);
    return leaves;
}

static void find_old(struct work *w, struct change *c)
{
    CLEANUP(mem_freep) struct uuid *leaves = NULL;
    size_t n;

    leaves = look_at_disks(w, c, &n);
    for (size_t i = 0; i < n; i++) {
        CLEANUP(mem_freep) struct layer *own = NULL;
        size_t n_own;
        own = disk_own_files(w->core, w->vm, &leaves[i], &n_own);
        c->old = mem_resize(c->old, c->n_old + n_own + 1, sizeof *c->old);
        for (size_t k = 0; k < n_own; k++)
            c->old[c->n_old++] = own[k];
    }
}

static unsigned position_in(const struct snapshot *s, const struct uuid *disk)
{
    for (size_t i = 0; i < s->n_disks; i++)
        if (uuid_eq(&s->disks[i].disk, disk))
            return s->disks[i].position;
    return 0;
}

/* Disks that are gone come back where they were. */
static void plan_disks(struct work *w, const struct vm_spec *spec, struct change *c)
{
    c->disks = mem_array(w->n + 1, sizeof *c->disks);
    lock_take(&w->core->registry.lock);
    for (size_t i = 0; i < w->n; i++) {
        const struct overlay *o = &w->overlays[i];
        const struct vm_disk *then = spec_disk(spec, &o->disk);
        struct snapshot *s = snapshot_get(w->vm, &w->id);
        struct disk *now = disk_find(w->core, &o->disk), *d = &c->disks[i];
        if (now)
            *d = *now;
        else
            *d = (struct disk){.id = o->disk,
                               .vm = w->vm->id,
                               .position = s ? position_in(s, &o->disk) : 0,
                               .format = then ? then->format : o->layer.format,
                               .bus = then ? then->bus : DISK_BUS_VIRTIO,
                               .created_ms = clock_wall_ms()};
        d->pool = o->layer.pool;
        d->size_bytes = o->layer.size_bytes;
        d->leaf = o->file;
    }
    lock_drop(&w->core->registry.lock);
}

static void plan_memory(struct work *w, struct change *c)
{
    struct snapshot *s;

    lock_take(&w->core->registry.lock);
    s = snapshot_get(w->vm, &w->id);
    if (s)
        c->memory = s->memory;
    c->before = w->vm->memory;
    c->run = !uuid_is_zero(&c->memory) ? vm_run_text(VM_SAVED)
             : w->vm->run == VM_SAVED  ? vm_run_text(VM_OFF)
                                       : NULL;
    lock_drop(&w->core->registry.lock);
    if (!uuid_is_zero(&c->memory))
        c->leaves = ram_leaves_text(c->disks, w->n);
}

/* The configuration as it was, under today's name and with an identity of its own: what is
 * remembered of the future must not repeat itself. */
static struct vm_spec *spec_of(struct work *w, struct err *err)
{
    CLEANUP(json_decrefp) json_t *json = NULL;
    struct vm_spec *spec = mem_alloc(sizeof *spec);
    struct snapshot *s;

    lock_take(&w->core->registry.lock);
    s = snapshot_get(w->vm, &w->id);
    json = s ? json_loads(s->spec, 0, NULL) : NULL;
    if (json)
        json_put_text(json, "name", w->vm->spec.name);
    lock_drop(&w->core->registry.lock);
    if (!json)
        err_set(err, ERR_NOT_FOUND, "the snapshot is gone");
    else if (model_decode(&vm_model, json, MODEL_STORED, spec, err)) {
        if (!uuid_is_zero(&spec->generation_id))
            spec->generation_id = uuid_new();
        return spec;
    }
    free(spec);
    return NULL;
}

static json_t *event_of(const struct work *w)
{
    json_t *data = json_object();

    json_put_text(data, "name", w->vm->name);
    json_put_text(data, "snapshot", UUID_STR(&w->id));
    return data;
}

static bool write_files(struct work *w, struct store_txn *txn, const struct change *c,
                        struct err *err)
{
    static const struct uuid none;
    bool ok = overlays_write(txn, w->overlays, w->n, "live", &none, err);

    for (size_t i = 0; ok && i < w->n; i++)
        ok = disk_row_write(txn, &c->disks[i], err);
    for (size_t i = 0; ok && i < c->n_gone; i++)
        ok = store_disk_remove(txn, &c->gone[i], err);
    for (size_t i = 0; ok && i < c->n_old; i++)
        ok = layer_write(txn, &c->old[i], "trash", job_id(w->job), err);
    return ok;
}

static json_t *state_event_of(const struct work *w, const struct change *c)
{
    json_t *data = json_object();

    json_put_text(data, "name", w->vm->name);
    json_put_text(data, "from", vm_run_text(w->vm->run));
    json_put_text(data, "to", c->run);
    json_put(data, "reason", NULL);
    json_put_text(data, "operation", UUID_STR(job_id(w->job)));
    return data;
}

/* Once the VM's row is written. */
static bool write_memory(struct work *w, struct store_txn *txn, struct change *c, struct err *err)
{
    return (uuid_is_zero(&c->memory) || ram_image_hold(txn, &c->memory, err)) &&
           ram_image_let_go(txn, &c->before, &c->last, err) &&
           (!c->run || event_add(txn, "vm.state", "vm", &w->vm->id, state_event_of(w, c), err));
}

static void change_run(struct vm_record *record, const struct change *c)
{
    record->memory = c->memory;
    record->memory_leaves = c->leaves;
    if (!c->run)
        return;
    record->run = c->run;
    record->reason = vm_reason_text(VM_REASON_NONE);
    record->detail = NULL;
    record->desired = vm_desired_text(uuid_is_zero(&c->memory) ? VM_DESIRED_OFF : VM_DESIRED_SAVED);
    record->state_since_ms = clock_wall_ms();
}

static bool write_revert(struct work *w, const struct vm_spec *spec, struct change *c,
                         struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(w->core->store, err);
    CLEANUP(json_decrefp) json_t *json = model_encode(&vm_model, spec);
    CLEANUP(mem_freep) char *text = json_write(json);
    struct vm_record record;
    struct vm_texts texts;
    bool ok;

    if (!txn)
        return false;
    lock_take(&w->core->registry.lock);
    vm_record_fill(w->vm, &record, &texts);
    lock_drop(&w->core->registry.lock);
    record.spec = text;
    record.stands_on = w->id;
    record.revision++;
    record.state_revision++;
    record.updated_ms = clock_wall_ms();
    change_run(&record, c);
    ok = write_files(w, txn, c, err) && store_vm_put(txn, &record, err) &&
         write_memory(w, txn, c, err) &&
         event_add(txn, "vm.reverted", "vm", &w->vm->id, event_of(w), err) &&
         FAILPOINT("vm.revert.commit", err) && store_commit(&txn, err);
    vm_texts_clear(&texts);
    return ok;
}

static void enlist_disk(struct core *core, const struct disk *disk)
{
    struct disk *copy = mem_dup(disk, sizeof *disk);

    lock_take(&core->registry.lock);
    disk_index_add(core, copy);
    lock_drop(&core->registry.lock);
}

static void apply_run(struct vm *vm, const struct change *c)
{
    if (!c->run)
        return;
    (void)vm_run_parse(c->run, &vm->run);
    vm->reason = VM_REASON_NONE;
    mem_freep(&vm->detail);
    vm->desired = uuid_is_zero(&c->memory) ? VM_DESIRED_OFF : VM_DESIRED_SAVED;
    vm->state_since_ms = clock_wall_ms();
}

static void apply(struct work *w, struct vm_spec *spec, const struct change *c)
{
    struct vm *vm = w->vm;
    struct vm_spec before;

    ram_vm_set(w->core, vm, &c->memory, c->leaves);
    ram_image_left(w->core, &c->before, c->last);

    files_discard(w->core, c->old, c->n_old);
    overlays_set_leaves(w->core, w->overlays, w->n);
    for (size_t i = 0; i < w->n; i++) {
        disk_index_take(w->core, &c->disks[i].id);
        enlist_disk(w->core, &c->disks[i]);
    }
    for (size_t i = 0; i < c->n_gone; i++)
        disk_index_take(w->core, &c->gone[i]);
    lock_take(&w->core->registry.lock);
    before = vm->spec;
    vm->spec = *spec;
    *spec = before;
    vm->stands_on = w->id;
    vm->revision++;
    vm->state_revision++;
    vm->updated_ms = clock_wall_ms();
    apply_run(vm, c);
    cond_wake_all(&w->core->registry.changed);
    lock_drop(&w->core->registry.lock);
}

static bool commit(struct work *w, struct err *err)
{
    CLEANUP(change_clear) struct change c = {0};
    struct vm_spec *spec;
    bool ok;

    lock_take(&w->vm->writing);
    spec = spec_of(w, err);
    if (spec) {
        find_old(w, &c);
        plan_disks(w, spec, &c);
        plan_memory(w, &c);
    }
    ok = spec && write_revert(w, spec, &c, err);
    if (ok)
        apply(w, spec, &c);
    lock_drop(&w->vm->writing);
    if (spec) {
        vm_spec_clear(spec);
        free(spec);
    }
    if (ok) {
        events_ring(w->core);
        vm_copy_later(w->core, &w->vm->id);
    }
    return ok;
}

/* Steps 2 to 4. */
static bool go_back(struct work *w, struct err *err)
{
    bool ok;

    if (!is_done(w) &&
        (!FAILPOINT("vm.revert.files", err) || !overlays_make(w->core, w->overlays, w->n, err) ||
         !(!vm_is(w->core, w->vm, is_live, NULL) ||
           (FAILPOINT("vm.revert.off", err) &&
            vm_force_off(w->core, w->vm, job_id(w->job), err))) ||
         !commit(w, err)))
        return false;
    ok = FAILPOINT("vm.revert.variables", err) && nvram_put_back(w->core, w->vm, &w->id, err);
    ram_images_sweep(w->core);
    files_settle_vm(w->core, &w->vm->id); /* the old leaves are nobody's either way */
    return ok;
}

static bool run(struct core *core, struct job *job, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), err)};
    CLEANUP(work_clear) struct work w = {.core = core, .job = job, .vm = hold.vm};

    if (!begin(&w, err))
        return false;
    if (!job_step_reached(job) && !go_back(&w, err))
        return false;
    if (!json_get_bool(job_args(job), "start", false))
        return true;
    return (job_step_reached(job) ||
            (FAILPOINT("vm.revert.step", err) && job_step(job, "start", err))) &&
           (vm_start_now(core, job, w.vm, err) ||
            err_prefix(err, "the VM was reverted, but does not run"));
}

static void settle(struct core *core, struct job *job, bool ok)
{
    struct err err = {0};
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), &err)};
    CLEANUP(work_clear) struct work w = {.core = core, .job = job, .vm = hold.vm};

    if (!hold.vm)
        return;
    if (!ok && job_step_reached(job))
        vm_start_undo(core, w.vm);
    else if (!ok && begin(&w, &err) && !is_done(&w))
        overlays_drop(core, w.overlays, w.n);
    vm_unclaim(core, hold.vm, job_id(job));
}

const struct job_kind vm_revert_kind = {.name = "vm.revert",
                                        .lane = JOB_LANE_LIFECYCLE,
                                        .run = run,
                                        .settle = settle,
                                        .adopt = vm_adopt};
