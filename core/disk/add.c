/* Adding a disk (docs/storage.md):
 *
 *   1 job, row of its file 'creating'                           one transaction, at the request
 *   2 the file is made
 *   3 * disk row, file 'live', the configuration with it        one transaction: the commit point
 *   4 a running machine gets it
 *
 * With a 'source' it is an import: between 2 and 3 the file is filled (import.c), which is why that
 * is another kind, of the copy lane.
 *
 * Before 3 the file goes. After it only forward, but for one thing: a machine that refuses the
 * device. Then 3 is taken back and the operation fails, with nothing changed. */
#include "core/disk/change.h"

#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/disks.h"
#include "core/disk/import.h"
#include "core/disk/pool.h"
#include "core/disk/space.h"
#include "core/model/profile.h"
#include "core/model/rules.h"
#include "core/snap/tree.h"
#include "core/user/sight_inside.h"
#include "core/vm/kinds.h"
#include "core/vm/registry.h"

#include <stdlib.h>
#include <string.h>

#define AGAIN_MS 1000
#define DISK_MIN (1ull << 20) /* the least that a VM's disk has */

/* ---- the request ---- */

static bool is_live(const struct vm *vm, void *ctx)
{
    return vm_run_is_live(vm->run);
}

/* The lowest that no disk of the VM has. */
static unsigned free_position(struct core *core, const struct uuid *vm)
{
    unsigned taken = 0, n = 0;

    lock_take(&core->registry.lock);
    for (struct disk *d = disks_of(core, vm); d; d = d->next)
        taken |= d->position < VM_DISKS_MAX ? 1u << d->position : 0;
    lock_drop(&core->registry.lock);
    while (taken >> n & 1)
        n++;
    return n;
}

/* The root of a pool by name or id, or of the oldest one; "" when there is none, which is said once
 * the disk itself is looked at. */
static char *root_of(struct core *core, const char *ref)
{
    struct pool *pool;
    char *root;

    lock_take(&core->registry.lock);
    pool = ref ? pool_find(core, ref) : core->registry.pools;
    root = str_dup(pool ? pool->root : "");
    lock_drop(&core->registry.lock);
    return root;
}

/* The disk is as large as the image's, if it is not said to be larger. Whether what is said is a
 * size at all, the disk's own rules say. */
static bool decode_source(struct core *core, json_t *said, struct import *import, struct err *err)
{
    const json_t *source = json_object_get(said, "source");
    const bool sized = json_object_get(said, "size_bytes") != NULL;
    const uint64_t size = json_get_u64(said, "size_bytes", 0);
    CLEANUP(mem_freep) char *root = NULL;

    if (!source)
        return true;
    root = root_of(core, json_get_text(said, "pool"));
    if (!import_open(core, source, root, import, err))
        return false;
    if (size && size < import->facts.virtual_bytes)
        return err_field(err, ERR_INVALID, "/size_bytes",
                         "the image has a disk of %llu bytes, and it is not cut: leave size_bytes "
                         "out, or say more",
                         (unsigned long long)import->facts.virtual_bytes);
    if (!sized)
        json_put_u64(said, "size_bytes",
                     import->facts.virtual_bytes < DISK_MIN ? DISK_MIN
                                                            : import->facts.virtual_bytes);
    json_object_del(said, "source");
    return true;
}

static bool decode(struct core *core, struct vm *vm, const json_t *body, struct vm_disk *out,
                   struct import *import, struct err *err)
{
    CLEANUP(json_decrefp) json_t *said = json_deep_copy(body);
    int profile;

    lock_take(&core->registry.lock);
    profile = vm->spec.profile;
    lock_drop(&core->registry.lock);
    if (json_is_object(said) && !json_object_get(said, "format"))
        json_put_text(said, "format", pool_format(core, json_get_text(said, "pool")));
    return (!json_is_object(said) || decode_source(core, said, import, err)) &&
           vm_disk_decode(profile, said, out, err);
}

