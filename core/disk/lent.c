/* Lent files: see lent.h. */
#include "core/disk/lent.h"

#include "core/base/failpoint.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/disks.h"
#include "core/user/sight_inside.h"
#include "core/vm/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 5

static const struct uuid nobody;

/* ---- what stays ---- */

/* Whether something that stays lies on it: a file of another, or one of the VM's own of which that
 * is true. A tree of files has no loops, and is no deeper than QEMU could open. */
bool file_is_lent(struct core *core, const struct file *file)
{
    struct disk_owner *owner;

    if (file->role == FILE_MEMORY)
        return file->kept;
    if (file->lent || !file->children)
        return file->lent > 0;
    owner = disk_owner_find(core, &file->vm);
    for (struct file *f = owner ? owner->files : NULL; f; f = f->next)
        if (uuid_eq(&f->parent, &file->id) && file_is_lent(core, f))
            return true;
    return false;
}

static bool stays(struct core *core, const struct uuid *id)
{
    struct file *file;
    bool yes;

    lock_take(&core->registry.lock);
    file = file_find(core, id);
    yes = file && file_is_lent(core, file);
    lock_drop(&core->registry.lock);
    return yes;
}

bool layer_write_nobodys(struct store_txn *txn, const struct layer *layer, struct err *err)
{
    struct layer given = *layer;

    given.vm = nobody;
    return layer_write(txn, &given, "live", &nobody, err);
}

bool files_write_gone(struct core *core, struct store_txn *txn, const struct uuid *vm,
                      const struct uuid *job, struct err *err)
{
    CLEANUP(mem_freep) struct layer *layers = NULL;
    bool ok = true;
    size_t n;

    layers = layers_of_vm(core, vm, &n);
    for (size_t i = 0; ok && i < n; i++)
        ok = stays(core, &layers[i].id) ? layer_write_nobodys(txn, &layers[i], err)
                                        : layer_write(txn, &layers[i], "trash", job, err);
    return ok;
}

void files_leave(struct core *core, const struct uuid *vm)
{
    CLEANUP(mem_freep) struct layer *layers = NULL;
    size_t n;

    layers = layers_of_vm(core, vm, &n);
    lock_take(&core->registry.lock);
    while (n--) { /* children first: they are what keeps their parents */
        struct file *file = file_find(core, &layers[n].id);
        if (file && file_is_lent(core, file))
            file_set_owner(core, file, &nobody);
    }
    lock_drop(&core->registry.lock);
}

void file_leave(struct core *core, const struct uuid *id)
{
    struct file *file;

    lock_take(&core->registry.lock);
    file = file_find(core, id);
    if (file)
        file_set_owner(core, file, &nobody);
    lock_drop(&core->registry.lock);
}

/* ---- what nobody needs ---- */

static bool find_rubbish(struct core *core, struct layer *out)
{
    struct disk_owner *owner;
    bool found = false;

    lock_take(&core->registry.lock);
    owner = disk_owner_find(core, &nobody);
    for (struct file *f = owner ? owner->files : NULL; f && !found; f = f->next) {
        found = !f->children && !f->removing && !job_is_open(core, &f->job) &&
                (f->role != FILE_MEMORY || f->state == FILE_TRASH);
        if (found) {
            *out = layer_of_file(core, f);
            f->removing = true; /* by this thread */
        }
    }
    lock_drop(&core->registry.lock);
    return found;
}

static bool remove_row(struct core *core, const struct uuid *file, struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(core->store, err);

    return txn && store_file_remove(txn, file, err) && FAILPOINT("file.nobodys.row", err) &&
           store_commit(&txn, err);
}

void files_settle_nobodys(struct core *core)
{
    struct layer layer;

    while (find_rubbish(core, &layer)) {
        struct err err = {0};
        struct file *file;
        if (!layer_unlink(&layer, &err) || !remove_row(core, &layer.id, &err)) {
            log_warn("a file that nobody needs stays until the next start: %s", err.detail);
            continue;
        }
        lock_take(&core->registry.lock);
        file = file_find(core, &layer.id);
        if (file)
            file_index_drop(core, file);
        lock_drop(&core->registry.lock);
    }
}

/* ---- who borrows ---- */

static bool lies_on(struct core *core, const struct file *file, const struct uuid *below)
    REQUIRES(core->registry.lock);
static bool lies_on(struct core *core, const struct file *file, const struct uuid *below)
{
    unsigned depth = 0;

    while (file && depth++ < FILE_CHAIN_MAX) {
        if (uuid_eq(&file->parent, below))
            return true;
        file = file_find(core, &file->parent);
    }
    return false;
}

/* Of a VM that borrows the file; NULL. */
static const char *borrower(struct core *core, struct disk_owner *owner, const struct file *file)
    REQUIRES(core->registry.lock);
static const char *borrower(struct core *core, struct disk_owner *owner, const struct file *file)
{
    struct vm *vm = NULL;

    if (uuid_eq(&owner->vm, &file->vm))
        return NULL;
    HASH_FIND(by_id, core->registry.vms_by_id, &owner->vm, sizeof owner->vm, vm);
    for (struct file *f = vm ? owner->files : NULL; f; f = f->next)
        if (lies_on(core, f, &file->id))
            return vm->name;
    return NULL;
}

void file_borrowers(struct core *core, const struct uuid *id, char out[512])
{
    struct disk_owner *owner, *next;
    struct file *file;
    unsigned n = 0, shown = 0;

    out[0] = 0;
    lock_take(&core->registry.lock);
    file = file_find(core, id);
    HASH_ITER (hh, core->registry.disk_owners, owner, next) {
        const char *name = file ? borrower(core, owner, file) : NULL;
        size_t len = strlen(out);
        if (!name)
            continue;
        if (shown < NAMES_MAX && sight_vm_id(core, &owner->vm, RIGHT_VM_READ) && ++shown)
            snprintf(out + len, 512 - len, "%s%s", len ? ", " : "", name);
        n++;
    }
    lock_drop(&core->registry.lock);
    if (n > shown)
        snprintf(out + strlen(out), 512 - strlen(out), shown ? " and %u more" : "%u other VMs",
                 n - shown);
}
