/* A VM that goes on with a memory image: whether its disks are as they were, whether the image is
 * whole, and in which configuration it begins. See image.h. */
#include "core/ram/image.h"

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/disks.h"
#include "core/port/memory_image.h"
#include "core/ram/expand.h"
#include "core/vm/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- leaves ---- */

static json_t *leaf_json(const struct disk *d)
{
    json_t *one = json_object();

    json_put_text(one, "disk", UUID_STR(&d->id));
    json_put_u64(one, "position", d->position);
    json_put_text(one, "file", UUID_STR(&d->leaf));
    return one;
}

static char *leaves_of(json_t *list)
{
    CLEANUP(json_decrefp) json_t *leaves = json_object();

    json_put(leaves, "disks", list);
    return json_write(leaves);
}

char *ram_leaves_text(const struct disk *disks, size_t n)
{
    json_t *list = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, leaf_json(&disks[i]));
    return leaves_of(list);
}

char *ram_leaves_now(struct core *core, const struct uuid *vm)
{
    json_t *list = json_array();

    lock_take(&core->registry.lock);
    for (const struct disk *d = disks_of(core, vm); d; d = d->next)
        json_array_append_new(list, leaf_json(d));
    lock_drop(&core->registry.lock);
    return leaves_of(list);
}

/* The entry of a disk among leaves; NULL. */
static const json_t *find_leaf(const json_t *leaves, const struct uuid *disk)
{
    const json_t *one;
    struct uuid id;
    size_t i;

    json_array_foreach (json_object_get(leaves, "disks"), i, one)
        if (uuid_parse(json_get_text(one, "disk"), &id) && uuid_eq(&id, disk))
            return one;
    return NULL;
}

static bool is_as_it_was(const json_t *leaves, const struct disk *d)
{
    const json_t *one = find_leaf(leaves, &d->id);
    struct uuid file;

    return one && uuid_parse(json_get_text(one, "file"), &file) && uuid_eq(&file, &d->leaf);
}

bool ram_leaves_check(struct core *core, struct vm *vm, struct err *err)
{
    CLEANUP(json_decrefp) json_t *leaves = NULL;
    unsigned changed = UINT_MAX;
    size_t n = 0;

    lock_take(&core->registry.lock);
    leaves = vm->memory_leaves ? json_loads(vm->memory_leaves, 0, NULL) : NULL;
    for (const struct disk *d = disks_of(core, &vm->id); d; d = d->next, n++)
        if (!is_as_it_was(leaves, d))
            changed = d->position;
    lock_drop(&core->registry.lock);
    if (changed != UINT_MAX)
        return err_set(err, ERR_WRONG_STATE,
                       "disk %u has another file than when the VM's state was saved, so that state "
                       "does not fit it: revert the VM to a snapshot, or discard the state",
                       changed);
    return n == json_array_size(json_object_get(leaves, "disks")) ||
           err_set(err, ERR_WRONG_STATE,
                   "the VM has not the disks that it had when its state was saved, so that state "
                   "does not fit them: revert the VM to a snapshot, or discard the state");
}

/* ---- the file ---- */

static bool is_whole(int fd, uint64_t ram_bytes, struct err *err)
{
    struct memory_trailer t;
    struct stat st;
    uint64_t size;

    if (fstat(fd, &st) < 0)
        return err_errno(err, errno, "look at the memory image");
    size = (uint64_t)st.st_size;
    if (size < ram_bytes + sizeof t)
        return err_set(err, ERR_UNSUPPORTED,
                       "the memory image is too short (%llu bytes): it was changed by somebody "
                       "else; discard the state",
                       (unsigned long long)size);
    if (pread(fd, &t, sizeof t, (off_t)(size - sizeof t)) != (ssize_t)sizeof t)
        return err_errno(err, errno, "read the end of the memory image");
    return (memcmp(t.magic, MEMORY_MAGIC, sizeof t.magic) == 0 && t.version == 1 &&
            t.ram_bytes == ram_bytes && t.state_bytes == size - sizeof t - ram_bytes) ||
           err_set(err, ERR_UNSUPPORTED,
                   "the memory image does not end as one does: it is damaged; discard the state");
}

