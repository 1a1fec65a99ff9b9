/* Merging downward: see down.h. For each file F that no snapshot has, with one file C on it:
 *
 *   1 QEMU moves what C has down into F; a disk that writes to C goes on in F (merge_commit())
 *   2 * what lay on C lies on F, whatever had C has F, C to the trash       one transaction
 *   3 C is removed
 *
 * Until 2 the chain is the old one, and F holds a part of what C shadows. Once a disk has switched
 * there is only forward. */
#include "core/snap/down.h"

#include "core/base/failpoint.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/disk/blocks.h"
#include "core/disk/disks.h"
#include "core/disk/lent.h"
#include "core/snap/tree.h"
#include "core/vm/registry.h"

#include <string.h>

#define TRIES    3
#define AGAIN_MS 200

/* ---- which ---- */

/* The one file on 'file'; NULL when there are more, or others' (of what is going they count). */
static struct file *only_child(struct core *core, const struct vm *vm, const struct file *file)
    REQUIRES(core->registry.lock);
static struct file *only_child(struct core *core, const struct vm *vm, const struct file *file)
{
    struct disk_owner *owner = disk_owner_find(core, &vm->id);
    struct file *child = NULL;

    if (file->children != 1)
        return NULL;
    for (struct file *f = owner ? owner->files : NULL; f; f = f->next)
        if (uuid_eq(&f->parent, &file->id))
            child = f;
    return child && child->state == FILE_LIVE ? child : NULL;
}

static struct disk *disk_of_leaf(struct core *core, const struct vm *vm, const struct uuid *file)
    REQUIRES(core->registry.lock);
static struct disk *disk_of_leaf(struct core *core, const struct vm *vm, const struct uuid *file)
{
    for (struct disk *d = disks_of(core, &vm->id); d; d = d->next)
        if (uuid_eq(&d->leaf, file))
            return d;
    return NULL;
}

/* What lies on 'file' in the chain of one of the VM's disks; NULL: it is in none, or a leaf. */
static struct file *above_in_use(struct core *core, const struct vm *vm, const struct uuid *file)
    REQUIRES(core->registry.lock);
static struct file *above_in_use(struct core *core, const struct vm *vm, const struct uuid *file)
{
    for (struct disk *d = disks_of(core, &vm->id); d; d = d->next)
        for (struct file *f = file_find(core, &d->leaf); f; f = file_find(core, &f->parent))
            if (uuid_eq(&f->parent, file))
                return f;
    return NULL;
}

/* Of an overlay that a failed operation left nothing is believed: it is not LIVE. A disk that grew
 * shows zeroes beyond the end of what it lies on; it would show them no more. */
static bool fill(struct core *core, struct vm *vm, const struct file *base, struct merge_down *out)
    REQUIRES(core->registry.lock);
static bool fill(struct core *core, struct vm *vm, const struct file *base, struct merge_down *out)
{
    struct file *top = only_child(core, vm, base), *above;
    struct disk *disk = top ? disk_of_leaf(core, vm, &top->id) : NULL;

    if (!top || base->state == FILE_TRASH || file_is_lent(core, base) || file_is_lent(core, top) ||
        disk_of_leaf(core, vm, &base->id) || top->size_bytes != base->size_bytes ||
        !uuid_eq(&top->pool, &base->pool))
        return false;
    above = above_in_use(core, vm, &top->id);
    if (vm->machine && !disk && !above)
        return false;
    *out = (struct merge_down){.top = layer_of_file(core, top), .base = layer_of_file(core, base)};
    if (disk) {
        out->disk = disk->id;
    } else if (above) {
        out->above = layer_of_file(core, above);
        out->above_is_leaf = disk_of_leaf(core, vm, &above->id) != NULL;
    }
    return true;
}

bool down_is_better(struct core *core, struct vm *vm, const struct file *file)
{
    struct merge_down down;

    return snapshots_with_file(vm, &file->id) == 1 && fill(core, vm, file, &down) &&
           layer_allocated(&down.top) < layer_allocated(&down.base);
}

