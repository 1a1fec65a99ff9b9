/* Image files: see file.h. */
#include "core/disk/file.h"

#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/disks.h"
#include "core/port/image.h"
#include "core/ram/image.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *const file_roles[] = {"disk", "memory"};

/* ---- in memory ---- */

struct file *file_find(struct core *core, const struct uuid *id)
{
    struct file *file;

    HASH_FIND(by_id, core->registry.files, id, sizeof *id, file);
    return file;
}

static void count_child(struct core *core, const struct file *file, int by)
    REQUIRES(core->registry.lock);
static void count_child(struct core *core, const struct file *file, int by)
{
    struct file *parent = file_find(core, &file->parent);

    if (!parent)
        return;
    parent->children += (unsigned)by;
    if (!uuid_eq(&parent->vm, &file->vm))
        parent->lent += (unsigned)by;
}

static void count_in_pool(struct core *core, const struct file *file, int by)
    REQUIRES(core->registry.lock);
static void count_in_pool(struct core *core, const struct file *file, int by)
{
    struct pool *pool = pool_find(core, UUID_STR(&file->pool));

    if (pool)
        pool->n_files += (unsigned)by;
}

void file_index_add(struct core *core, struct file *file)
{
    struct disk_owner *owner = disk_owner_get(core, &file->vm);

    file->next = owner->files;
    owner->files = file;
    HASH_ADD(by_id, core->registry.files, id, sizeof file->id, file);
    count_child(core, file, 1);
    count_in_pool(core, file, 1);
}

static void disown(struct core *core, struct file *file) REQUIRES(core->registry.lock);
static void disown(struct core *core, struct file *file)
{
    struct file **at = &disk_owner_get(core, &file->vm)->files;

    while (*at != file)
        at = &(*at)->next;
    *at = file->next;
}

void file_index_drop(struct core *core, struct file *file)
{
    disown(core, file);
    count_child(core, file, -1);
    count_in_pool(core, file, -1);
    HASH_DELETE(by_id, core->registry.files, file);
    ram_image_free(file->image);
    free(file);
}

void file_set_parent(struct core *core, struct file *file, const struct uuid *parent)
{
    count_child(core, file, -1);
    file->parent = *parent;
    count_child(core, file, 1);
}

/* What lies on it may be another's from now on, or its owner's own. */
void file_set_owner(struct core *core, struct file *file, const struct uuid *vm)
{
    struct disk_owner *owner;
    struct file *f, *next;

    count_child(core, file, -1);
    disown(core, file);
    file->vm = *vm;
    owner = disk_owner_get(core, vm);
    file->next = owner->files;
    owner->files = file;
    count_child(core, file, 1);
    file->lent = 0;
    HASH_ITER (by_id, core->registry.files, f, next)
        if (file->children && uuid_eq(&f->parent, &file->id))
            file->lent += !uuid_eq(&f->vm, vm);
}

static bool load_file(void *ctx, const struct file_record *r)
{
    struct core *core = ctx;
    struct file *file = mem_alloc(sizeof *file);

    *file =
        (struct file){.id = r->id,
                      .pool = r->pool,
                      .parent = r->parent,
                      .vm = r->vm,
                      .job = r->job,
                      .role = str_eq(r->role, file_roles[FILE_MEMORY]) ? FILE_MEMORY : FILE_DISK,
                      .state = str_eq(r->state, "trash")      ? FILE_TRASH
                               : str_eq(r->state, "creating") ? FILE_CREATING
                                                              : FILE_LIVE,
                      .size_bytes = r->size_bytes};
    for (int i = 0; disk_format_names[i]; i++)
        file->format = str_eq(disk_format_names[i], r->format) ? i : file->format;
    lock_take(&core->registry.lock);
    file_index_add(core, file);
    lock_drop(&core->registry.lock);
    return true;
}

/* Rows come in no order of parents: the children are counted at the end. */
bool files_load(struct core *core, struct err *err)
{
    struct file *file, *next;

    if (!store_file_each(core->store, load_file, core, err))
        return false;
    lock_take(&core->registry.lock);
    HASH_ITER (by_id, core->registry.files, file, next)
        file->children = file->lent = 0;
    HASH_ITER (by_id, core->registry.files, file, next)
        count_child(core, file, 1);
    lock_drop(&core->registry.lock);
    return true;
}

/* ---- copies ---- */

struct layer layer_of_file(struct core *core, const struct file *file)
{
    struct pool *pool = pool_find(core, UUID_STR(&file->pool));

    return (struct layer){.id = file->id,
                          .pool = file->pool,
                          .parent = file->parent,
                          .vm = file->vm,
                          .role = file->role,
                          .format = file->format,
                          .size_bytes = file->size_bytes,
                          .dir = pool ? pool->dir : -1};
}

struct layer *chain_of_leaf(struct core *core, const struct uuid *leaf, size_t *n)
{
    struct layer *chain = NULL;
    size_t count = 0;

    lock_take(&core->registry.lock);
    for (struct file *f = file_find(core, leaf); f && count < FILE_CHAIN_MAX;
         f = file_find(core, &f->parent)) {
        chain = mem_resize(chain, count + 1, sizeof *chain);
        chain[count++] = layer_of_file(core, f);
    }
    lock_drop(&core->registry.lock);
    *n = count;
    return chain;
}

/* Puts a file, after its parents within the VM, unless it is in the list already. */
static void put_after_parents(struct core *core, const struct file *file, struct layer *list,
                              size_t *n) REQUIRES(core->registry.lock);
