/* Taking a snapshot (docs/storage.md):
 *
 *   1 job, rows of the overlays 'creating'                    one transaction, at the request
 *   2 overlays made, firmware variables copied
 *   3 step "switch"; a running VM: QEMU writes to the overlays from here, all disks at once
 *   4 * snapshot row, leaves, files 'live', the VM stands on it       one transaction
 *
 * With the guest's memory (docs/memory.md) the machine does 3 in another way, and what comes after
 * it is in taking_memory.c.
 *
 * From the step on it goes only forward unless QEMU says that it did not switch: an overlay shows
 * what its parent shows until something is written, and may hold the guest's newest writes. */
#include "core/snap/taking.h"

#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/blocks.h"
#include "core/disk/disks.h"
#include "core/snap/merge.h"
#include "core/snap/snap.h"
#include "core/vm/kinds.h"
#include "core/vm/registry.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define ASK_MS   200
#define AGAIN_MS 1000

/* ---- the plan ---- */

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

bool taking_check(struct core *core, struct vm *vm, const char *name, struct err *err)
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
    if (files_of_chains(core, vm) > FILES_OF_A_VM_MAX)
        return err_set(err, ERR_WRONG_STATE,
                       "the VM's disks lie on so many files that QEMU could not open more: delete "
                       "some snapshots");
    return n < SNAPSHOTS_MAX ||
           err_set(err, ERR_WRONG_STATE,
                   "the VM has %d snapshots, which is the most there can be: delete some",
                   SNAPSHOTS_MAX);
}

void taking_name(struct core *core, struct vm *vm, const char *what, const char *whose,
                 char out[NAME_MAX_BYTES + 1])
{
    char tail[16] = "";

    lock_take(&core->registry.lock);
    for (unsigned n = 2;; n++) {
        snprintf(out, NAME_MAX_BYTES + 1, "%s-%.*s%s", what,
                 (int)(NAME_MAX_BYTES - strlen(what) - 1 - strlen(tail)), whose, tail);
        if (!snapshot_find(vm, out))
            break;
        snprintf(tail, sizeof tail, "-%u", n);
    }
    lock_drop(&core->registry.lock);
}

bool taking_plan(struct core *core, struct vm *vm, const char *name, const char *notes,
                 struct taking_plan *out, struct err *err)
{
    const struct uuid id = uuid_new();

    if (!taking_check(core, vm, name, err))
        return false;
    out->overlays = overlays_plan(core, &vm->id, leaf_of, NULL, &out->n, err);
    if (!out->overlays)
        return false;
    json_put_text(out->args, "snapshot", UUID_STR(&id));
    json_put_text(out->args, "name", name);
    json_put_text(out->args, "notes", notes ? notes : "");
    json_put(out->args, "disks", overlays_json(out->overlays, out->n));
    if (!out->memory)
        return true;
    json_put_text(out->args, "consistency", out->memory->with ? "running" : "disk");
    json_put_text(out->args, "reason", out->memory->reason[0] ? out->memory->reason : NULL);
    if (out->memory->with) {
        json_put(out->args, "image", ram_image_args(&out->memory->image));
        json_put_text(out->args, "way", ram_way_text(out->memory->way));
    }
    return true;
}

void taking_plan_clear(struct taking_plan *plan)
{
    mem_freep(&plan->overlays);
    json_decref(TAKE(plan->args));
}

bool taking_plan_rows(struct store_txn *txn, void *ctx, struct err *err)
{
    const struct taking_plan *plan = ctx;

    return overlays_write(txn, plan->overlays, plan->n, "creating", plan->job, err) &&
           (!plan->memory || !plan->memory->with ||
            ram_image_rows(txn, &plan->memory->image, plan->job, err)) &&
           FAILPOINT("vm.snapshot.rows", err);
}

/* ---- the operation ---- */

void taking_clear(struct taking *t)
{
    mem_freep(&t->overlays);
    ram_image_free(TAKE(t->facts));
}

bool taking_begin(struct taking *t, struct err *err)
{
    if (!uuid_parse(json_get_text(t->args, "snapshot"), &t->id))
        return err_set(err, ERR_INTERNAL, "the operation has no snapshot");
    t->overlays = overlays_of_job(t->core, &t->vm->id, t->args, &t->n, err);
    return t->overlays && (!json_object_get(t->args, "image") || taking_memory_begin(t, err));
}

static bool is_there(const struct vm *vm, void *ctx)
{
    return snapshot_get((struct vm *)vm, ctx) != NULL;
}

static bool has_machine(const struct vm *vm, void *ctx)
{
    return vm->machine != NULL;
}

static struct blocks blocks_of(struct taking *t)
{
    return (struct blocks){.core = t->core, .vm = t->vm};
}

