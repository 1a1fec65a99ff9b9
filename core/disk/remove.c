/* Removing a disk (docs/storage.md):
 *
 *   1 job                                                       at the request
 *   2 a running guest lets go of it, the machine of its files
 *   3 * disk row gone, the configuration without it, files that nobody else needs 'trash'
 *                                                               one transaction: the commit point
 *   4 they are removed
 *
 * Entered again it does all of it once more: a disk that a machine does not have is out of it. When
 * 3 fails the machine gets the disk back. */
#include "core/disk/change.h"

#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/disk/blocks.h"
#include "core/disk/disks.h"
#include "core/disk/lent.h"
#include "core/disk/pool.h"
#include "core/snap/tree.h"
#include "core/vm/kinds.h"
#include "core/vm/registry.h"

#include <stdlib.h>

#define LOOK_MS 50

int64_t disk_unplug_ms = 30000;

/* ---- the request ---- */

static bool is_live(const struct vm *vm, void *ctx)
{
    return vm_run_is_live(vm->run);
}

bool disk_remove(struct core *core, const char *ref, const struct origin *origin, struct uuid *op,
                 struct err *err)
{
    struct disk disk = {0};
    CLEANUP(vm_drop) struct vm_hold hold = {core, disk_vm(core, ref, &disk, err)};
    CLEANUP(json_decrefp) json_t *args = json_object();

    *op = (struct uuid){0};
    if (!hold.vm)
        return false;
    if (disk.bus == DISK_BUS_IDE && vm_is(core, hold.vm, is_live, NULL))
        return err_set(err, ERR_WRONG_STATE,
                       "%s runs, and IDE disks cannot be taken away then: stop it first",
                       VM_NAME(core, hold.vm));
    json_put_text(args, "disk", UUID_STR(&disk.id));
    return vm_submit(core, hold.vm, VM_VERB_REMOVE_DISK, args, origin, op, NULL, NULL, err);
}

/* ---- the operation ---- */

struct work {
    struct core *core;
    struct job *job;
    struct vm *vm;
    struct uuid id;
    struct disk disk;
    bool unplugged; /* by us, and not removed yet */
};

/* False when it is not there any more. */
static bool find(struct work *w)
{
    struct disk *disk;

    lock_take(&w->core->registry.lock);
    disk = disk_find(w->core, &w->id);
    if (disk)
        w->disk = *disk;
    lock_drop(&w->core->registry.lock);
    return disk != NULL;
}

/* ---- step 2 ---- */

static bool give_up(struct work *w, int64_t deadline_ms, struct err *err)
{
    if (job_cancelled(w->job))
        return err_set(err, ERR_CANCELLED, "cancelled before the guest let go of the disk");
    return clock_mono_ms() < deadline_ms ||
           err_set(err, ERR_TIMEOUT,
                   "the guest did not let go of the disk within %lld s, and nothing was changed: "
                   "it may use it still, or not be up yet; unmount it there and try again, or "
                   "stop the VM first",
                   (long long)(disk_unplug_ms / 1000));
}

/* One look; asks the guest the first time, unless it was called off before: an earlier daemon may
 * have asked, and then it may have let go. */
static bool ask(struct work *w, bool *asked, bool *there, struct err *err)
{
    const struct backend *backend;
    struct machine *machine;
    bool ok;

    *there = false;
    if (!disk_machine(w->core, w->vm, &backend, &machine, err))
        return false;
    if (!machine)
        return !job_cancelled(w->job) || err_set(err, ERR_CANCELLED, "the disk is still there");
    ok = (*asked || job_cancelled(w->job) ||
          FAILPOINT_AROUND("disk.unplug", backend->disk_unplug(machine, w->disk.position, err),
                           err)) &&
         backend->disk_is_there(machine, w->disk.position, there, err);
    vm_machine_done(w->core, w->vm);
    *asked = ok;
    return ok;
}

static bool unplug(struct work *w, struct err *err)
{
    const int64_t deadline_ms = clock_mono_ms() + disk_unplug_ms;
    bool asked = false, there;

    for (;;) {
        if (!ask(w, &asked, &there, err))
            return false;
        if (!there)
            break;
        if (!give_up(w, deadline_ms, err))
            return false;
        if (atomic_load(&w->core->closing))
            return err_set(err, ERR_UNAVAILABLE, "the daemon ends");
        (void)vm_wait(w->core, w->vm, disk_never, NULL, clock_mono_ms() + LOOK_MS);
    }
    w->unplugged = asked;
    return true;
}

/* Files that the machine does not need any more. */
static void forget_files(struct work *w)
{
    struct blocks at = {.core = w->core, .vm = w->vm};
    CLEANUP(mem_freep) struct layer *chain = NULL;
    size_t n;

    chain = chain_of_leaf(w->core, &w->disk.leaf, &n);
    for (size_t i = 0; i < n; i++)
        blocks_drop(&at, &chain[i]);
}

