/* Disks of VMs and their files: see disks.h. */
#include "core/disk/disks.h"

#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/change.h"
#include "core/disk/file.h"
#include "core/disk/space.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Resolves a disk's pool and names it by its id. */
static bool find_pool(struct core *core, struct vm_disk *disk, struct uuid *id, const char *field,
                      struct err *err)
{
    struct pool *pool;

    lock_take(&core->registry.lock);
    pool = pool_named(core, disk->pool);
    if (pool)
        *id = pool->id;
    lock_drop(&core->registry.lock);
    if (!pool)
        return err_field(err, ERR_NOT_FOUND, field,
                         disk->pool ? "there is no pool '%.64s': GET /pools lists them"
                                    : "there is no pool yet%s: create one with POST /pools",
                         disk->pool ? disk->pool : "");
    free(disk->pool);
    disk->pool = str_dup(UUID_STR(id));
    return true;
}

bool disk_plan(struct core *core, struct vm_disk *disk, const char *field, struct err *err)
{
    struct uuid pool;

    if (!find_pool(core, disk, &pool, field, err) ||
        !space_check_disk(core, &pool, disk->size_bytes, field, err))
        return false;
    disk->id = uuid_new();
    return true;
}

bool disks_plan(struct core *core, struct vm_spec *spec, struct err *err)
{
    char field[32];
    bool ok = true;

    for (size_t i = 0; ok && i < spec->n_disks; i++) {
        snprintf(field, sizeof field, "/disks/%zu", i);
        ok = disk_plan(core, &spec->disks[i], field, err);
    }
    return ok;
}

void disk_enlist_on(struct core *core, const struct vm *vm, size_t index, const struct uuid *parent)
{
    const struct vm_disk *d = &vm->spec.disks[index];
    struct disk *disk = mem_alloc(sizeof *disk);
    struct file *file = mem_alloc(sizeof *file);

    *disk = (struct disk){.id = d->id,
                          .vm = vm->id,
                          .position = (uint32_t)index,
                          .size_bytes = d->size_bytes,
                          .format = d->format,
                          .bus = d->bus,
                          .leaf = uuid_new(),
                          .created_ms = vm->created_ms};
    if (!uuid_parse(d->pool, &disk->pool))
        log_error("a planned disk has no pool");
    *file = (struct file){.id = disk->leaf,
                          .vm = vm->id,
                          .pool = disk->pool,
                          .parent = *parent,
                          .format = d->format,
                          .size_bytes = d->size_bytes};
    file_index_add(core, file);
    disk_index_add(core, disk);
}

void disks_enlist(struct core *core, const struct vm *vm)
{
    static const struct uuid none;

    lock_take(&core->registry.lock);
    for (size_t i = 0; i < vm->spec.n_disks; i++)
        disk_enlist_on(core, vm, i, &none);
    lock_drop(&core->registry.lock);
}

void disks_delist(struct core *core, const struct uuid *vm)
{
    lock_take(&core->registry.lock);
    disk_index_drop(core, vm);
    lock_drop(&core->registry.lock);
}

/* A VM's disks by position, copied so that no lock is held while files are touched. */
static int by_position(const void *a, const void *b)
{
    const struct disk *x = a, *y = b;

    return (x->position > y->position) - (x->position < y->position);
}

static struct disk *copy_disks(struct core *core, const struct uuid *vm, size_t *n)
{
    struct disk *list = NULL;
    size_t count = 0;

    lock_take(&core->registry.lock);
    for (struct disk *d = disks_of(core, vm); d; d = d->next) {
        list = mem_resize(list, count + 1, sizeof *list);
        list[count++] = *d;
    }
    lock_drop(&core->registry.lock);
    if (list)
        qsort(list, count, sizeof *list, by_position);
    *n = count;
    return list;
}

bool disks_write(struct core *core, struct store_txn *txn, const struct uuid *vm, const char *state,
                 const struct uuid *job, struct err *err)
{
    CLEANUP(mem_freep) struct layer *layers = NULL;
    CLEANUP(mem_freep) struct disk *disks = NULL;
    size_t n_layers, n_disks;
    bool ok = true;

    layers = layers_of_vm(core, vm, &n_layers);
    disks = copy_disks(core, vm, &n_disks);
    for (size_t i = 0; ok && i < n_layers; i++)
        ok = layer_write(txn, &layers[i], state, job, err);
    for (size_t i = 0; ok && i < n_disks; i++)
        ok = disk_row_write(txn, &disks[i], err);
    return ok;
}

void disks_live(struct core *core, const struct uuid *vm)
{
    struct disk_owner *owner;

    lock_take(&core->registry.lock);
    owner = disk_owner_find(core, vm);
    for (struct file *f = owner ? owner->files : NULL; f; f = f->next)
        f->state = FILE_LIVE;
    lock_drop(&core->registry.lock);
}