static bool is_plain(struct core *core, const struct uuid *image, struct err *err)
{
    return !ram_expand_bytes(core, image) ||
           err_set(err, ERR_WRONG_STATE, "the memory image is archived: discard the state");
}

bool ram_image_check(const struct layer *image, struct err *err)
{
    CLEANUP(closep) int fd = layer_open(image, O_RDONLY, err);

    return fd >= 0 && is_whole(fd, image->size_bytes, err);
}

int ram_image_open(struct core *core, const struct uuid *image, struct err *err)
{
    CLEANUP(closep) int fd = -1;
    struct layer layer = {.dir = -1};
    struct file *file;

    lock_take(&core->registry.lock);
    file = file_find(core, image);
    if (file && file->role == FILE_MEMORY && file->state == FILE_LIVE)
        layer = layer_of_file(core, file);
    else
        file = NULL;
    lock_drop(&core->registry.lock);
    if (!file) {
        err_set(err, ERR_UNSUPPORTED, "the memory image is not there: discard the state");
        return -1;
    }
    if (!is_plain(core, image, err))
        return -1;
    fd = layer_open(&layer, O_RDONLY, err);
    if (fd < 0 && err->code == ERR_NOT_FOUND)
        err_set(err, ERR_UNSUPPORTED,
                "the memory image is not in its pool any more: discard the state");
    return fd >= 0 && is_whole(fd, layer.size_bytes, err) ? TAKE_FD(fd) : -1;
}

/* ---- the configuration ---- */

/* The VM's disk at the place that a disk of the image's configuration had. */
static const struct disk *disk_like(struct core *core, struct vm *vm, const json_t *leaves,
                                    const struct uuid *then) REQUIRES(core->registry.lock);
static const struct disk *disk_like(struct core *core, struct vm *vm, const json_t *leaves,
                                    const struct uuid *then)
{
    const uint64_t position = json_get_u64(find_leaf(leaves, then), "position", UINT64_MAX);
    const struct disk *d = disks_of(core, &vm->id);

    while (d && d->position != position)
        d = d->next;
    return d;
}

static void make_its_own(struct core *core, struct vm *vm, const json_t *leaves,
                         struct vm_spec *spec)
{
    lock_take(&core->registry.lock);
    free(spec->name);
    spec->name = str_dup(vm->spec.name);
    spec->generation_id = vm->spec.generation_id;
    for (size_t i = 0; i < spec->n_disks; i++) {
        const struct disk *d = disk_like(core, vm, leaves, &spec->disks[i].id);
        if (!d)
            continue;
        spec->disks[i].id = d->id;
        free(spec->disks[i].pool);
        spec->disks[i].pool = str_dup(UUID_STR(&d->pool));
    }
    lock_drop(&core->registry.lock);
}

static void drop_image(struct ram_image **image)
{
    ram_image_free(*image);
}

struct vm_spec *ram_image_spec(struct core *core, struct vm *vm, const struct uuid *id,
                               struct err *err)
{
    CLEANUP(drop_image) struct ram_image *image = ram_image_get(core, id, err);
    CLEANUP(json_decrefp) json_t *json = image ? json_loads(image->spec, 0, NULL) : NULL;
    CLEANUP(json_decrefp) json_t *leaves = image ? json_loads(image->leaves, 0, NULL) : NULL;
    struct vm_spec *spec;

    if (!image)
        return NULL;
    spec = mem_alloc(sizeof *spec);
    if (json && model_decode(&vm_model, json, MODEL_STORED, spec, err)) {
        make_its_own(core, vm, leaves, spec);
        return spec;
    }
    if (!json)
        err_set(err, ERR_INTERNAL, "the configuration of the memory image cannot be read");
    free(spec);
    return NULL;
}

void ram_vm_set(struct core *core, struct vm *vm, const struct uuid *image, const char *leaves)
{
    lock_take(&core->registry.lock);
    vm->memory = *image;
    free(vm->memory_leaves);
    vm->memory_leaves = str_dup(leaves);
    lock_drop(&core->registry.lock);
}

void ram_vm_turn(struct core *core, struct vm *vm, const struct uuid *image)
{
    lock_take(&core->registry.lock);
    vm->memory = *image;
    lock_drop(&core->registry.lock);
}
