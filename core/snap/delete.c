/* Deleting a snapshot (docs/storage.md): what lies on its files takes over what it still needs of
 * them, one file after the other, and then they go.
 *
 *   for each disk, for each file C on the snapshot's file F:
 *     1 QEMU copies F's data into C ("stream"), where C has none of its own
 *     2 * C's parent is F's parent                                       one transaction
 *   3 * the snapshot's row goes, F to the trash                          one transaction
 *   4 F is removed
 *
 * A file that clones lie on (core/disk/lent.h) is neither read nor removed: it stays for them,
 * belongs to nobody from 3 on, and what the VM itself has on it still lies there.
 *
 * Where only one C lies on F and is the smaller, F stays without a snapshot instead, and C goes
 * down into it after 3 (down.c).
 *
 * Nothing is taken away before 3: until then the snapshot can be reverted to, and a cancelled or
 * interrupted deletion is taken up where it was. A running VM's QEMU does the work, for a VM that
 * is off one that never runs its guest. */
#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/blocks.h"
#include "core/disk/disks.h"
#include "core/disk/lent.h"
#include "core/ram/image.h"
#include "core/snap/down.h"
#include "core/snap/merge.h"
#include "core/snap/snap.h"
#include "core/snap/tree.h"
#include "core/vm/kinds.h"
#include "core/vm/registry.h"

#include <stdlib.h>
#include <string.h>

/* ---- the request ---- */

bool snapshot_delete(struct core *core, const char *ref, const char *snapshot,
                     const uint64_t *bytes_per_s, const struct origin *origin, struct uuid *op,
                     struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get(core, ref, err)};
    CLEANUP(json_decrefp) json_t *args = json_object();
    struct snapshot *s;

    *op = (struct uuid){0};
    if (!hold.vm)
        return false;
    lock_take(&core->registry.lock);
    s = snapshot_need(core, hold.vm, snapshot, err);
    if (s)
        json_put_text(args, "snapshot", UUID_STR(&s->id));
    if (bytes_per_s)
        json_put_u64(args, "bandwidth", *bytes_per_s);
    lock_drop(&core->registry.lock);
    return s &&
           vm_submit(core, hold.vm, VM_VERB_DELETE_SNAPSHOT, args, origin, op, NULL, NULL, err);
}

/* ---- the operation ---- */

struct work {
    struct core *core;
    struct job *job;
    struct vm *vm;
    struct uuid id;
    struct pace pace;
};

/* The files of the snapshot, copied. */
static struct layer *files_of(struct work *w, size_t *n)
{
    struct layer *list = NULL;
    struct snapshot *s;

    *n = 0;
    lock_take(&w->core->registry.lock);
    s = snapshot_get(w->vm, &w->id);
    list = mem_array((s ? s->n_disks : 0) + 1, sizeof *list);
    for (size_t i = 0; s && i < s->n_disks; i++) {
        struct file *file = file_find(w->core, &s->disks[i].file);
        if (file)
            list[(*n)++] = layer_of_file(w->core, file);
    }
    lock_drop(&w->core->registry.lock);
    return list;
}

static bool goes_down(struct work *w, const struct uuid *id)
{
    struct file *file;
    bool down;

    lock_take(&w->core->registry.lock);
    file = file_find(w->core, id);
    down = file && down_is_better(w->core, w->vm, file);
    lock_drop(&w->core->registry.lock);
    return down;
}

/* Leaves out those that will take over what lies on them. */
static void keep_bases(struct work *w, struct layer *files, size_t *n)
{
    size_t kept = 0;

    for (size_t i = 0; i < *n; i++)
        if (!goes_down(w, &files[i].id))
            files[kept++] = files[i];
    *n = kept;
}

/* Some file whose parent is 'file'; false when there is none. */
static bool child_of(struct work *w, const struct uuid *file, struct layer *out)
{
    struct disk_owner *owner;
    bool found = false;

    lock_take(&w->core->registry.lock);
    owner = disk_owner_find(w->core, &w->vm->id);
    for (struct file *f = owner ? owner->files : NULL; f && !found; f = f->next) {
        found = uuid_eq(&f->parent, file);
        if (found)
            *out = layer_of_file(w->core, f);
    }
    lock_drop(&w->core->registry.lock);
    return found;
}