static bool next(struct core *core, struct vm *vm, struct merge_down *out)
{
    struct disk_owner *owner;
    bool found = false;

    lock_take(&core->registry.lock);
    owner = disk_owner_find(core, &vm->id);
    for (struct file *f = owner ? owner->files : NULL; f && !found; f = f->next)
        found = !snapshots_with_file(vm, &f->id) && fill(core, vm, f, out);
    lock_drop(&core->registry.lock);
    return found;
}

/* ---- step 2 ---- */

static bool write_lying_on(struct core *core, struct store_txn *txn, const struct vm *vm,
                           const struct merge_down *d, struct err *err)
{
    CLEANUP(mem_freep) struct layer *all = NULL;
    const struct uuid none = {0};
    size_t n;

    all = layers_of_vm(core, &vm->id, &n);
    for (size_t i = 0; i < n; i++) {
        if (!uuid_eq(&all[i].parent, &d->top.id))
            continue;
        all[i].parent = d->base.id;
        if (!layer_write(txn, &all[i], "live", &none, err))
            return false;
    }
    return true;
}

/* Puts F in the place of C. */
static void replace(struct snapshot_disk_record *disks, size_t n, const struct merge_down *d)
{
    for (size_t i = 0; i < n; i++)
        if (uuid_eq(&disks[i].file, &d->top.id))
            disks[i].file = d->base.id;
}

static bool write_snapshots(struct store_txn *txn, struct vm *vm, const struct merge_down *d,
                            struct err *err)
{
    for (struct snapshot *s = vm->snapshots; s; s = s->next) {
        CLEANUP(mem_freep) struct snapshot_disk_record *disks = NULL;
        struct snapshot_record row;
        bool has = false;
        for (size_t i = 0; i < s->n_disks; i++)
            has |= uuid_eq(&s->disks[i].file, &d->top.id);
        if (!has)
            continue;
        disks = mem_dup(s->disks, s->n_disks * sizeof *disks);
        replace(disks, s->n_disks, d);
        snapshot_record_fill(s, &row);
        row.disks = disks;
        if (!store_snapshot_put(txn, &row, err))
            return false;
    }
    return true;
}

static bool write_rows(struct core *core, struct vm *vm, struct job *job,
                       const struct merge_down *d, struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(core->store, err);

    return txn && write_lying_on(core, txn, vm, d, err) && write_snapshots(txn, vm, d, err) &&
           (uuid_is_zero(&d->disk) || disk_write_moved(core, txn, &d->disk, &d->base, err)) &&
           layer_write(txn, &d->top, "trash", job_id(job), err) &&
           FAILPOINT("snapshot.down.write", err) && store_commit(&txn, err);
}

static void apply(struct core *core, struct vm *vm, const struct merge_down *d)
{
    struct disk_owner *owner;

    lock_take(&core->registry.lock);
    owner = disk_owner_find(core, &vm->id);
    for (struct file *f = owner ? owner->files : NULL; f; f = f->next)
        if (uuid_eq(&f->parent, &d->top.id))
            file_set_parent(core, f, &d->base.id);
    for (struct snapshot *s = vm->snapshots; s; s = s->next)
        replace(s->disks, s->n_disks, d);
    if (!uuid_is_zero(&d->disk))
        disk_set_leaf(core, &d->disk, &d->base);
    lock_drop(&core->registry.lock);
    files_discard(core, &d->top, 1);
}

static bool commit(struct core *core, struct vm *vm, struct job *job, const struct merge_down *d,
                   struct err *err)
{
    bool ok;

    lock_take(&vm->writing);
    ok = write_rows(core, vm, job, d, err);
    if (ok)
        apply(core, vm, d);
    lock_drop(&vm->writing);
    return ok;
}

static void rest(struct core *core, struct vm *vm)
{
    struct blocks at = {.core = core, .vm = vm};

    blocks_rest(&at, AGAIN_MS);
}