/* Under vm->writing. */
static bool check(struct core *core, struct vm *vm, struct vm_disk *disk, struct err *err)
{
    CLEANUP(vm_spec_freep) struct vm_spec *spec = NULL;

    if (!disk_size_rules(disk->format, disk->size_bytes, err) ||
        !disk_limits_rules(&disk->limits, err))
        return false;
    if (disk->bus == DISK_BUS_IDE && vm_is(core, vm, is_live, NULL))
        return err_field(err, ERR_WRONG_STATE, "/bus",
                         "%s runs, and IDE disks cannot be plugged in then: stop it first, or "
                         "choose the bus virtio, scsi, usb or nvme",
                         vm->name);
    if (vm->spec.n_disks >= VM_DISKS_MAX)
        return err_set(err, ERR_INVALID, "%s has %u disks, and no VM has more", vm->name,
                       VM_DISKS_MAX);
    if (!disk_plan(core, disk, "/pool", err))
        return false;
    spec = spec_with_disk(&vm->spec, disk);
    return vm_spec_rules(spec, err);
}

static struct layer layer_of(struct core *core, const struct uuid *vm, const struct vm_disk *disk,
                             const struct uuid *file)
{
    struct layer layer = {
        .id = *file, .vm = *vm, .format = disk->format, .size_bytes = disk->size_bytes, .dir = -1};
    struct pool *pool;

    if (!uuid_parse(disk->pool, &layer.pool))
        return layer;
    lock_take(&core->registry.lock);
    pool = pool_find(core, disk->pool);
    layer.dir = pool ? pool->dir : -1;
    lock_drop(&core->registry.lock);
    return layer;
}

struct rows {
    struct layer layer;
    const struct uuid *job;
};

static bool write_rows(struct store_txn *txn, void *ctx, struct err *err)
{
    const struct rows *rows = ctx;

    return layer_write(txn, &rows->layer, "creating", rows->job, err) &&
           FAILPOINT("disk.add.rows", err);
}

static void clear_disk(struct vm_disk *disk)
{
    model_clear(&vm_disk_model, disk);
}

/* What an import would make, and of what. */
static json_t *plan_of(struct core *core, const struct import *import, const struct vm_disk *disk)
{
    json_t *v = json_object(), *pool;

    lock_take(&core->registry.lock);
    pool = pool_name_of(core, disk->pool);
    lock_drop(&core->registry.lock);
    json_put_text(v, "file", import->source.file);
    json_put_text(v, "root", import->source.root);
    json_put_text(v, "image_format", image_format_names[import->facts.format]);
    json_put_u64(v, "image_bytes", import->facts.virtual_bytes);
    json_put_u64(v, "file_bytes", import->facts.file_bytes);
    json_put_u64(v, "bytes", import->facts.data_bytes);
    json_put(v, "pool", pool);
    json_put_text(v, "format", disk_format_names[disk->format]);
    json_put_text(v, "bus", disk_bus_names[disk->bus]);
    json_put_u64(v, "size_bytes", disk->size_bytes);
    return v;
}

/* What the copy takes is put by once it begins; what cannot be now is said at once. */
static bool check_room(struct core *core, const struct import *import, const struct vm_disk *disk,
                       struct err *err)
{
    struct uuid pool;

    if (import->fd < 0)
        return true;
    return (uuid_parse(disk->pool, &pool) ||
            err_set(err, ERR_INTERNAL, "the disk is in no pool")) &&
           space_check(core, &pool, import->facts.data_bytes, "/pool", err);
}

/* '*plan' (may be NULL) becomes what an import would be. */
static bool add(struct core *core, const char *ref, const json_t *body, const struct origin *origin,
                struct uuid *op, json_t **plan, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get(core, ref, err)};
    CLEANUP(clear_disk) struct vm_disk disk = {0};
    CLEANUP(import_close) struct import import = {.fd = -1};
    CLEANUP(json_decrefp) json_t *args = json_object();
    const struct uuid file = uuid_new();
    struct rows rows = {.job = op};
    bool ok;

    *op = (struct uuid){0};
    if (!hold.vm || !decode(core, hold.vm, body, &disk, &import, err))
        return false;
    lock_take(&hold.vm->writing);
    ok = check(core, hold.vm, &disk, err) && check_room(core, &import, &disk, err) &&
         sight_may_add_pool(core, hold.vm, disk.pool, err);
    if (ok) {
        rows.layer = layer_of(core, &hold.vm->id, &disk, &file);
        json_put(args, "disk", model_encode(&vm_disk_model, &disk));
        json_put_text(args, "file", UUID_STR(&file));
        json_put_u64(args, "position", free_position(core, &hold.vm->id));
        if (import.fd >= 0)
            json_put(args, "source", import_encode(&import));
        ok = vm_submit(core, hold.vm, import.fd >= 0 ? VM_VERB_IMPORT_DISK : VM_VERB_ADD_DISK, args,
                       origin, op, write_rows, &rows, err);
    }
    lock_drop(&hold.vm->writing);
    if (ok && plan && import.fd >= 0)
        *plan = plan_of(core, &import, &disk);
    return ok;
}

