/* Archiving a snapshot's memory, and taking it out of the archive again (docs/memory.md,
 * "Archive"). Both make another file of the same memory, compressed or plain:
 *
 *   1 job, row of the new image 'creating'                                  one transaction
 *   2 step "pack"; vmmd-pack writes it, and compares both
 *   3 * image 'live', the snapshot refers to it, the old one is trash       one transaction
 *   4 the old one is removed
 *
 * Before 3 the new one goes, whatever happens; entered again, 2 is done anew. */
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/pace.h"
#include "core/disk/space.h"
#include "core/port/image.h"
#include "core/ram/expand.h"
#include "core/ram/image.h"
#include "core/snap/snap.h"
#include "core/snap/tree.h"
#include "core/vm/kinds.h"
#include "core/vm/registry.h"

#include <fcntl.h>
#include <stdlib.h>

/* ---- the request ---- */

struct request {
    struct core *core;
    struct vm *vm;
    bool pack;
    struct uuid snapshot;
    struct layer from, to;
    uint64_t bytes; /* to be put by */
};

static bool check(struct request *r, const struct snapshot *s, const struct file *file,
                  struct err *err) REQUIRES(r->core->registry.lock);
static bool check(struct request *r, const struct snapshot *s, const struct file *file,
                  struct err *err)
{
    if (s->memory_state != SNAPSHOT_READY || !file || !file->image)
        return err_set(err, ERR_WRONG_STATE,
                       "the snapshot %s has no memory of the guest: only that is archived",
                       s->name);
    if (r->pack == (file->image->packed_bytes > 0))
        return err_set(err, ERR_WRONG_STATE, "the memory of the snapshot %s is %s", s->name,
                       r->pack ? "archived already" : "not archived");
    if (uuid_eq(&r->vm->memory, &file->id))
        return err_set(err, ERR_WRONG_STATE,
                       "%s goes on with this memory when it is started: start it, or discard its "
                       "state, first",
                       r->vm->name);
    return (uuid_eq(&file->vm, &r->vm->id) && !ram_image_is_borrowed(r->core, file)) ||
           err_set(err, ERR_WRONG_STATE,
                   "another VM goes on with the memory of the snapshot %s: start it, or discard "
                   "its state, first",
                   s->name);
}

static bool look(struct request *r, const char *ref, struct err *err)
{
    const struct file *file = NULL;
    struct snapshot *s;
    bool ok;

    lock_take(&r->core->registry.lock);
    s = snapshot_need(r->core, r->vm, ref, err);
    file = s ? file_find(r->core, &s->memory) : NULL;
    ok = s && check(r, s, file, err);
    if (ok) {
        r->snapshot = s->id;
        r->from = r->to = layer_of_file(r->core, file);
        r->to.id = uuid_new();
        r->bytes = file->image->plain_bytes;
    }
    lock_drop(&r->core->registry.lock);
    if (ok && r->pack)
        r->bytes = layer_allocated(&r->from);
    return ok && (space_check(r->core, &r->to.pool, r->bytes, NULL, err) ||
                  err_prefix(err, "the other file of the memory"));
}

struct rows {
    const struct layer *image;
    const struct uuid *job;
};

static bool write_rows(struct store_txn *txn, void *ctx, struct err *err)
{
    const struct rows *rows = ctx;

    return ram_image_rows(txn, rows->image, rows->job, err);
}

static bool submit(struct request *r, const struct origin *origin, struct uuid *op, struct err *err)
{
    CLEANUP(json_decrefp) json_t *args = json_object();
    struct rows rows = {&r->to, op};

    json_put_text(args, "snapshot", UUID_STR(&r->snapshot));
    json_put_text(args, "pool", UUID_STR(&r->to.pool));
    json_put(args, "image", ram_image_args(&r->to));
    return vm_submit(r->core, r->vm,
                     r->pack ? VM_VERB_ARCHIVE_SNAPSHOT : VM_VERB_UNARCHIVE_SNAPSHOT, args, origin,
                     op, write_rows, &rows, err);
}

