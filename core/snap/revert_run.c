/* Reverting a VM to one of its snapshots: the operation (docs/storage.md, docs/memory.md).
 *
 *   1 job, rows of new leaves on the snapshot's files 'creating'; with an archived memory the row
 *     of an image for this VM alone            one transaction, at the request
 *   2 they are made; step "expand": the memory is expanded into that image; step "stop": a VM
 *     that runs is forced off
 *   3 * disks write to them, the configuration is the snapshot's (but the name), the old leaves
 *     'trash', the VM stands on the snapshot; with the guest's memory it is 'saved' with that
 *     image, and lets go of one that it had    one transaction
 *   4 firmware variables put back, old leaves removed
 *   5 step "start"; it is started, if it had run or goes on from its memory, unless declined
 *
 * Before 3 the new files go; it can be cancelled before the VM is forced off; then only forward. */
#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/change.h"
#include "core/disk/disks.h"
#include "core/disk/space.h"
#include "core/ram/expand.h"
#include "core/ram/image.h"
#include "core/snap/reverting.h"
#include "core/snap/tree.h"
#include "core/vm/kinds.h"
#include "core/vm/registry.h"

#include <stdlib.h>

struct work {
    struct core *core;
    struct job *job;
    struct vm *vm;
    struct uuid id; /* of the snapshot */
    struct overlay *overlays;
    size_t n;
    struct layer image;      /* that an archived memory is expanded into; its id is zero: none */
    struct ram_image *facts; /* of it, once it is there */
};

static void work_clear(struct work *w)
{
    free(w->overlays);
    ram_image_free(w->facts);
}

static bool is_live(const struct vm *vm, void *ctx)
{
    return vm_run_is_live(vm->run);
}

static bool is_at_start(const struct job *job)
{
    return str_eq(job_step_reached(job), "start");
}

/* The VM is off for it, or was about to be. */
static bool has_stopped(const struct job *job)
{
    return str_eq(job_step_reached(job), "stop");
}

/* The disks write to the new leaves, or the VM goes on with the new image. */
static bool has_changed(const struct work *w, const struct uuid *image)
    REQUIRES(w->core->registry.lock);
static bool has_changed(const struct work *w, const struct uuid *image)
{
    bool changed = w->n > 0;

    if (!uuid_is_zero(image))
        return uuid_eq(&w->vm->memory, image);
    for (size_t i = 0; i < w->n; i++) {
        struct disk *disk = disk_find(w->core, &w->overlays[i].disk);
        changed &= disk && uuid_eq(&disk->leaf, &w->overlays[i].file);
    }
    return changed && uuid_eq(&w->vm->stands_on, &w->id);
}

/* Step 3 was committed. */
static bool is_done(struct work *w)
{
    const json_t *image = json_object_get(job_args(w->job), "image");
    struct uuid id = {0};
    bool done;

    if (is_at_start(w->job))
        return true;
    if (image && !uuid_parse(json_get_text(image, "id"), &id))
        return false;
    lock_take(&w->core->registry.lock);
    done = has_changed(w, &id);
    lock_drop(&w->core->registry.lock);
    return done;
}

