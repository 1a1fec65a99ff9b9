/* Taking a snapshot (docs/storage.md):
 *
 *   1 job, rows of the overlays 'creating'                    one transaction, at the request
 *   2 overlays made, firmware variables copied
 *   3 step "switch"; a running VM: QEMU writes to the overlays from here, all disks at once
 *   4 * snapshot row, leaves, files 'live', the VM stands on it       one transaction
 *
 * From the step on it goes only forward unless QEMU says that it did not switch: an overlay shows
 * what its parent shows until something is written, and may hold the guest's newest writes. */
#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/disks.h"
#include "core/snap/snap.h"
#include "core/snap/tree.h"
#include "core/vm/kinds.h"
#include "core/vm/registry.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define ASK_MS    200
#define FILES_MAX 200 /* of the 240 descriptors that a start hands over */
#define AGAIN_MS  1000

/* ---- the request ---- */

static const struct uuid *leaf_of(void *ctx, const struct disk *disk)
{
    return &disk->leaf;
}

/* How many files QEMU has to open once there is one more on each disk. */
static size_t files_of_chains(struct core *core, struct vm *vm)
{
    size_t n = 0;

    lock_take(&core->registry.lock);
    for (struct disk *d = disks_of(core, &vm->id); d; d = d->next) {
        n++;
        for (struct file *f = file_find(core, &d->leaf); f; f = file_find(core, &f->parent))
            n++;
    }
    lock_drop(&core->registry.lock);
    return n;
}

static bool check_request(struct core *core, struct vm *vm, const char *name, struct err *err)
{
    unsigned n = 0;
    bool taken;

    lock_take(&core->registry.lock);
    for (struct snapshot *s = vm->snapshots; s; s = s->next)
        n++;
    taken = snapshot_find(vm, name) != NULL;
    lock_drop(&core->registry.lock);
    if (taken)
        return err_field(err, ERR_EXISTS, "/name", "the VM has a snapshot '%s' already", name);
    if (files_of_chains(core, vm) > FILES_MAX)
        return err_set(err, ERR_WRONG_STATE,
                       "the VM's disks lie on so many files that QEMU could not open more: delete "
                       "some snapshots");
    return n < SNAPSHOTS_MAX ||
           err_set(err, ERR_WRONG_STATE,
                   "the VM has %d snapshots, which is the most there can be: delete some",
                   SNAPSHOTS_MAX);
}

struct rows {
    const struct overlay *overlays;
    size_t n;
    const struct uuid *job;
};

static bool write_rows(struct store_txn *txn, void *ctx, struct err *err)
{
    const struct rows *rows = ctx;

    return overlays_write(txn, rows->overlays, rows->n, "creating", rows->job, err) &&
           FAILPOINT("vm.snapshot.rows", err);
}

bool snapshot_create(struct core *core, const char *ref, const char *name, const char *notes,
                     const struct origin *origin, struct uuid *op, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get(core, ref, err)};
    CLEANUP(json_decrefp) json_t *args = json_object();
    CLEANUP(mem_freep) struct overlay *overlays = NULL;
    const struct uuid id = uuid_new();
    struct rows rows = {.job = op};
    bool ok;

    *op = (struct uuid){0};
    if (!hold.vm || !check_request(core, hold.vm, name, err))
        return false;
    lock_take(&hold.vm->writing);
    overlays = overlays_plan(core, &hold.vm->id, leaf_of, NULL, &rows.n, err);
    rows.overlays = overlays;
    json_put_text(args, "snapshot", UUID_STR(&id));
    json_put_text(args, "name", name);
    json_put_text(args, "notes", notes ? notes : "");
    json_put(args, "disks", overlays_json(overlays, overlays ? rows.n : 0));
    ok = overlays &&
         vm_submit(core, hold.vm, VM_VERB_SNAPSHOT, args, origin, op, write_rows, &rows, err);
    lock_drop(&hold.vm->writing);
    return ok;
}

/* ---- the operation ---- */

struct work {
    struct core *core;
    struct job *job;
    struct vm *vm;
    struct overlay *overlays;
    size_t n;
    struct uuid id; /* of the snapshot */
    bool again;     /* entered again after the step */
    bool switched;  /* the machine writes to the overlays, or may have */
};

static void work_clear(struct work *w)
{
    free(w->overlays);
}

static bool begin(struct work *w, struct err *err)
{
    if (!w->vm || !uuid_parse(json_get_text(job_args(w->job), "snapshot"), &w->id))
        return w->vm && err_set(err, ERR_INTERNAL, "the operation has no snapshot");
    w->overlays = overlays_of_job(w->core, &w->vm->id, w->job, &w->n, err);
    return w->overlays != NULL;
}