bool disk_add(struct core *core, const char *ref, const json_t *body, const struct origin *origin,
              struct uuid *op, struct err *err)
{
    return add(core, ref, body, origin, op, NULL, err);
}

json_t *disk_import_plan(struct core *core, const char *ref, const json_t *body,
                         const struct origin *origin, struct err *err)
{
    struct origin dry = *origin;
    json_t *plan = NULL;
    struct uuid none;

    dry.dry_run = true;
    if (!json_object_get(body, "source")) {
        err_field(err, ERR_INVALID, "/source", "is missing: which image is it?");
        return NULL;
    }
    return add(core, ref, body, &dry, &none, &plan, err) ? plan : NULL;
}

/* ---- the operation ---- */

struct work {
    struct core *core;
    struct job *job;
    struct vm *vm;
    struct vm_disk disk;
    struct uuid file;
    struct layer layer;
    unsigned position;
};

static void work_clear(struct work *w)
{
    clear_disk(&w->disk);
}

/* After a restart memory has the file from its row. */
static void enlist_file(struct work *w)
{
    struct file *file;

    lock_take(&w->core->registry.lock);
    if (!file_find(w->core, &w->file)) {
        file = mem_alloc(sizeof *file);
        *file = (struct file){.id = w->file,
                              .pool = w->layer.pool,
                              .vm = w->vm->id,
                              .format = w->layer.format,
                              .size_bytes = w->layer.size_bytes,
                              .job = *job_id(w->job)};
        file_index_add(w->core, file);
    }
    lock_drop(&w->core->registry.lock);
}

static bool begin(struct work *w, struct err *err)
{
    const json_t *args = job_args(w->job);

    if (!w->vm)
        return false;
    if (!uuid_parse(json_get_text(args, "file"), &w->file) ||
        !model_decode(&vm_disk_model, json_object_get(args, "disk"), MODEL_STORED, &w->disk, err))
        return err_set(err, ERR_INTERNAL, "the operation does not say which disk");
    w->position = (unsigned)json_get_u64(args, "position", 0);
    w->layer = layer_of(w->core, &w->vm->id, &w->disk, &w->file);
    return true;
}

static bool is_committed(struct work *w)
{
    bool yes;

    lock_take(&w->core->registry.lock);
    yes = disk_find(w->core, &w->disk.id) != NULL;
    lock_drop(&w->core->registry.lock);
    return yes;
}

static struct disk new_disk(const struct work *w)
{
    return (struct disk){.id = w->disk.id,
                         .vm = w->vm->id,
                         .pool = w->layer.pool,
                         .position = w->position,
                         .size_bytes = w->disk.size_bytes,
                         .format = w->disk.format,
                         .bus = w->disk.bus,
                         .leaf = w->file,
                         .created_ms = clock_wall_ms()};
}

static json_t *event_of(const struct work *w)
{
    json_t *data = json_object();

    json_put_text(data, "vm", UUID_STR(&w->vm->id));
    json_put_text(data, "bus", disk_bus_names[w->disk.bus]);
    json_put_u64(data, "size_bytes", w->disk.size_bytes);
    return data;
}

/* ---- step 3, and back ---- */

static bool write_added(struct work *w, const struct disk *disk, const struct vm_spec *spec,
                        struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(w->core->store, err);
    const struct uuid none = {0};

    return txn && layer_write(txn, &w->layer, "live", &none, err) &&
           disk_row_write(txn, disk, err) && disks_spec_write(w->core, txn, w->vm, spec, err) &&
           event_add(txn, "disk.added", "disk", &disk->id, event_of(w), err) &&
           FAILPOINT("disk.add.commit", err) && store_commit(&txn, err);
}

static void enlist(struct work *w, const struct disk *disk)
{
    struct disk *copy = mem_dup(disk, sizeof *disk);
    struct file *file;

    lock_take(&w->core->registry.lock);
    file = file_find(w->core, &w->file);
    if (file)
        file->state = FILE_LIVE;
    disk_index_add(w->core, copy);
    lock_drop(&w->core->registry.lock);
}