bool snapshot_archive(struct core *core, const char *ref, const char *snapshot, bool pack,
                      const struct origin *origin, struct uuid *op, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get(core, ref, err)};
    struct request r = {.core = core, .vm = hold.vm, .pack = pack};
    bool ok;

    *op = (struct uuid){0};
    if (!hold.vm)
        return false;
    lock_take(&hold.vm->writing);
    ok = look(&r, snapshot, err) && submit(&r, origin, op, err);
    lock_drop(&hold.vm->writing);
    return ok;
}

/* ---- the operation ---- */

struct work {
    struct core *core;
    struct job *job;
    struct vm *vm;
    struct uuid snapshot;
    struct layer from, to;
    struct ram_image *facts; /* of the new one */
    bool pack, over;
    struct pace pace;
    uint64_t done, total;
};

static void work_clear(struct work *w)
{
    ram_image_free(w->facts);
    if (w->vm)
        vm_put(w->core, w->vm);
}

static bool begin(struct work *w, struct err *err)
{
    const struct file *file;
    struct snapshot *s;

    w->vm = vm_get_id(w->core, job_object(w->job), err);
    w->pack = str_eq(job_kind_name(w->job), vm_archive_snapshot_kind.name);
    if (!w->vm || !uuid_parse(json_get_text(job_args(w->job), "snapshot"), &w->snapshot) ||
        !ram_image_of_job(w->core, &w->vm->id, job_id(w->job), job_args(w->job), &w->to, err))
        return w->vm && err_set(err, ERR_INTERNAL, "the operation names no image");
    lock_take(&w->core->registry.lock);
    s = snapshot_get(w->vm, &w->snapshot);
    file = s ? file_find(w->core, &s->memory) : NULL;
    if (file) {
        w->from = layer_of_file(w->core, file);
        w->over = uuid_eq(&file->id, &w->to.id);
    }
    lock_drop(&w->core->registry.lock);
    return file || err_set(err, ERR_NOT_FOUND, "the snapshot has no memory any more");
}

static bool tell(void *ctx, uint64_t bytes, struct err *err)
{
    struct work *w = ctx;

    w->done += bytes;
    job_progress(w->job, w->done < w->total ? w->done : w->total, w->total);
    return pace_wait(&w->pace, bytes, err);
}

/* Holes are gone through as well, and each byte twice. What an earlier daemon's vmmd-pack may still
 * be writing is another file than this one. */
static bool pack(struct work *w, struct err *err)
{
    CLEANUP(closep) int from = layer_open(&w->from, O_RDONLY, err);
    CLEANUP(closep) int to = -1;

    if (from < 0 || !layer_unlink(&w->to, err))
        return false;
    to = layer_open(&w->to, O_RDWR | O_CREAT | O_EXCL, err);
    if (to < 0)
        return false;
    w->total = 2 * w->to.size_bytes;
    pace_begin_at_once(&w->pace, w->core, w->vm, w->job);
    return image_pack(from, to, tell, w, err) && fs_sync(w->to.dir, "the pool's directory", err);
}

static bool expand(struct work *w, struct err *err)
{
    w->facts = ram_expand_facts(w->core, &w->from.id, err);
    return w->facts && job_step(w->job, "pack", err) &&
           FAILPOINT_AROUND("snapshot.archive.pack",
                            ram_expand(w->core, w->vm, w->job, &w->from, &w->to, err), err);
}