bool disk_write_leaf(struct core *core, struct store_txn *txn, const struct uuid *disk,
                     const struct uuid *leaf, uint64_t size_bytes, struct err *err)
{
    struct disk copy = {0}, *found;

    lock_take(&core->registry.lock);
    found = disk_find(core, disk);
    if (found)
        copy = *found;
    lock_drop(&core->registry.lock);
    if (!found)
        return err_set(err, ERR_NOT_FOUND, "there is no such disk");
    copy.leaf = *leaf;
    copy.size_bytes = size_bytes;
    return disk_row_write(txn, &copy, err);
}

bool disk_write_moved(struct core *core, struct store_txn *txn, const struct uuid *disk,
                      const struct layer *leaf, struct err *err)
{
    struct disk copy = {0}, *found;

    lock_take(&core->registry.lock);
    found = disk_find(core, disk);
    if (found)
        copy = *found;
    lock_drop(&core->registry.lock);
    if (!found)
        return err_set(err, ERR_NOT_FOUND, "there is no such disk");
    copy.leaf = leaf->id;
    copy.pool = leaf->pool;
    if (uuid_is_zero(&leaf->parent))
        copy.format = leaf->format;
    return disk_row_write(txn, &copy, err);
}

bool disks_remove_rows(struct core *core, struct store_txn *txn, const struct uuid *vm,
                       struct err *err)
{
    CLEANUP(mem_freep) struct layer *layers = NULL;
    CLEANUP(mem_freep) struct disk *disks = NULL;
    size_t n_layers, n_disks;
    bool ok = true;

    layers = layers_of_vm(core, vm, &n_layers);
    disks = copy_disks(core, vm, &n_disks);
    for (size_t i = 0; ok && i < n_disks; i++)
        ok = store_disk_remove(txn, &disks[i].id, err);
    while (ok && n_layers--) /* children before their parents */
        ok = store_file_remove(txn, &layers[n_layers].id, err);
    return ok;
}

bool disks_make(struct core *core, const struct uuid *vm, struct err *err)
{
    CLEANUP(mem_freep) struct layer *layers = NULL;
    bool ok = true;
    size_t n;

    layers = layers_of_vm(core, vm, &n);
    for (size_t i = 0; ok && i < n; i++)
        ok = layer_make(core, &layers[i], err);
    return ok;
}

bool disks_unlink(struct core *core, const struct uuid *vm, struct err *err)
{
    CLEANUP(mem_freep) struct layer *layers = NULL;
    bool ok = true;
    size_t n;

    layers = layers_of_vm(core, vm, &n);
    while (ok && n--)
        ok = layer_unlink(&layers[n], err);
    return ok;
}

bool disk_open_chain(struct core *core, const struct uuid *leaf, struct plan_disk *out,
                     struct err *err)
{
    CLEANUP(mem_freep) struct layer *chain = NULL;
    size_t n;

    chain = chain_of_leaf(core, leaf, &n);
    if (!n)
        return err_set(err, ERR_INTERNAL, "it has no file");
    *out = (struct plan_disk){.format = chain[0].format,
                              .size_bytes = chain[0].size_bytes,
                              .files = mem_array(n, sizeof *out->files),
                              .fds = mem_array(n, sizeof *out->fds),
                              .base_formats = mem_array(n, sizeof *out->base_formats)};
    for (size_t k = 0; k < n; k++) {
        out->files[k] = chain[k].id;
        if (k)
            out->base_formats[k - 1] = chain[k].format;
        out->fds[k] = layer_open(&chain[k], k ? O_RDONLY : O_RDWR, err);
        if (out->fds[k] < 0)
            return false;
        out->n_fds++;
    }
    return true;
}

static bool open_one(struct core *core, const struct disk *d, struct plan_disk *out,
                     struct err *err)
{
    bool ok = disk_open_chain(core, &d->leaf, out, err);

    out->id = d->id;
    out->position = d->position;
    out->bus = d->bus;
    return ok || err_prefix(err, "disk %u", d->position);
}

bool disks_open(struct core *core, const struct uuid *vm, struct plan_disk **out, size_t *n,
                struct err *err)
{
    CLEANUP(mem_freep) struct disk *disks = copy_disks(core, vm, n);
    struct plan_disk *plan = mem_array(*n, sizeof *plan);
    bool ok = true;

    for (size_t i = 0; ok && i < *n; i++)
        ok = open_one(core, &disks[i], &plan[i], err);
    if (!ok) {
        disks_close(plan, *n);
        return false;
    }
    *out = plan;
    return true;
}

void disks_close(struct plan_disk *disks, size_t n)
{
    for (size_t i = 0; disks && i < n; i++) {
        for (size_t k = 0; k < disks[i].n_fds; k++)
            closep(&disks[i].fds[k]);
        free(disks[i].fds);
        free(disks[i].base_formats);
        free(disks[i].files);
    }
    free(disks);
}