/* Once it is done the image is the VM's, or used up. */
static bool begin(struct work *w, struct err *err)
{
    if (!w->vm || !uuid_parse(json_get_text(job_args(w->job), "snapshot"), &w->id))
        return w->vm && err_set(err, ERR_INTERNAL, "the operation has no snapshot");
    w->overlays = overlays_of_job(w->core, &w->vm->id, job_args(w->job), &w->n, err);
    return w->overlays && (!json_object_get(job_args(w->job), "image") || is_done(w) ||
                           ram_image_of_job(w->core, &w->vm->id, job_id(w->job), job_args(w->job),
                                            &w->image, err));
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
        c->memory = w->facts ? w->image.id : s->memory;
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

static bool write_image(struct work *w, struct store_txn *txn, struct change *c, struct err *err)
{
    return w->facts ? ram_image_write_live(txn, &w->image, w->facts, err)
                    : uuid_is_zero(&c->memory) || ram_image_hold(txn, &c->memory, err);
}

/* Once the VM's row is written. */
static bool write_memory(struct work *w, struct store_txn *txn, struct change *c, struct err *err)
{
    return write_image(w, txn, c, err) && ram_image_let_go(txn, &c->before, &c->last, err) &&
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

    if (w->facts)
        ram_image_set_live(w->core, &w->image, TAKE(w->facts));
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

static bool takes_own(struct work *w, struct err *err)
{
    struct snapshot *s;
    bool ok;

    lock_take(&w->core->registry.lock);
    s = snapshot_get(w->vm, &w->id);
    ok = !s || revert_takes_own(w->core, w->vm, s, err); /* spec_of() says that it is gone */
    lock_drop(&w->core->registry.lock);
    return ok;
}

static bool commit(struct work *w, struct err *err)
{
    CLEANUP(change_clear) struct change c = {0};
    struct vm_spec *spec;
    bool ok;

    lock_take(&w->vm->writing);
    spec = takes_own(w, err) ? spec_of(w, err) : NULL;
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

static bool expand(struct work *w, struct err *err)
{
    struct uuid archived = {0};
    struct layer from = {.dir = -1};
    const struct file *file;
    struct snapshot *s;

    if (uuid_is_zero(&w->image.id))
        return true;
    lock_take(&w->core->registry.lock);
    s = snapshot_get(w->vm, &w->id);
    file = s ? file_find(w->core, &s->memory) : NULL;
    if (file) {
        archived = file->id;
        from = layer_of_file(w->core, file);
    }
    lock_drop(&w->core->registry.lock);
    w->facts = ram_expand_facts(w->core, &archived, err);
    if (has_stopped(w->job)) /* it was on the disk before that step */
        return w->facts != NULL;
    return w->facts && job_step(w->job, "expand", err) &&
           FAILPOINT_AROUND("vm.revert.expand",
                            ram_expand(w->core, w->vm, w->job, &from, &w->image, err), err);
}

/* What can still be taken back. */
static bool prepare(struct work *w, struct err *err)
{
    return FAILPOINT("vm.revert.files", err) && overlays_make(w->core, w->overlays, w->n, err) &&
           expand(w, err) &&
           (has_stopped(w->job) || !job_cancelled(w->job) ||
            err_set(err, ERR_CANCELLED, "cancelled before anything was changed"));
}

static bool stop(struct work *w, struct err *err)
{
    return !vm_is(w->core, w->vm, is_live, NULL) ||
           (job_step(w->job, "stop", err) && FAILPOINT("vm.revert.off", err) &&
            vm_force_off(w->core, w->vm, job_id(w->job), err));
}

static bool put_back_variables(struct work *w, struct err *err)
{
    return FAILPOINT("vm.revert.variables", err) && nvram_put_back(w->core, w->vm, &w->id, err);
}

/* Steps 2 to 4. */
static bool go_back(struct work *w, struct err *err)
{
    bool ok;

    if (!is_done(w) && !(prepare(w, err) && stop(w, err) && commit(w, err)))
        return false;
    ok = put_back_variables(w, err);
    ram_images_sweep(w->core);
    files_settle_vm(w->core, &w->vm->id); /* the old leaves are nobody's either way */
    return ok;
}

static bool run(struct core *core, struct job *job, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), err)};
    CLEANUP(work_clear) struct work w = {.core = core, .job = job, .vm = hold.vm};

    if (!begin(&w, err) || job_is_undone(job, err))
        return false;
    if (!is_at_start(job) && !go_back(&w, err))
        return false;
    if (!json_get_bool(job_args(job), "start", false))
        return true;
    return (is_at_start(job) ||
            (FAILPOINT("vm.revert.step", err) && job_step(job, "start", err))) &&
           (vm_start_now(core, job, w.vm, err) ||
            err_prefix(err, "the VM was reverted, but does not run"));
}

/* One that was cancelled, and whose daemon ended between 3 and 5, was not entered again. */
static void finish(struct work *w)
{
    struct err err = {0};

    if (!put_back_variables(w, &err))
        log_warn("the firmware's variables of %s are not those of the snapshot: %s",
                 VM_NAME(w->core, w->vm), err.detail);
}

static void take_back(struct work *w)
{
    if (!job_undo(w->job))
        return;
    overlays_drop(w->core, w->overlays, w->n);
    if (!uuid_is_zero(&w->image.id))
        ram_image_drop(w->core, &w->image);
}

static void settle(struct core *core, struct job *job, bool ok)
{
    struct err err = {0};
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), &err)};
    CLEANUP(work_clear) struct work w = {.core = core, .job = job, .vm = hold.vm};

    space_release(core, job_id(job));
    if (!hold.vm)
        return;
    if (!ok && is_at_start(job))
        vm_start_undo(core, w.vm);
    else if (!ok && begin(&w, &err) && is_done(&w))
        finish(&w);
    else if (!ok && w.overlays)
        take_back(&w);
    vm_unclaim(core, hold.vm, job_id(job));
}

const struct job_kind vm_revert_kind = {.name = "vm.revert",
                                        .lane = JOB_LANE_LIFECYCLE,
                                        .cancellable = true,
                                        .run = run,
                                        .settle = settle,
                                        .adopt = vm_adopt};
