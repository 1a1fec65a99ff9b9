/* Growing a disk (docs/storage.md):
 *
 *   1 job                                                       at the request
 *   2 its leaf is grown: by the machine, or by one that never runs the guest when the VM is off
 *   3 * the size that is read back: disk row, file row, configuration
 *
 * Entered again it does all of it once more; a leaf that has the size is left alone. Once the guest
 * may have seen the size there is no way back: 3 is tried until it is written. */
#include "core/disk/change.h"

#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/disk/disks.h"
#include "core/disk/pool.h"
#include "core/disk/space.h"
#include "core/model/rules.h"
#include "core/snap/helper.h"
#include "core/vm/kinds.h"
#include "core/vm/registry.h"

#include <stdlib.h>

#define AGAIN_MS       1000
#define SIZE_MAX_BYTES (64ull << 40)

/* ---- the request ---- */

static bool check(struct core *core, const struct disk *disk, uint64_t size_bytes, struct err *err)
{
    struct file *leaf;
    int format = disk->format;
    struct uuid pool = disk->pool;

    lock_take(&core->registry.lock);
    leaf = file_find(core, &disk->leaf);
    if (leaf) {
        format = leaf->format;
        pool = leaf->pool;
    }
    lock_drop(&core->registry.lock);
    if (size_bytes <= disk->size_bytes)
        return err_field(err, ERR_INVALID, "/size_bytes",
                         "the disk has %llu bytes already; it cannot shrink, since that would cut "
                         "the guest's data",
                         (unsigned long long)disk->size_bytes);
    if (size_bytes > SIZE_MAX_BYTES)
        return err_field(err, ERR_INVALID, "/size_bytes", "a disk has 64 TiB at most");
    if (format == DISK_VHD || format == DISK_VHDX)
        return err_set(err, ERR_UNSUPPORTED,
                       "a disk in format %s cannot be grown: add a disk in format qcow2 or raw and "
                       "copy its data there",
                       disk_format_names[format]);
    return disk_size_rules(format, size_bytes, err) &&
           space_check_disk(core, &pool, size_bytes, "/size_bytes", err);
}

bool disk_grow(struct core *core, const char *ref, uint64_t size_bytes, const struct origin *origin,
               struct uuid *op, struct err *err)
{
    struct disk disk = {0};
    CLEANUP(vm_drop) struct vm_hold hold = {core, disk_vm(core, ref, &disk, err)};
    CLEANUP(json_decrefp) json_t *args = json_object();

    *op = (struct uuid){0};
    if (!hold.vm || !check(core, &disk, size_bytes, err))
        return false;
    json_put_text(args, "disk", UUID_STR(&disk.id));
    json_put_u64(args, "size_bytes", size_bytes);
    return vm_submit(core, hold.vm, VM_VERB_GROW_DISK, args, origin, op, NULL, NULL, err);
}

/* ---- the operation ---- */

struct work {
    struct core *core;
    struct job *job;
    struct vm *vm;
    struct uuid id;
    struct disk disk;
    uint64_t wanted, now; /* sizes in bytes */
};

static bool begin(struct work *w, struct err *err)
{
    const json_t *args = job_args(w->job);
    struct disk *disk;

    if (!w->vm)
        return false;
    if (!uuid_parse(json_get_text(args, "disk"), &w->id))
        return err_set(err, ERR_INTERNAL, "the operation does not say which disk");
    w->wanted = json_get_u64(args, "size_bytes", 0);
    lock_take(&w->core->registry.lock);
    disk = disk_find(w->core, &w->id);
    if (disk)
        w->disk = *disk;
    lock_drop(&w->core->registry.lock);
    return disk || err_set(err, ERR_NOT_FOUND, "the disk is gone");
}

static bool grow_off(struct work *w, struct err *err)
{
    const struct backend *backend = core_backend(w->vm->backend);
    struct machine *helper = helper_start(w->core, w->vm, &w->disk.leaf, 0, err);
    bool ok;

    if (!helper)
        return false;
    ok = FAILPOINT_AROUND("disk.grow.off", backend->disk_grow(helper, 0, w->wanted, &w->now, err),
                          err);
    helper_stop(w->core, w->vm, helper);
    return ok;
}

/* A QEMU that was taken over may say anything: what could not be a disk's size is not recorded. */
static bool is_plausible(const struct work *w, struct err *err)
{
    struct err why = {0};

    return (w->now >= w->wanted && disk_size_rules(w->disk.format, w->now, &why)) ||
           err_set(err, ERR_HYPERVISOR, "QEMU says that the disk has %llu bytes now",
                   (unsigned long long)w->now);
}