static bool write_parent(struct work *w, const struct layer *child, struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(w->core->store, err);
    const struct uuid none = {0};

    return txn && layer_write(txn, child, "live", &none, err) &&
           FAILPOINT("snapshot.merge.commit", err) && store_commit(&txn, err);
}

/* Steps 1 and 2 for one child. */
static bool take_over(struct work *w, const struct layer *from, struct layer *child,
                      struct err *err)
{
    struct file *file;

    if (!FAILPOINT("snapshot.merge.stream", err) ||
        !merge_stream(w->core, w->vm, &w->pace, from, child, err))
        return false;
    child->parent = from->parent;
    if (!write_parent(w, child, err))
        return false;
    lock_take(&w->core->registry.lock);
    file = file_find(w->core, &child->id);
    if (file)
        file_set_parent(w->core, file, &child->parent);
    lock_drop(&w->core->registry.lock);
    return true;
}

/* ---- step 3 ---- */

static bool write_children(struct work *w, struct store_txn *txn, const struct uuid *parent,
                           struct err *err)
{
    for (struct snapshot *s = w->vm->snapshots; s; s = s->next) {
        struct snapshot_record row;
        if (!uuid_eq(&s->parent, &w->id))
            continue;
        snapshot_record_fill(s, &row);
        row.parent = *parent;
        if (!store_snapshot_put(txn, &row, err))
            return false;
    }
    return true;
}

static bool write_vm(struct work *w, struct store_txn *txn, const struct uuid *parent,
                     struct err *err)
{
    struct vm_record record;
    struct vm_texts texts;
    bool ok;

    lock_take(&w->core->registry.lock);
    vm_record_fill(w->vm, &record, &texts);
    lock_drop(&w->core->registry.lock);
    if (uuid_eq(&record.stands_on, &w->id))
        record.stands_on = *parent;
    record.state_revision++;
    ok = store_vm_put(txn, &record, err);
    vm_texts_clear(&texts);
    return ok;
}

/* What still lies on a file was lent when its turn came. The same for rows and for memory, since
 * clones may go at any time. */
static bool *which_stay(struct work *w, const struct layer *files, size_t n)
{
    bool *stay = mem_array(n + 1, sizeof *stay);

    lock_take(&w->core->registry.lock);
    for (size_t i = 0; i < n; i++) {
        struct file *file = file_find(w->core, &files[i].id);
        stay[i] = file && file->children;
    }
    lock_drop(&w->core->registry.lock);
    return stay;
}

/* '*last': nobody needs the snapshot's memory any more. */
static bool write_gone(struct work *w, const struct snapshot *s, const struct layer *files,
                       const bool *stay, size_t n, bool *last, struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(w->core->store, err);
    json_t *data;
    bool ok = txn != NULL;

    if (!txn)
        return false;
    for (size_t i = 0; ok && i < n; i++)
        ok = stay[i] ? layer_write_nobodys(txn, &files[i], err)
                     : layer_write(txn, &files[i], "trash", job_id(w->job), err);
    data = json_object();
    json_put_text(data, "name", s->name);
    json_put_text(data, "vm", UUID_STR(&w->vm->id));
    ok = event_add(txn, "snapshot.deleted", "snapshot", &w->id, data, err) && ok;
    return ok && write_children(w, txn, &s->parent, err) && write_vm(w, txn, &s->parent, err) &&
           store_snapshot_remove(txn, &w->id, err) &&
           ram_image_let_go(txn, &s->memory, last, err) &&
           FAILPOINT("snapshot.delete.commit", err) && store_commit(&txn, err);
}

static void apply_gone(struct work *w, struct snapshot *s)
{
    lock_take(&w->core->registry.lock);
    for (struct snapshot *child = w->vm->snapshots; child; child = child->next)
        if (uuid_eq(&child->parent, &w->id))
            child->parent = s->parent;
    if (uuid_eq(&w->vm->stands_on, &w->id))
        w->vm->stands_on = s->parent;
    w->vm->state_revision++;
    snapshot_delist(w->vm, s);
    lock_drop(&w->core->registry.lock);
}

