/* New files on top of others, one for each disk of a VM: planned in a job's arguments, made,
 * written to by the disks, or dropped. See tree.h; called by the operations on snapshots. */
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/disks.h"
#include "core/snap/tree.h"

#include <stdlib.h>
#include <string.h>

static bool fill_layer(struct core *core, const struct uuid *vm, struct overlay *o)
    REQUIRES(core->registry.lock);
static bool fill_layer(struct core *core, const struct uuid *vm, struct overlay *o)
{
    struct file *parent = file_find(core, &o->parent);

    if (!parent)
        return false;
    o->layer = layer_of_file(core, parent);
    o->layer.id = o->file;
    o->layer.parent = o->parent;
    o->layer.vm = *vm;
    o->layer.format = DISK_QCOW2;
    return true;
}

struct overlay *overlays_plan(struct core *core, const struct uuid *vm,
                              const struct uuid *(*parent_of)(void *ctx, const struct disk *disk),
                              void *ctx, size_t *n, struct err *err)
{
    struct overlay *list = NULL;
    size_t count = 0;
    bool ok = true;

    lock_take(&core->registry.lock);
    for (struct disk *d = disks_of(core, vm); ok && d; d = d->next) {
        const struct uuid *parent = parent_of(ctx, d);
        if (!parent)
            continue;
        list = mem_resize(list, count + 1, sizeof *list);
        list[count] = (struct overlay){.disk = d->id, .file = uuid_new(), .parent = *parent};
        ok = fill_layer(core, vm, &list[count++]);
    }
    lock_drop(&core->registry.lock);
    if (!ok) {
        mem_freep(&list);
        err_set(err, ERR_INTERNAL, "a disk of the VM has no file");
        return NULL;
    }
    *n = count;
    return list ? list : mem_alloc(sizeof *list);
}

struct overlay *overlays_plan_on(struct core *core, const struct uuid *vm,
                                 const struct snapshot_disk_record *disks, size_t n,
                                 struct err *err)
{
    struct overlay *list = mem_array(n + 1, sizeof *list);
    bool ok = true;

    lock_take(&core->registry.lock);
    for (size_t i = 0; ok && i < n; i++) {
        list[i] =
            (struct overlay){.disk = disks[i].disk, .file = uuid_new(), .parent = disks[i].file};
        ok = fill_layer(core, vm, &list[i]);
    }
    lock_drop(&core->registry.lock);
    if (ok)
        return list;
    free(list);
    err_set(err, ERR_INTERNAL, "a file of the snapshot is not known");
    return NULL;
}

json_t *overlays_json(const struct overlay *list, size_t n)
{
    json_t *array = json_array();

    for (size_t i = 0; i < n; i++) {
        json_t *one = json_object();
        json_put_text(one, "disk", UUID_STR(&list[i].disk));
        json_put_text(one, "file", UUID_STR(&list[i].file));
        json_put_text(one, "parent", UUID_STR(&list[i].parent));
        json_array_append_new(array, one);
    }
    return array;
}

struct overlay *overlays_of_job(struct core *core, const struct uuid *vm, const json_t *args,
                                size_t *n, struct err *err)
{
    const json_t *array = json_object_get(args, "disks"), *one;
    struct overlay *list = mem_array(json_array_size(array) + 1, sizeof *list);
    bool ok = true;
    size_t i;

    lock_take(&core->registry.lock);
    json_array_foreach (array, i, one) {
        struct overlay *o = &list[i];
        ok = ok && uuid_parse(json_get_text(one, "disk"), &o->disk) &&
             uuid_parse(json_get_text(one, "file"), &o->file) &&
             uuid_parse(json_get_text(one, "parent"), &o->parent) && fill_layer(core, vm, o);
        if (ok)
            layer_enlist(core, &o->layer, &(struct uuid){0});
    }
    lock_drop(&core->registry.lock);
    *n = json_array_size(array);
    if (ok)
        return list;
    mem_freep(&list);
    err_set(err, ERR_INTERNAL, "the operation names a file that is not known");
    return NULL;
}

bool overlays_write(struct store_txn *txn, const struct overlay *list, size_t n, const char *state,
                    const struct uuid *job, struct err *err)
{
    for (size_t i = 0; i < n; i++)
        if (!layer_write(txn, &list[i].layer, state, job, err))
            return false;
    return true;
}

bool overlays_make(struct core *core, const struct overlay *list, size_t n, struct err *err)
{
    for (size_t i = 0; i < n; i++)
        if (!layer_make(core, &list[i].layer, err))
            return false;
    return true;
}

void overlays_drop(struct core *core, const struct overlay *list, size_t n)
{
    CLEANUP(mem_freep) struct layer *layers = mem_array(n + 1, sizeof *layers);

    for (size_t i = 0; i < n; i++)
        layers[i] = list[i].layer;
    layers_remove(core, layers, n);
}

bool overlays_write_leaves(struct core *core, struct store_txn *txn, const struct overlay *list,
                           size_t n, struct err *err)
{
    const struct uuid none = {0};

    if (!overlays_write(txn, list, n, "live", &none, err))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!disk_write_leaf(core, txn, &list[i].disk, &list[i].file, list[i].layer.size_bytes,
                             err))
            return false;
    return true;
}

void overlays_set_leaves(struct core *core, const struct overlay *list, size_t n)
{
    lock_take(&core->registry.lock);
    for (size_t i = 0; i < n; i++) {
        struct disk *disk = disk_find(core, &list[i].disk);
        struct file *file = file_find(core, &list[i].file);
        if (disk) {
            disk->leaf = list[i].file;
            disk->size_bytes = list[i].layer.size_bytes;
        }
        if (file)
            file->state = FILE_LIVE;
    }
    lock_drop(&core->registry.lock);
}