static bool make(struct work *w, struct err *err)
{
    uint64_t plain_bytes;

    if (!w->pack)
        return expand(w, err);
    w->facts = ram_image_get(w->core, &w->from.id, err);
    plain_bytes = layer_allocated(&w->from);
    if (!w->facts || !space_reserve(w->core, &w->to.pool, job_id(w->job), plain_bytes, NULL, err) ||
        !job_step(w->job, "pack", err) ||
        !FAILPOINT_AROUND("snapshot.archive.pack", pack(w, err), err))
        return false;
    w->facts->packed_bytes = layer_allocated(&w->to);
    w->facts->plain_bytes = plain_bytes;
    return true;
}

static bool write_all(struct work *w, const struct snapshot *s, bool *last, struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(w->core->store, err);
    json_t *data = json_object();
    struct snapshot_record row;

    snapshot_record_fill(s, &row);
    row.memory = w->to.id;
    json_put_text(data, "name", s->name);
    json_put_text(data, "vm", UUID_STR(&w->vm->id));
    if (!txn) {
        json_decref(data);
        return false;
    }
    return event_add(txn, "snapshot.changed", "snapshot", &s->id, data, err) &&
           ram_image_write_live(txn, &w->to, w->facts, err) && store_snapshot_put(txn, &row, err) &&
           ram_image_let_go(txn, &w->from.id, last, err) &&
           FAILPOINT("snapshot.archive.commit", err) && store_commit(&txn, err);
}

static bool commit(struct work *w, struct err *err)
{
    bool ok, last = false;
    struct snapshot *s;

    lock_take(&w->vm->writing);
    s = snapshot_get(w->vm, &w->snapshot);
    ok = s ? write_all(w, s, &last, err) : err_set(err, ERR_NOT_FOUND, "the snapshot is gone");
    if (ok) {
        ram_image_set_live(w->core, &w->to, TAKE(w->facts));
        lock_take(&w->core->registry.lock);
        s->memory = w->to.id;
        lock_drop(&w->core->registry.lock);
        ram_image_left(w->core, &w->from.id, last);
    }
    lock_drop(&w->vm->writing);
    if (ok) {
        events_ring(w->core);
        vm_copy_later(w->core, &w->vm->id);
    }
    return ok;
}

static void set_result(struct work *w, uint64_t before)
{
    json_t *result = json_object();

    json_put_text(result, "snapshot", UUID_STR(&w->snapshot));
    json_put_u64(result, "before_bytes", before);
    json_put_u64(result, "after_bytes", layer_allocated(&w->to));
    job_set_result(w->job, result);
}

static bool run(struct core *core, struct job *job, struct err *err)
{
    CLEANUP(work_clear) struct work w = {.core = core, .job = job};
    uint64_t before;

    if (!begin(&w, err))
        return false;
    if (!w.over) {
        before = layer_allocated(&w.from);
        if (!make(&w, err) || !commit(&w, err))
            return false;
        set_result(&w, before);
    }
    ram_images_sweep(core);
    files_settle_vm(core, &w.vm->id); /* what a daemon before this one left in the trash */
    return true;
}

static void settle(struct core *core, struct job *job, bool ok)
{
    CLEANUP(work_clear) struct work w = {.core = core, .job = job};
    struct err err = {0};

    if (begin(&w, &err) && !ok && !w.over && job_undo(job))
        ram_image_drop(core, &w.to);
    space_release(core, job_id(job));
    if (w.vm)
        vm_unclaim(core, w.vm, job_id(job));
}

const struct job_kind vm_archive_snapshot_kind = {.name = "vm.archive-snapshot",
                                                  .lane = JOB_LANE_COPY,
                                                  .cancellable = true,
                                                  .limitable = true,
                                                  .shares = true,
                                                  .run = run,
                                                  .settle = settle,
                                                  .adopt = vm_adopt};
const struct job_kind vm_unarchive_snapshot_kind = {.name = "vm.unarchive-snapshot",
                                                    .lane = JOB_LANE_COPY,
                                                    .cancellable = true,
                                                    .limitable = true,
                                                    .shares = true,
                                                    .run = run,
                                                    .settle = settle,
                                                    .adopt = vm_adopt};