unsigned taking_position(struct taking *t, size_t i)
{
    return blocks_position(t->core, &t->overlays[i].disk);
}

bool taking_is_alone(struct taking *t)
{
    struct blocks at = blocks_of(t);

    return blocks_is_gone(&at);
}

/* Asks until somebody knows: did QEMU switch? A machine that is gone may have. */
static bool has_switched(struct taking *t, bool *switched, struct err *err)
{
    struct blocks at = blocks_of(t);

    for (;;) {
        struct err none = {0};

        if (blocks_is_leaf(&at, &t->overlays[0].disk, &t->overlays[0].file, switched, &none))
            return true;
        *switched = true;
        if (blocks_await_gone(&at, ASK_MS))
            return true;
        if (atomic_load(&t->core->closing))
            return err_set(err, ERR_UNAVAILABLE, "the daemon ends");
    }
}

bool taking_open_overlays(struct taking *t, struct machine_overlay *out, struct err *err)
{
    for (size_t i = 0; i < t->n; i++) {
        out[i] =
            (struct machine_overlay){.disk = taking_position(t, i), .file = t->overlays[i].file};
        out[i].fd = layer_open(&t->overlays[i].layer, O_RDWR, err);
        if (out[i].fd < 0) {
            while (i--)
                closep(&out[i].fd);
            return false;
        }
    }
    return true;
}

static bool call(struct taking *t, struct machine *machine, const struct backend *backend,
                 struct err *err)
{
    CLEANUP(mem_freep) struct machine_overlay *list = mem_array(t->n, sizeof *list);

    return taking_open_overlays(t, list, err) &&
           FAILPOINT_AROUND("vm.snapshot.switch", backend->snapshot(machine, list, t->n, err), err);
}

struct machine *taking_machine(struct taking *t, const struct backend **backend, struct err *err)
{
    struct blocks at = blocks_of(t);

    for (;;) {
        struct err none = {0};
        struct machine *machine = vm_machine_use(t->core, t->vm, backend, &none);
        if (machine || blocks_await_gone(&at, ASK_MS))
            return machine;
        if (atomic_load(&t->core->closing)) {
            err_set(err, ERR_UNAVAILABLE, "the daemon ends");
            return NULL;
        }
        if (job_cancelled(t->job)) {
            err_set(err, ERR_CANCELLED, "the VM was forced off before it was taken");
            return NULL;
        }
    }
}

/* Step 3. */
static bool switch_over(struct taking *t, struct err *err)
{
    const struct backend *backend;
    struct err lost = {0};
    struct machine *machine;
    bool ok;

    t->switched = t->again;
    if (!t->n || (!vm_is(t->core, t->vm, has_machine, NULL) && taking_is_alone(t)))
        return true;
    if (t->again) {
        if (!has_switched(t, &t->switched, err))
            return false;
        if (t->switched)
            return true;
    }
    machine = taking_machine(t, &backend, err);
    if (!machine)
        return !err->code;
    ok = call(t, machine, backend, err);
    vm_machine_done(t->core, t->vm);
    t->switched = ok;
    return ok || (has_switched(t, &t->switched, &lost) && t->switched);
}

/* ---- step 4 ---- */

static bool has_memory(const struct taking *t)
{
    return t->memory_state == SNAPSHOT_STREAMING || t->memory_state == SNAPSHOT_READY;
}

static struct snapshot *new_snapshot(struct taking *t)
{
    struct snapshot *s = mem_alloc(sizeof *s);
    CLEANUP(json_decrefp) json_t *spec = NULL;

    lock_take(&t->core->registry.lock);
    spec = model_encode(&vm_model, &t->vm->spec);
    *s = (struct snapshot){.id = t->id,
                           .vm = t->vm->id,
                           .parent = t->vm->stands_on,
                           .name = str_dup(json_get_text(t->args, "name")),
                           .notes = str_dup(json_get_text(t->args, "notes")),
                           .spec = json_write(spec),
                           .created_ms = clock_wall_ms(),
                           .memory_state = t->memory_state,
                           .memory_note = str_dup(t->memory_note),
                           .disks = mem_array(t->n + 1, sizeof *s->disks),
                           .n_disks = t->n};
    if (has_memory(t))
        s->memory = t->image.id;
    lock_drop(&t->core->registry.lock);
    for (size_t i = 0; i < t->n; i++)
        s->disks[i] = (struct snapshot_disk_record){.disk = t->overlays[i].disk,
                                                    .file = t->overlays[i].parent,
                                                    .position = taking_position(t, i)};
    return s;
}