static bool commit(struct work *w, struct err *err)
{
    CLEANUP(vm_spec_freep) struct vm_spec *spec = NULL;
    const struct disk disk = new_disk(w);
    bool ok;

    lock_take(&w->vm->writing);
    spec = spec_with_disk(&w->vm->spec, &w->disk);
    ok = write_added(w, &disk, spec, err);
    if (ok) {
        enlist(w, &disk);
        disks_spec_set(w->core, w->vm, &spec);
    }
    lock_drop(&w->vm->writing);
    if (ok) {
        events_ring(w->core);
        vm_copy_later(w->core, &w->vm->id);
    }
    return ok;
}

static bool write_taken_back(struct work *w, const struct vm_spec *spec, struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(w->core->store, err);

    return txn && store_disk_remove(txn, &w->disk.id, err) &&
           layer_write(txn, &w->layer, "trash", job_id(w->job), err) &&
           disks_spec_write(w->core, txn, w->vm, spec, err) &&
           event_add(txn, "disk.removed", "disk", &w->disk.id, event_of(w), err) &&
           FAILPOINT("disk.add.back", err) && store_commit(&txn, err);
}

static bool take_back(struct work *w, struct err *err)
{
    CLEANUP(vm_spec_freep) struct vm_spec *spec = NULL;
    bool ok;

    lock_take(&w->vm->writing);
    spec = spec_without_disk(&w->vm->spec, &w->disk.id);
    ok = write_taken_back(w, spec, err);
    if (ok) {
        disk_index_take(w->core, &w->disk.id);
        files_discard(w->core, &w->layer, 1);
        disks_spec_set(w->core, w->vm, &spec);
    }
    lock_drop(&w->vm->writing);
    if (ok) {
        events_ring(w->core);
        vm_copy_later(w->core, &w->vm->id);
        files_settle_vm(w->core, &w->vm->id);
    }
    return ok;
}

/* The machine has not got it: what the configuration says must not differ from that. */
static void take_back_surely(struct work *w)
{
    struct err err = {0};

    while (!take_back(w, &err)) {
        log_error("a disk that could not be plugged in is not taken back yet: %s", err.detail);
        if (atomic_load(&w->core->closing) || store_is_poisoned(w->core->store))
            return;
        (void)vm_wait(w->core, w->vm, disk_never, NULL, clock_mono_ms() + AGAIN_MS);
        err = (struct err){0};
    }
}

/* ---- the run ---- */

static bool fill(struct work *w, struct err *err)
{
    const json_t *source = json_object_get(job_args(w->job), "source");

    return !source || import_fill(w->core, w->job, w->vm->backend, &w->layer, source, err);
}

static bool make(struct work *w, struct err *err)
{
    enlist_file(w);
    return FAILPOINT("disk.add.file", err) && layer_make(w->core, &w->layer, err) && fill(w, err) &&
           (!job_cancelled(w->job) || err_set(err, ERR_CANCELLED, "cancelled")) && commit(w, err);
}

static bool run(struct core *core, struct job *job, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), err)};
    CLEANUP(work_clear) struct work w = {.core = core, .job = job, .vm = hold.vm};
    json_t *result = json_object();
    bool refused, ok;

    if (!begin(&w, err)) {
        json_decref(result);
        return false;
    }
    json_put_text(result, "disk", UUID_STR(&w.disk.id));
    job_set_result(job, result);
    if (!is_committed(&w) && !make(&w, err))
        return false;
    ok = disk_plug(core, w.vm, &w.disk.id, &refused, err);
    if (refused)
        take_back_surely(&w);
    return ok;
}

static void settle(struct core *core, struct job *job, bool ok)
{
    struct err err = {0};
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), &err)};
    CLEANUP(work_clear) struct work w = {.core = core, .job = job, .vm = hold.vm};

    import_settle(core, job);
    if (!hold.vm)
        return;
    if (!ok && begin(&w, &err) && !is_committed(&w))
        layers_remove(core, &w.layer, 1);
    vm_unclaim(core, hold.vm, job_id(job));
}

const struct job_kind vm_add_disk_kind = {.name = "vm.add-disk",
                                          .lane = JOB_LANE_LIFECYCLE,
                                          .cancellable = true,
                                          .run = run,
                                          .settle = settle,
                                          .adopt = vm_adopt};

const struct job_kind vm_import_disk_kind = {.name = "vm.import-disk",
                                             .lane = JOB_LANE_COPY,
                                             .cancellable = true,
                                             .run = run,
                                             .settle = settle,
                                             .adopt = vm_adopt};