static void put_after_parents(struct core *core, const struct file *file, struct layer *list,
                              size_t *n)
{
    const struct file *path[FILE_CHAIN_MAX];
    size_t depth = 0;

    for (const struct file *f = file; f && depth < FILE_CHAIN_MAX && uuid_eq(&f->vm, &file->vm);
         f = file_find(core, &f->parent))
        path[depth++] = f;
    while (depth--) {
        size_t i = 0;
        while (i < *n && !uuid_eq(&list[i].id, &path[depth]->id))
            i++;
        if (i == *n)
            list[(*n)++] = layer_of_file(core, path[depth]);
    }
}

struct layer *layers_of_vm(struct core *core, const struct uuid *vm, size_t *n)
{
    struct disk_owner *owner;
    struct layer *list;
    size_t count = 0;

    *n = 0;
    lock_take(&core->registry.lock);
    owner = disk_owner_find(core, vm);
    for (struct file *f = owner ? owner->files : NULL; f; f = f->next)
        count++;
    list = count ? mem_array(count, sizeof *list) : NULL;
    for (struct file *f = owner ? owner->files : NULL; f; f = f->next)
        put_after_parents(core, f, list, n);
    lock_drop(&core->registry.lock);
    return list;
}

void layer_enlist(struct core *core, const struct layer *layer, const struct uuid *job)
{
    struct file *file;

    if (file_find(core, &layer->id))
        return;
    file = mem_alloc(sizeof *file);
    *file = (struct file){.id = layer->id,
                          .pool = layer->pool,
                          .vm = layer->vm,
                          .parent = layer->parent,
                          .role = layer->role,
                          .format = layer->format,
                          .size_bytes = layer->size_bytes,
                          .job = *job};
    file_index_add(core, file);
}

static bool remove_rows(struct core *core, const struct layer *list, size_t n, struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(core->store, err);

    while (txn && n--)
        if (!store_file_remove(txn, &list[n].id, err))
            return false;
    return txn && store_commit(&txn, err);
}

void layers_remove(struct core *core, const struct layer *list, size_t n)
{
    struct err err = {0};
    bool ok = true;

    for (size_t i = n; ok && i--;)
        ok = layer_unlink(&list[i], &err);
    if (!ok || !remove_rows(core, list, n, &err)) {
        log_warn("new files of an operation that failed are left for the next start: %s",
                 err.detail);
        return;
    }
    lock_take(&core->registry.lock);
    for (size_t i = n; i--;) {
        struct file *file = file_find(core, &list[i].id);
        if (file)
            file_index_drop(core, file);
    }
    lock_drop(&core->registry.lock);
}

/* ---- rows ---- */

void layer_name(const struct layer *layer, char out[FILE_NAME_BYTES])
{
    snprintf(out, FILE_NAME_BYTES, "%s.%s", UUID_STR(&layer->id),
             layer->role == FILE_MEMORY ? "mem" : disk_format_names[layer->format]);
}

bool layer_write(struct store_txn *txn, const struct layer *layer, const char *state,
                 const struct uuid *job, struct err *err)
{
    char name[FILE_NAME_BYTES];
    const struct file_record row = {.id = layer->id,
                                    .pool = layer->pool,
                                    .name = name,
                                    .role = file_roles[layer->role],
                                    .state = state,
                                    .format = disk_format_names[layer->format],
                                    .size_bytes = layer->size_bytes,
                                    .parent = layer->parent,
                                    .vm = layer->vm,
                                    .job = *job};

    layer_name(layer, name);
    return store_file_put(txn, &row, err);
}

/* ---- on the disk ---- */

static bool reachable(const struct layer *layer, struct err *err)
{
    return layer->dir >= 0 || err_set(err, ERR_UNAVAILABLE, "the disk's pool cannot be reached");
}

int layer_open(const struct layer *layer, int flags, struct err *err)
{
    char name[FILE_NAME_BYTES];

    layer_name(layer, name);
    return reachable(layer, err) ? fs_open(layer->dir, name, flags, 0600, err) : -1;
}

/* Writes an empty image; its header names the parent, for people with other tools only. A memory
 * begins as an empty file. */
static bool fill(struct core *core, const struct layer *layer, int fd, struct err *err)
{
    struct image_parent parent = {0};
    struct layer *chain;
    char name[FILE_NAME_BYTES];
    bool ok;
    size_t n;

    if (layer->role == FILE_MEMORY)
        return true;
    if (uuid_is_zero(&layer->parent))
        return image_create(fd, (enum disk_format)layer->format, layer->size_bytes, NULL, err);
    chain = chain_of_leaf(core, &layer->parent, &n);
    if (!n)
        return err_set(err, ERR_INTERNAL, "the image's parent is not known");
    layer_name(&chain[0], name);
    parent = (struct image_parent){.name = name, .format = (enum disk_format)chain[0].format};
    ok = image_create(fd, (enum disk_format)layer->format, layer->size_bytes, &parent, err);
    free(chain);
    return ok;
}

bool layer_make(struct core *core, const struct layer *layer, struct err *err)
{
    CLEANUP(closep) int fd = layer_open(layer, O_RDWR | O_CREAT | O_TRUNC, err);

    return fd >= 0 && FAILPOINT_AROUND("disk.make", fill(core, layer, fd, err), err) &&
           fs_sync(layer->dir, "the pool's directory", err);
}

bool layer_unlink(const struct layer *layer, struct err *err)
{
    char name[FILE_NAME_BYTES];

    layer_name(layer, name);
    return reachable(layer, err) &&
           FAILPOINT_AROUND("disk.unlink", fs_remove_large(layer->dir, name, err), err);
}

uint64_t layer_allocated(const struct layer *layer)
{
    char name[FILE_NAME_BYTES];
    struct stat st;

    layer_name(layer, name);
    if (layer->dir < 0 || fstatat(layer->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    return (uint64_t)st.st_blocks * 512;
}