static bool commit(struct work *w, const struct layer *files, size_t n, struct err *err)
{
    CLEANUP(mem_freep) bool *stay = which_stay(w, files, n);
    struct snapshot *s;
    bool ok, last = false;

    lock_take(&w->vm->writing);
    s = snapshot_get(w->vm, &w->id);
    ok = !s || write_gone(w, s, files, stay, n, &last, err);
    for (size_t i = 0; s && ok && i < n; i++) {
        if (stay[i])
            file_leave(w->core, &files[i].id);
        else
            files_discard(w->core, &files[i], 1);
    }
    if (s && ok) {
        ram_image_left(w->core, &s->memory, last);
        apply_gone(w, s);
    }
    lock_drop(&w->vm->writing);
    if (ok) {
        events_ring(w->core);
        vm_copy_now(w->core, w->vm); /* the snapshot's files are merged into from here on */
    }
    return ok;
}

static bool is_lent(struct work *w, const struct uuid *id)
{
    struct file *file;
    bool lent;

    lock_take(&w->core->registry.lock);
    file = file_find(w->core, id);
    lent = file && file_is_lent(w->core, file);
    lock_drop(&w->core->registry.lock);
    return lent;
}

/* A copy that an earlier daemon began comes first: QEMU has it still, under way or over. QEMU 7.2
 * ends in a segmentation fault when it is asked for its nodes while a stream is over and was not
 * dismissed. */
static void put_begun_first(struct work *w, struct layer *files, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        const struct layer moved = files[i];
        struct layer child;
        if (!child_of(w, &files[i].id, &child) || !merge_is_begun(w->core, w->vm, &child))
            continue;
        files[i] = files[0];
        files[0] = moved;
    }
}

static bool take_all_over(struct work *w, const struct layer *files, size_t n, struct err *err)
{
    struct layer child;

    for (size_t i = 0; i < n; i++)
        while (!is_lent(w, &files[i].id) && child_of(w, &files[i].id, &child)) {
            if (job_cancelled(w->job) && !merge_is_begun(w->core, w->vm, &child))
                return err_set(err, ERR_CANCELLED, "the snapshot is still there");
            if (!take_over(w, &files[i], &child, err))
                return false;
        }
    return true;
}

/* Of a snapshot that is there still; when it is gone, what it left has to be seen to. */
static bool is_called_off(struct work *w, struct err *err)
{
    bool there;

    lock_take(&w->core->registry.lock);
    there = snapshot_get(w->vm, &w->id) != NULL;
    lock_drop(&w->core->registry.lock);
    return there && job_cancelled(w->job) &&
           !err_set(err, ERR_CANCELLED, "the snapshot is still there");
}

static bool run(struct core *core, struct job *job, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), err)};
    struct work w = {.core = core, .job = job, .vm = hold.vm};
    CLEANUP(mem_freep) struct layer *files = NULL;
    struct err ignored = {0};
    size_t n;

    if (!w.vm)
        return false;
    pace_begin_at_once(&w.pace, core, w.vm, job);
    if (!json_object_get(job_args(job), "snapshot")) /* what another one left (unfinished.c) */
        return down_all(core, w.vm, &w.pace, err);
    if (!uuid_parse(json_get_text(job_args(job), "snapshot"), &w.id))
        return err_set(err, ERR_INTERNAL, "the operation has no snapshot");
    files = files_of(&w, &n);
    keep_bases(&w, files, &n);
    put_begun_first(&w, files, n);
    if (!take_all_over(&w, files, n, err) || is_called_off(&w, err))
        return false;
    /* Before they are trash: what QEMU still holds of a file that is gone would take its space for
     * as long as the VM runs, and whoever goes on after a kill knows no more which files it was. */
    merge_forget(core, w.vm, files, n);
    if (!commit(&w, files, n, err))
        return false;
    err_ignore(nvram_forget(core, w.vm, &w.id, &ignored), &ignored);
    ram_images_sweep(core);
    files_settle_vm(core, &w.vm->id);
    return down_all(core, w.vm, &w.pace, err);
}

static void settle(struct core *core, struct job *job, bool ok)
{
    struct err err = {0};
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), &err)};

    if (!hold.vm)
        return;
    vm_unclaim(core, hold.vm, job_id(job));
}

const struct job_kind vm_delete_snapshot_kind = {.name = "vm.delete-snapshot",
                                                 .lane = JOB_LANE_COPY,
                                                 .cancellable = true,
                                                 .limitable = true,
                                                 .shares = true,
                                                 .run = run,
                                                 .settle = settle,
                                                 .adopt = vm_adopt};