static bool grow(struct work *w, struct err *err)
{
    const struct backend *backend;
    struct machine *machine;
    bool ok;

    if (!disk_machine(w->core, w->vm, &backend, &machine, err))
        return false;
    if (!machine)
        return grow_off(w, err);
    ok = FAILPOINT_AROUND("disk.grow.machine",
                          backend->disk_grow(machine, w->disk.position, w->wanted, &w->now, err),
                          err);
    vm_machine_done(w->core, w->vm);
    return ok;
}

/* ---- step 3 ---- */

static json_t *event_of(const struct work *w)
{
    json_t *data = json_object();

    json_put_text(data, "vm", UUID_STR(&w->vm->id));
    json_put_u64(data, "size_bytes", w->now);
    return data;
}

static bool write_grown(struct work *w, const struct layer *leaf, const struct vm_spec *spec,
                        struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(w->core->store, err);
    const struct uuid none = {0};

    return txn && layer_write(txn, leaf, "live", &none, err) &&
           disk_row_write(txn, &w->disk, err) && disks_spec_write(w->core, txn, w->vm, spec, err) &&
           event_add(txn, "disk.grown", "disk", &w->id, event_of(w), err) &&
           FAILPOINT("disk.grow.commit", err) && store_commit(&txn, err);
}

static void apply(struct work *w)
{
    struct disk *disk;
    struct file *leaf;

    lock_take(&w->core->registry.lock);
    disk = disk_find(w->core, &w->id);
    leaf = file_find(w->core, &w->disk.leaf);
    if (disk)
        disk->size_bytes = w->now;
    if (leaf)
        leaf->size_bytes = w->now;
    lock_drop(&w->core->registry.lock);
}

/* The leaf and the disk as the configuration has it, with their new size. */
static bool grown(struct work *w, struct layer *leaf, struct vm_spec **spec, struct err *err)
{
    struct file *file;
    struct vm_disk *disk;

    lock_take(&w->core->registry.lock);
    file = file_find(w->core, &w->disk.leaf);
    if (file)
        *leaf = layer_of_file(w->core, file);
    lock_drop(&w->core->registry.lock);
    *spec = vm_spec_copy(&w->vm->spec);
    disk = spec_disk(*spec, &w->id);
    if (!file || !disk)
        return err_set(err, ERR_INTERNAL, "the disk has no file");
    leaf->size_bytes = disk->size_bytes = w->disk.size_bytes = w->now;
    return true;
}

static bool commit(struct work *w, struct err *err)
{
    CLEANUP(vm_spec_freep) struct vm_spec *spec = NULL;
    struct layer leaf;
    bool ok;

    lock_take(&w->vm->writing);
    ok = grown(w, &leaf, &spec, err) && write_grown(w, &leaf, spec, err);
    if (ok) {
        apply(w);
        disks_spec_set(w->core, w->vm, &spec);
    }
    lock_drop(&w->vm->writing);
    if (ok) {
        events_ring(w->core);
        vm_copy_later(w->core, &w->vm->id);
    }
    return ok;
}

static bool commit_surely(struct work *w, struct err *err)
{
    while (!commit(w, err)) {
        if (atomic_load(&w->core->closing) || store_is_poisoned(w->core->store))
            return false;
        log_error("the new size of a disk is not recorded yet: %s", err->detail);
        (void)vm_wait(w->core, w->vm, disk_never, NULL, clock_mono_ms() + AGAIN_MS);
        *err = (struct err){0};
    }
    return true;
}

static bool run(struct core *core, struct job *job, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), err)};
    struct work w = {.core = core, .job = job, .vm = hold.vm};
    json_t *result;

    if (!begin(&w, err) || !grow(&w, err) || !is_plausible(&w, err) || !commit_surely(&w, err))
        return false;
    disk_active_set(core, w.vm, &w.id);
    result = json_object();
    json_put_text(result, "disk", UUID_STR(&w.id));
    json_put_u64(result, "size_bytes", w.now);
    job_set_result(job, result);
    return true;
}

static void settle(struct core *core, struct job *job, bool ok)
{
    struct err err = {0};
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), &err)};

    if (hold.vm)
        vm_unclaim(core, hold.vm, job_id(job));
}

const struct job_kind vm_grow_disk_kind = {.name = "vm.grow-disk",
                                           .lane = JOB_LANE_LIFECYCLE,
                                           .run = run,
                                           .settle = settle,
                                           .adopt = vm_adopt};