/* The disk writes to F already: it is tried until it is written, or another daemon does. */
static bool commit_surely(struct core *core, struct vm *vm, struct job *job,
                          const struct merge_down *d, struct err *err)
{
    while (!commit(core, vm, job, d, err)) {
        if (atomic_load(&core->closing) || store_is_poisoned(core->store))
            return false;
        log_error("that %s goes on in another file is not recorded yet: %s", VM_NAME(core, vm),
                  err->detail);
        rest(core, vm);
        *err = (struct err){0};
    }
    return true;
}

/* ---- */

/* Steps 2 and 3. */
static bool conclude(struct core *core, struct vm *vm, struct pace *pace,
                     const struct merge_down *down, struct err *err)
{
    if (!commit_surely(core, vm, pace->job, down, err))
        return false;
    merge_forget(core, vm, &down->top, 1);
    files_settle_vm(core, &vm->id);
    vm_copy_later(core, &vm->id);
    return true;
}

static bool merge_one(struct core *core, struct vm *vm, struct pace *pace, struct err *err)
{
    struct merge_down down;

    if (!next(core, vm, &down))
        return true;
    return FAILPOINT("snapshot.down", err) && merge_commit(core, vm, pace, &down, err) &&
           conclude(core, vm, pace, &down, err);
}

/* The snapshot is gone already: a failure that passes must not leave its files behind. */
static bool merge_with_patience(struct core *core, struct vm *vm, struct pace *pace,
                                struct err *err)
{
    for (unsigned n = 1; !merge_one(core, vm, pace, err); n++) {
        if (n == TRIES || err->code == ERR_CANCELLED || err->code == ERR_NO_SPACE ||
            atomic_load(&core->closing) || store_is_poisoned(core->store))
            return false;
        log_warn("merging files of %s failed and is tried again: %s", VM_NAME(core, vm),
                 err->detail);
        rest(core, vm);
        *err = (struct err){0};
    }
    return true;
}

/* All that a disk writes to the upper file of. The caller frees them. */
static struct merge_down *pairs_of_leaves(struct core *core, struct vm *vm, size_t *n)
{
    struct merge_down *list = mem_array(VM_DISKS_MAX, sizeof *list);
    struct disk_owner *owner;

    *n = 0;
    lock_take(&core->registry.lock);
    owner = disk_owner_find(core, &vm->id);
    for (struct file *f = owner ? owner->files : NULL; f && *n < VM_DISKS_MAX; f = f->next)
        if (!snapshots_with_file(vm, &f->id) && fill(core, vm, f, &list[*n]) &&
            !uuid_is_zero(&list[*n].disk))
            (*n)++;
    lock_drop(&core->registry.lock);
    return list;
}

/* A disk that an earlier daemon had switch writes to F, whatever ends the operation now: somebody
 * who starts the VM by what the database says would open C over it. */
static bool conclude_switched(struct core *core, struct vm *vm, struct pace *pace, struct err *err)
{
    CLEANUP(mem_freep) struct merge_down *pairs = NULL;
    bool switched;
    size_t n;

    if (!job_step_reached(pace->job))
        return true;
    pairs = pairs_of_leaves(core, vm, &n);
    for (size_t i = 0; i < n; i++)
        if (!merge_switched(core, vm, pace, &pairs[i], &switched, err) ||
            (switched && !conclude(core, vm, pace, &pairs[i], err)))
            return false;
    return true;
}

bool down_is_due(struct core *core, struct vm *vm)
{
    struct merge_down down;

    return next(core, vm, &down);
}

bool down_all(struct core *core, struct vm *vm, struct pace *pace, struct err *err)
{
    struct merge_down down;

    if (!conclude_switched(core, vm, pace, err))
        return false;
    while (next(core, vm, &down)) {
        if (job_cancelled(pace->job) && !merge_is_begun(core, vm, &down.top))
            return err_set(err, ERR_CANCELLED, MERGE_LATER);
        if (!merge_with_patience(core, vm, pace, err))
            return false;
    }
    return true;
}