static bool is_there(const struct vm *vm, void *ctx)
{
    return snapshot_get((struct vm *)vm, ctx) != NULL;
}

static bool has_machine(const struct vm *vm, void *ctx)
{
    return vm->machine != NULL;
}

static bool never(const struct vm *vm, void *ctx)
{
    return false;
}

static bool is_gone(const struct vm *vm, void *ctx)
{
    return !vm->machine && !vm->ending && !vm_run_is_live(vm->run);
}

/* Where the machine's disk 'i' is among its disks. */
static unsigned position_of(struct work *w, size_t i)
{
    struct disk *disk;
    unsigned n = 0;

    lock_take(&w->core->registry.lock);
    disk = disk_find(w->core, &w->overlays[i].disk);
    n = disk ? disk->position : 0;
    lock_drop(&w->core->registry.lock);
    return n;
}

/* Asks until somebody knows: did QEMU switch? A machine that is gone may have. */
static bool has_switched(struct work *w, bool *switched, struct err *err)
{
    for (;;) {
        const struct backend *backend;
        struct err none = {0};
        struct machine *machine = vm_machine_use(w->core, w->vm, &backend, &none);
        bool ok;

        *switched = true;
        if (machine) {
            ok =
                backend->is_leaf(machine, position_of(w, 0), &w->overlays[0].file, switched, &none);
            vm_machine_done(w->core, w->vm);
            if (ok)
                return true;
        }
        if (vm_wait(w->core, w->vm, is_gone, NULL, clock_mono_ms() + ASK_MS))
            return true;
        if (atomic_load(&w->core->closing))
            return err_set(err, ERR_UNAVAILABLE, "the daemon ends");
    }
}

static bool open_overlays(struct work *w, struct machine_overlay *out, struct err *err)
{
    for (size_t i = 0; i < w->n; i++) {
        out[i] = (struct machine_overlay){.disk = position_of(w, i), .file = w->overlays[i].file};
        out[i].fd = layer_open(&w->overlays[i].layer, O_RDWR, err);
        if (out[i].fd < 0) {
            while (i--)
                closep(&out[i].fd);
            return false;
        }
    }
    return true;
}

static bool call(struct work *w, struct machine *machine, const struct backend *backend,
                 struct err *err)
{
    CLEANUP(mem_freep) struct machine_overlay *list = mem_array(w->n, sizeof *list);

    return open_overlays(w, list, err) &&
           FAILPOINT_AROUND("vm.snapshot.switch", backend->snapshot(machine, list, w->n, err), err);
}

/* Step 3. */
static bool switch_over(struct work *w, struct err *err)
{
    const struct backend *backend;
    struct err none = {0}, lost = {0};
    struct machine *machine;
    bool ok;

    w->switched = w->again;
    if (!w->n ||
        (!vm_is(w->core, w->vm, has_machine, NULL) && vm_is(w->core, w->vm, is_gone, NULL)))
        return true;
    if (w->again) {
        if (!has_switched(w, &w->switched, err))
            return false;
        if (w->switched)
            return true;
    }
    machine = vm_machine_use(w->core, w->vm, &backend, &none);
    if (!machine)
        return vm_is(w->core, w->vm, is_gone, NULL) ||
               err_set(err, ERR_WRONG_STATE, "the VM is between two states: try again");
    ok = call(w, machine, backend, err);
    vm_machine_done(w->core, w->vm);
    w->switched = ok;
    return ok || (has_switched(w, &w->switched, &lost) && w->switched);
}

/* ---- step 4 ---- */

static struct snapshot *new_snapshot(struct work *w)
{
    struct snapshot *s = mem_alloc(sizeof *s);
    CLEANUP(json_decrefp) json_t *spec = NULL;

    lock_take(&w->core->registry.lock);
    spec = model_encode(&vm_model, &w->vm->spec);
    *s = (struct snapshot){.id = w->id,
                           .vm = w->vm->id,
                           .parent = w->vm->stands_on,
                           .name = str_dup(json_get_text(job_args(w->job), "name")),
                           .notes = str_dup(json_get_text(job_args(w->job), "notes")),
                           .spec = json_write(spec),
                           .created_ms = clock_wall_ms(),
                           .disks = mem_array(w->n + 1, sizeof *s->disks),
                           .n_disks = w->n};
    lock_drop(&w->core->registry.lock);
    for (size_t i = 0; i < w->n; i++)
        s->disks[i] = (struct snapshot_disk_record){.disk = w->overlays[i].disk,
                                                    .file = w->overlays[i].parent,
                                                    .position = position_of(w, i)};
    return s;
}