/* ---- step 3 ---- */

static json_t *event_of(const struct work *w)
{
    json_t *data = json_object();

    json_put_text(data, "vm", UUID_STR(&w->vm->id));
    json_put_text(data, "bus", disk_bus_names[w->disk.bus]);
    json_put_u64(data, "size_bytes", w->disk.size_bytes);
    return data;
}

struct going {
    struct layer *own, *lent;
    size_t n_own, n_lent;
};

static void going_clear(struct going *go)
{
    free(go->own);
    free(go->lent);
}

/* Files below those that go which other VMs' files lie on: nobody's from now on. Copies; free(). */
static struct layer *lent_files(struct work *w, size_t n_own, size_t *n)
{
    size_t length;
    struct layer *chain = chain_of_leaf(w->core, &w->disk.leaf, &length);

    *n = 0;
    lock_take(&w->core->registry.lock);
    for (size_t i = n_own; i < length; i++) {
        const struct file *file = file_find(w->core, &chain[i].id);
        if (!file || !uuid_eq(&file->vm, &w->vm->id) || !file_is_lent(w->core, file) ||
            snapshots_with_file(w->vm, &file->id))
            break;
        chain[(*n)++] = chain[i];
    }
    lock_drop(&w->core->registry.lock);
    return chain;
}

static bool write_removed(struct work *w, const struct going *go, const struct vm_spec *spec,
                          struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(w->core->store, err);
    bool ok = txn && store_disk_remove(txn, &w->id, err);

    for (size_t i = 0; ok && i < go->n_own; i++)
        ok = layer_write(txn, &go->own[i], "trash", job_id(w->job), err);
    for (size_t i = 0; ok && i < go->n_lent; i++)
        ok = layer_write_nobodys(txn, &go->lent[i], err);
    return ok && disks_spec_write(w->core, txn, w->vm, spec, err) &&
           event_add(txn, "disk.removed", "disk", &w->id, event_of(w), err) &&
           FAILPOINT("disk.remove.commit", err) && store_commit(&txn, err);
}

static bool commit(struct work *w, struct err *err)
{
    CLEANUP(vm_spec_freep) struct vm_spec *spec = NULL;
    CLEANUP(going_clear) struct going go = {0};
    bool ok;

    lock_take(&w->vm->writing);
    go.own = disk_own_files(w->core, w->vm, &w->disk.leaf, &go.n_own);
    go.lent = lent_files(w, go.n_own, &go.n_lent);
    spec = spec_without_disk(&w->vm->spec, &w->id);
    ok = write_removed(w, &go, spec, err);
    if (ok) {
        disk_index_take(w->core, &w->id);
        files_discard(w->core, go.own, go.n_own);
        for (size_t i = 0; i < go.n_lent; i++)
            file_leave(w->core, &go.lent[i].id);
        disks_spec_set(w->core, w->vm, &spec);
    }
    lock_drop(&w->vm->writing);
    if (ok) {
        events_ring(w->core);
        vm_copy_later(w->core, &w->vm->id);
    }
    return ok;
}

/* What the guest has let go of is its disk still. */
static void put_back(struct work *w)
{
    struct err err = {0};
    bool refused;

    if (w->unplugged && !disk_plug(w->core, w->vm, &w->id, &refused, &err))
        log_warn("a disk of %s that was not removed after all is back at its next start: %s",
                 VM_NAME(w->core, w->vm), err.detail);
}

static bool run(struct core *core, struct job *job, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), err)};
    struct work w = {.core = core, .job = job, .vm = hold.vm};

    if (!hold.vm)
        return false;
    if (!uuid_parse(json_get_text(job_args(job), "disk"), &w.id))
        return err_set(err, ERR_INTERNAL, "the operation does not say which disk");
    if (find(&w)) {
        if (!FAILPOINT("disk.remove.unplug", err) || !unplug(&w, err))
            return false;
        forget_files(&w);
        if (!commit(&w, err)) {
            put_back(&w);
            return false;
        }
    }
    disk_active_set(core, w.vm, &w.id);
    if (!FAILPOINT("disk.remove.files", err))
        return false;
    files_settle_vm(core, &w.vm->id);
    return true;
}

static void settle(struct core *core, struct job *job, bool ok)
{
    struct err err = {0};
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), &err)};

    if (hold.vm)
        vm_unclaim(core, hold.vm, job_id(job));
}

const struct job_kind vm_remove_disk_kind = {.name = "vm.remove-disk",
                                             .lane = JOB_LANE_LIFECYCLE,
                                             .cancellable = true,
                                             .run = run,
                                             .settle = settle,
                                             .adopt = vm_adopt};
