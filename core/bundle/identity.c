/* Whether ids that an import keeps are somebody else's on this host: see inside.h. */
#include "core/base/mem.h"
#include "core/bundle/inside.h"
#include "core/core/parts.h"
#include "core/disk/disks.h"
#include "core/snap/tree.h"

#include <stdlib.h>
#include <string.h>

/* Sorted, so that all snapshots of a host are looked up in them in no time. */
struct ids {
    struct uuid *list;
    size_t n;
};

static void ids_clear(struct ids *ids)
{
    free(ids->list);
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct uuid));
}

static void ids_of(const struct vm_copy *copy, struct ids *out)
{
    size_t n = copy->n_disks + copy->n_snapshots;

    for (size_t i = 0; i < copy->n_snapshots; i++)
        n += copy->snapshots[i].n_disks;
    *out = (struct ids){.list = mem_array(n + 1, sizeof(struct uuid))};
    for (size_t i = 0; i < copy->n_disks; i++)
        out->list[out->n++] = copy->disks[i].id;
    for (size_t i = 0; i < copy->n_snapshots; i++) {
        const struct copy_snapshot *s = &copy->snapshots[i];
        out->list[out->n++] = s->id;
        for (size_t k = 0; k < s->n_disks; k++)
            out->list[out->n++] = s->disks[k].disk;
    }
    qsort(out->list, out->n, sizeof *out->list, compare);
}

static bool has(const struct ids *ids, const struct uuid *id)
{
    return bsearch(id, ids->list, ids->n, sizeof *id, compare) != NULL;
}

static bool snapshot_has(const struct snapshot *s, const struct ids *ids)
{
    bool found = has(ids, &s->id);

    for (size_t i = 0; !found && i < s->n_disks; i++)
        found = has(ids, &s->disks[i].disk);
    return found;
}

bool bundle_clashes(struct core *core, const struct vm_copy *copy)
{
    CLEANUP(ids_clear) struct ids ids = {0};
    struct vm *vm, *next;
    bool found = false;

    ids_of(copy, &ids);
    for (size_t i = 0; !found && i < ids.n; i++) {
        const struct disk *disk = disk_find(core, &ids.list[i]);
        found = disk && !uuid_eq(&disk->vm, &copy->id);
    }
    HASH_ITER (by_id, core->registry.vms_by_id, vm, next) {
        if (uuid_eq(&vm->id, &copy->id))
            continue;
        for (const struct snapshot *s = vm->snapshots; !found && s; s = s->next)
            found = snapshot_has(s, &ids);
    }
    return found;
}