static json_t *event_of(const struct work *w, const struct snapshot *s)
{
    json_t *data = json_object();

    json_put_text(data, "name", s->name);
    json_put_text(data, "vm", UUID_STR(&w->vm->id));
    json_put_text(data, "parent", uuid_is_zero(&s->parent) ? NULL : UUID_STR(&s->parent));
    return data;
}

static bool write_snapshot(struct work *w, const struct snapshot *s, struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(w->core->store, err);
    struct snapshot_record row;
    struct vm_record record;
    struct vm_texts texts;
    bool ok;

    if (!txn)
        return false;
    snapshot_record_fill(s, &row);
    lock_take(&w->core->registry.lock);
    vm_record_fill(w->vm, &record, &texts);
    lock_drop(&w->core->registry.lock);
    record.stands_on = s->id;
    record.state_revision++;
    ok = overlays_write_leaves(w->core, txn, w->overlays, w->n, err) &&
         store_snapshot_put(txn, &row, err) && store_vm_put(txn, &record, err) &&
         event_add(txn, "snapshot.created", "snapshot", &s->id, event_of(w, s), err) &&
         FAILPOINT("vm.snapshot.commit", err) && store_commit(&txn, err);
    vm_texts_clear(&texts);
    return ok;
}

static bool commit(struct work *w, struct err *err)
{
    struct snapshot *s;
    bool ok;

    lock_take(&w->vm->writing);
    s = new_snapshot(w);
    ok = write_snapshot(w, s, err);
    if (ok) {
        overlays_set_leaves(w->core, w->overlays, w->n);
        lock_take(&w->core->registry.lock);
        w->vm->stands_on = s->id;
        w->vm->state_revision++;
        snapshot_enlist(w->vm, s);
        lock_drop(&w->core->registry.lock);
    } else {
        snapshot_free(s);
    }
    lock_drop(&w->vm->writing);
    if (ok) {
        events_ring(w->core);
        vm_copy_later(w->core, &w->vm->id);
    }
    return ok;
}

/* Once the guest may have written to the overlays there is no way back: it is tried until it is
 * written, or another daemon does. */
static bool commit_surely(struct work *w, struct err *err)
{
    while (!commit(w, err)) {
        if (!w->switched || atomic_load(&w->core->closing) || store_is_poisoned(w->core->store))
            return false;
        log_error("the snapshot is not recorded yet: %s", err->detail);
        (void)vm_wait(w->core, w->vm, never, NULL, clock_mono_ms() + AGAIN_MS);
        *err = (struct err){0};
    }
    return true;
}

static bool prepare(struct work *w, struct err *err)
{
    w->again = job_step_reached(w->job) != NULL;
    return w->again ||
           (FAILPOINT("vm.snapshot.files", err) && overlays_make(w->core, w->overlays, w->n, err) &&
            nvram_keep(w->core, w->vm, &w->id, err) && FAILPOINT("vm.snapshot.step", err) &&
            job_step(w->job, "switch", err));
}

static bool run(struct core *core, struct job *job, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), err)};
    CLEANUP(work_clear) struct work w = {.core = core, .job = job, .vm = hold.vm};
    json_t *result = json_object();

    json_put_text(result, "snapshot", json_get_text(job_args(job), "snapshot"));
    job_set_result(job, result);
    if (!begin(&w, err))
        return false;
    return vm_is(core, w.vm, is_there, &w.id) ||
           (prepare(&w, err) && switch_over(&w, err) && commit_surely(&w, err));
}

/* A snapshot that failed left the machine in its old files: has_switched() said so. */
static void undo(struct core *core, struct job *job, struct vm *vm)
{
    CLEANUP(work_clear) struct work w = {.core = core, .job = job, .vm = vm};
    struct err err = {0};

    if (!begin(&w, &err) || vm_is(core, vm, is_there, &w.id))
        return;
    err_ignore(nvram_forget(core, vm, &w.id, &err), &err);
    overlays_drop(core, w.overlays, w.n);
}

static void settle(struct core *core, struct job *job, bool ok)
{
    struct err err = {0};
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), &err)};

    if (!hold.vm)
        return;
    if (!ok)
        undo(core, job, hold.vm);
    vm_unclaim(core, hold.vm, job_id(job));
}

const struct job_kind vm_snapshot_kind = {.name = "vm.snapshot",
                                          .lane = JOB_LANE_LIFECYCLE,
                                          .run = run,
                                          .settle = settle,
                                          .adopt = vm_adopt};
