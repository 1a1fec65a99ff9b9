/* Disks in memory, by id and by VM: see disks.h. What is done with one VM's disks must not depend
 * on how many there are in all. */
#include "core/base/mem.h"
#include "core/disk/disks.h"
#include "core/disk/file.h"
#include "core/snap/tree.h"

#include <stdlib.h>

struct disk_owner *disk_owner_find(struct core *core, const struct uuid *vm)
{
    struct disk_owner *owner;

    HASH_FIND(hh, core->registry.disk_owners, vm, sizeof *vm, owner);
    return owner;
}

struct disk_owner *disk_owner_get(struct core *core, const struct uuid *vm)
{
    struct disk_owner *owner = disk_owner_find(core, vm);

    if (!owner) {
        owner = mem_alloc(sizeof *owner);
        owner->vm = *vm;
        HASH_ADD(hh, core->registry.disk_owners, vm, sizeof owner->vm, owner);
    }
    return owner;
}

static void count(struct core *core, const struct disk *disk, int by) REQUIRES(core->registry.lock);
static void count(struct core *core, const struct disk *disk, int by)
{
    struct pool *pool = pool_find(core, UUID_STR(&disk->pool));

    if (pool)
        pool->n_disks += (unsigned)by;
}

void disk_index_add(struct core *core, struct disk *disk)
{
    struct disk_owner *owner = disk_owner_get(core, &disk->vm);

    disk->next = owner->first;
    owner->first = disk;
    HASH_ADD(by_id, core->registry.disks_by_id, id, sizeof disk->id, disk);
    count(core, disk, 1);
}

void disk_index_take(struct core *core, const struct uuid *id)
{
    struct disk *disk, **at;

    lock_take(&core->registry.lock);
    disk = disk_find(core, id);
    if (disk) {
        at = &disk_owner_get(core, &disk->vm)->first;
        while (*at != disk)
            at = &(*at)->next;
        *at = disk->next;
        HASH_DELETE(by_id, core->registry.disks_by_id, disk);
        count(core, disk, -1);
        free(disk);
    }
    lock_drop(&core->registry.lock);
}

struct layer *disk_own_files(struct core *core, struct vm *vm, const struct uuid *leaf, size_t *n)
{
    struct layer *list = NULL;
    unsigned above = 0;

    *n = 0;
    lock_take(&core->registry.lock);
    for (struct file *f = file_find(core, leaf); f; f = file_find(core, &f->parent)) {
        if (f->children > above || !uuid_eq(&f->vm, &vm->id) || snapshots_with_file(vm, &f->id))
            break;
        list = mem_resize(list, *n + 1, sizeof *list);
        list[(*n)++] = layer_of_file(core, f);
        above = 1;
    }
    lock_drop(&core->registry.lock);
    return list;
}

void disk_index_drop(struct core *core, const struct uuid *vm)
{
    struct disk_owner *owner = disk_owner_find(core, vm);

    if (!owner)
        return;
    for (struct disk *d = owner->first, *next; d; d = next) {
        next = d->next;
        HASH_DELETE(by_id, core->registry.disks_by_id, d);
        count(core, d, -1);
        free(d);
    }
    owner->first = NULL;
    while (owner->files)
        file_index_drop(core, owner->files);
    HASH_DELETE(hh, core->registry.disk_owners, owner);
    free(owner);
}

struct disk *disks_of(struct core *core, const struct uuid *vm)
{
    struct disk_owner *owner = disk_owner_find(core, vm);

    return owner ? owner->first : NULL;
}

struct disk *disk_find(struct core *core, const struct uuid *id)
{
    struct disk *disk;

    HASH_FIND(by_id, core->registry.disks_by_id, id, sizeof *id, disk);
    return disk;
}

void disk_set_leaf(struct core *core, const struct uuid *disk, const struct layer *leaf)
{
    struct disk *d = disk_find(core, disk);

    if (!d)
        return;
    count(core, d, -1);
    d->leaf = leaf->id;
    d->pool = leaf->pool;
    if (uuid_is_zero(&leaf->parent))
        d->format = leaf->format;
    count(core, d, 1);
}