static json_t *event_of(const struct taking *t, const struct snapshot *s)
{
    json_t *data = json_object();

    json_put_text(data, "name", s->name);
    json_put_text(data, "vm", UUID_STR(&t->vm->id));
    json_put_text(data, "parent", uuid_is_zero(&s->parent) ? NULL : UUID_STR(&s->parent));
    return data;
}

static bool write_snapshot(struct taking *t, const struct snapshot *s, struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(t->core->store, err);
    struct snapshot_record row;
    struct vm_record record;
    struct vm_texts texts;
    bool ok;

    if (!txn)
        return false;
    snapshot_record_fill(s, &row);
    lock_take(&t->core->registry.lock);
    vm_record_fill(t->vm, &record, &texts);
    lock_drop(&t->core->registry.lock);
    record.stands_on = s->id;
    record.state_revision++;
    ok = overlays_write_leaves(t->core, txn, t->overlays, t->n, err) &&
         store_snapshot_put(txn, &row, err) && store_vm_put(txn, &record, err) &&
         (!t->with_memory || taking_memory_rows(t, txn, err)) &&
         event_add(txn, "snapshot.created", "snapshot", &s->id, event_of(t, s), err) &&
         (!t->also || t->also(txn, t->ctx, err)) && FAILPOINT("vm.snapshot.commit", err) &&
         store_commit(&txn, err);
    vm_texts_clear(&texts);
    return ok;
}

static bool commit(struct taking *t, struct err *err)
{
    struct snapshot *s;
    bool ok;

    lock_take(&t->vm->writing);
    s = new_snapshot(t);
    ok = write_snapshot(t, s, err);
    if (ok) {
        overlays_set_leaves(t->core, t->overlays, t->n);
        if (t->with_memory)
            taking_memory_follow(t);
        lock_take(&t->core->registry.lock);
        t->vm->stands_on = s->id;
        t->vm->state_revision++;
        snapshot_enlist(t->vm, s);
        lock_drop(&t->core->registry.lock);
    } else {
        snapshot_free(s);
    }
    lock_drop(&t->vm->writing);
    if (ok) {
        events_ring(t->core);
        vm_copy_later(t->core, &t->vm->id);
    }
    return ok;
}

/* Once the guest may have written to the overlays there is no way back: it is tried until it is
 * written, or another daemon does. */
bool taking_commit(struct taking *t, struct err *err)
{
    struct blocks at = blocks_of(t);

    while (!commit(t, err)) {
        if (!t->switched || atomic_load(&t->core->closing) || store_is_poisoned(t->core->store))
            return false;
        log_error("the snapshot is not recorded yet: %s", err->detail);
        blocks_rest(&at, AGAIN_MS);
        *err = (struct err){0};
    }
    return true;
}

bool taking_is_recorded(struct taking *t)
{
    return vm_is(t->core, t->vm, is_there, &t->id);
}

static bool is_complete(const struct vm *vm, void *ctx)
{
    const struct snapshot *s = snapshot_get((struct vm *)vm, ctx);

    return s && s->memory_state != SNAPSHOT_STREAMING;
}

bool taking_is_done(struct taking *t)
{
    return vm_is(t->core, t->vm, is_complete, &t->id);
}

bool taking_prepare(struct taking *t, struct err *err)
{
    if (job_is_undone(t->job, err))
        return false;
    t->again = job_step_reached(t->job) != NULL;
    if (t->again && t->with_memory)
        ram_image_reserve_again(t->core, &t->image, job_id(t->job));
    if (!t->again)
        picture_keep(t->core, t->vm, &t->id);
    return t->again ||
           (FAILPOINT("vm.snapshot.files", err) && overlays_make(t->core, t->overlays, t->n, err) &&
            (!t->with_memory || ram_image_make(t->core, &t->image, job_id(t->job), err)) &&
            nvram_keep(t->core, t->vm, &t->id, err) && FAILPOINT("vm.snapshot.step", err) &&
            job_step(t->job, "switch", err));
}

bool taking_finish(struct taking *t, struct err *err)
{
    if (t->with_memory)
        return taking_memory_finish(t, err);
    return switch_over(t, err) && taking_commit(t, err);
}

/* One that failed left the machine in its old files: has_switched() said so. */
void taking_undo(struct taking *t)
{
    struct err err = {0};

    if (taking_is_recorded(t) || !job_undo(t->job))
        return;
    err_ignore(nvram_forget(t->core, t->vm, &t->id, &err), &err);
    for (size_t i = 0; i < t->n; i++) /* or QEMU holds what has no name any more */
        merge_forget(t->core, t->vm, &t->overlays[i].layer, 1);
    overlays_drop(t->core, t->overlays, t->n);
    if (t->with_memory)
        ram_image_drop(t->core, &t->image);
}
