/* What of a VM goes into a bundle: see inside.h. */
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/bundle/inside.h"
#include "core/core/parts.h"
#include "core/disk/disks.h"
#include "core/rebuild/fill.h"

#include <stdlib.h>
#include <string.h>

/* Entries of the text that nothing needs: files, and what is said of memories. */
static bool drop_unneeded(json_t *vm, struct err *err)
{
    CLEANUP(mem_freep) char *text = json_write(vm);
    CLEANUP(vm_copy_clear) struct vm_copy copy = {0};
    CLEANUP(mem_freep) bool *needed = NULL;
    json_t *files = json_object_get(vm, "files"), *memories = json_object_get(vm, "memories");

    if (!vm_copy_read(text, strlen(text), &copy, err))
        return false;
    needed = vm_copy_needed(&copy);
    for (size_t i = copy.n_memories; i--;)
        for (size_t k = 0; k < copy.n_files; k++)
            if (!needed[k] && uuid_eq(&copy.files[k].id, &copy.memories[i].file))
                json_array_remove(memories, i);
    for (size_t i = copy.n_files; i--;)
        if (!needed[i])
            json_array_remove(files, i);
    return true;
}

/* The text's entry with this id in a list; NULL. */
static json_t *entry(const json_t *vm, const char *list, const char *key, const char *id,
                     size_t *at)
{
    json_t *one;
    size_t i;

    json_array_foreach (json_object_get(vm, list), i, one)
        if (id && str_eq(json_get_text(one, key), id)) {
            *at = i;
            return one;
        }
    return NULL;
}

/* The VM is what it was when the snapshot was taken, which itself is not in it: its disks write to
 * the snapshot's files, and it goes on with its memory. */
static bool turn_back(json_t *vm, const struct uuid *snapshot, struct err *err)
{
    size_t at, where;
    CLEANUP(json_decrefp)
    json_t *s = json_incref(entry(vm, "snapshots", "id", UUID_STR(snapshot), &at));
    json_t *one, *memory;
    size_t i;

    if (!s)
        return err_set(err, ERR_NOT_FOUND, "the snapshot that was taken for it is gone");
    json_array_remove(json_object_get(vm, "snapshots"), at);
    json_object_set(vm, "spec", json_object_get(s, "spec"));
    json_object_set(vm, "stands_on", json_object_get(s, "parent"));
    json_object_set(vm, "memory", json_object_get(s, "memory"));
    json_array_foreach (json_object_get(s, "disks"), i, one) {
        json_t *disk = entry(vm, "disks", "id", json_get_text(one, "disk"), &where);
        if (!disk)
            continue;
        if (entry(vm, "files", "id", json_get_text(disk, "leaf"), &where)) /* written since */
            json_array_remove(json_object_get(vm, "files"), where);
        json_object_set(disk, "leaf", json_object_get(one, "file"));
    }
    memory = entry(vm, "memories", "file", json_get_text(s, "memory"), &where);
    if (memory)
        json_object_set(vm, "memory_leaves", json_object_get(memory, "leaves"));
    json_put_text(vm, "reason", "");
    return true;
}

bool bundle_choose(struct core *core, const struct vm *vm, const struct bundle_choice *choice,
                   struct bundle *out, struct err *err)
{
    CLEANUP(vm_copy_clear) struct vm_copy copy = {0};
    CLEANUP(mem_freep) char *text = NULL;
    bool ok;

    *out = (struct bundle){.bundle = BUNDLE_VERSION};
    vm_copy_fill(core, vm, &copy);
    out->vm = vm_copy_json(&copy);
    ok = uuid_is_zero(&choice->as) || turn_back(out->vm, &choice->as, err);
    if (!choice->snapshots) {
        json_object_del(out->vm, "snapshots");
        json_object_del(out->vm, "stands_on");
    }
    if (ok && drop_unneeded(out->vm, err)) {
        text = json_write(out->vm);
        if (vm_copy_read(text, strlen(text), &out->copy, err) && bundle_fits(out, err))
            return true;
    }
    bundle_clear(out);
    return err_prefix(err, "the VM cannot be described");
}

bool bundle_layer(struct core *core, const struct uuid *id, struct layer *out, struct err *err)
{
    const struct file *file;

    lock_take(&core->registry.lock);
    file = file_find(core, id);
    if (file)
        *out = layer_of_file(core, file);
    lock_drop(&core->registry.lock);
    return file || err_set(err, ERR_NOT_FOUND,
                           "the file %s is gone, which the VM shared with another: try again",
                           UUID_STR(id));
}

uint64_t bundle_bytes(struct core *core, const struct bundle *b)
{
    struct err ignored = {0};
    uint64_t bytes = 0;
    struct layer layer;

    for (size_t i = 0; i < b->copy.n_files; i++)
        if (bundle_layer(core, &b->copy.files[i].id, &layer, &ignored))
            bytes += layer_allocated(&layer);
    return bytes;
}
