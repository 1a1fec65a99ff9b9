/* Disks in memory, by id and by VM: see disks.h. What is done with one VM's disks must not depend
 * on how many there are in all. */
#include "core/base/mem.h"
#include "core/disk/disks.h"

#include <stdlib.h>

static struct disk_owner *owner_of(struct core *core, const struct uuid *vm)
    REQUIRES(core->registry.lock);
static struct disk_owner *owner_of(struct core *core, const struct uuid *vm)
{
    struct disk_owner *owner;

    HASH_FIND(hh, core->registry.disk_owners, vm, sizeof *vm, owner);
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
    struct disk_owner *owner = owner_of(core, &disk->vm);

    if (!owner) {
        owner = mem_alloc(sizeof *owner);
        owner->vm = disk->vm;
        HASH_ADD(hh, core->registry.disk_owners, vm, sizeof owner->vm, owner);
    }
    disk->next = owner->first;
    owner->first = disk;
    HASH_ADD(by_id, core->registry.disks_by_id, id, sizeof disk->id, disk);
    count(core, disk, 1);
}

void disk_index_drop(struct core *core, const struct uuid *vm)
{
    struct disk_owner *owner = owner_of(core, vm);

    if (!owner)
        return;
    for (struct disk *d = owner->first, *next; d; d = next) {
        next = d->next;
        HASH_DELETE(by_id, core->registry.disks_by_id, d);
        count(core, d, -1);
        free(d->chain);
        free(d);
    }
    HASH_DELETE(hh, core->registry.disk_owners, owner);
    free(owner);
}

struct disk *disks_of(struct core *core, const struct uuid *vm)
{
    struct disk_owner *owner = owner_of(core, vm);

    return owner ? owner->first : NULL;
}

struct disk *disk_find(struct core *core, const struct uuid *id)
{
    struct disk *disk;

    HASH_FIND(by_id, core->registry.disks_by_id, id, sizeof *id, disk);
    return disk;
}
