/* Memory images: their rows, files and references. See image.h. */
#include "core/ram/image.h"

#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/disks.h"
#include "core/disk/space.h"
#include "core/snap/tree.h"
#include "core/vm/registry.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define MIB (1ull << 20)

static const char *const way_names[] = {"background", "precopy", "still", NULL};

const char *ram_way_text(enum memory_way way)
{
    return way_names[way];
}

/* ---- in memory ---- */

void ram_image_free(struct ram_image *image)
{
    if (!image)
        return;
    free(image->made);
    free(image->spec);
    free(image->leaves);
    free(image);
}

struct ram_image *ram_image_copy(const struct ram_image *image)
{
    struct ram_image *copy = mem_dup(image, sizeof *image);

    copy->made = str_dup(image->made);
    copy->spec = str_dup(image->spec);
    copy->leaves = str_dup(image->leaves);
    return copy;
}

static enum memory_way way_named(const char *name)
{
    for (int i = 0; way_names[i]; i++)
        if (str_eq(way_names[i], name))
            return (enum memory_way)i;
    return MEMORY_STILL;
}

static bool load_image(void *ctx, const struct memory_record *r)
{
    struct core *core = ctx;
    struct file *file;

    lock_take(&core->registry.lock);
    file = file_find(core, &r->file);
    if (file) {
        file->image = mem_alloc(sizeof *file->image);
        *file->image = (struct ram_image){.made = str_dup(r->made),
                                          .spec = str_dup(r->spec),
                                          .leaves = str_dup(r->leaves),
                                          .way = way_named(r->way),
                                          .held_bytes = r->held_bytes,
                                          .pause_us = r->pause_us,
                                          .took_ms = r->took_ms,
                                          .created_ms = r->created_ms,
                                          .packed_bytes = r->packed_bytes,
                                          .plain_bytes = r->plain_bytes};
    }
    lock_drop(&core->registry.lock);
    return true;
}

bool ram_images_load(struct core *core, struct err *err)
{
    return store_memory_each(core->store, load_image, core, err);
}

struct ram_image *ram_image_get(struct core *core, const struct uuid *id, struct err *err)
{
    struct ram_image *copy = NULL;
    struct file *file;

    lock_take(&core->registry.lock);
    file = file_find(core, id);
    if (file && file->image && file->state != FILE_TRASH)
        copy = ram_image_copy(file->image);
    lock_drop(&core->registry.lock);
    if (!copy)
        err_set(err, ERR_NOT_FOUND, "the memory image is gone");
    return copy;
}

json_t *ram_image_json(struct core *core, const struct uuid *id)
{
    struct file *file = file_find(core, id);
    json_t *v;

    if (!file || !file->image)
        return NULL;
    v = json_object();
    json_put_u64(v, "ram_bytes", file->size_bytes);
    json_put_u64(v, "held_bytes", file->image->held_bytes);
    json_put_u64(v, "pause_us", file->image->pause_us);
    json_put_u64(v, "took_ms", file->image->took_ms);
    json_put_text(v, "way", way_names[file->image->way]);
    json_put_time(v, "created_at", file->image->created_ms);
    json_put_bool(v, "archived", file->image->packed_bytes > 0);
    if (file->image->packed_bytes) {
        json_put_u64(v, "archived_bytes", file->image->packed_bytes);
        json_put_u64(v, "plain_bytes", file->image->plain_bytes);
    }
    return v;
}

/* ---- making one ---- */

/* The guest's memory, the state of its devices and the trailer: a tenth is more than enough. */
static uint64_t room_for(const struct layer *image)
{
    return image->size_bytes + image->size_bytes / 10 + MIB;
}

/* The pool of the VM's first disk, or the oldest one. */
static struct pool *pool_for(struct core *core, const struct vm *vm) REQUIRES(core->registry.lock);
static struct pool *pool_for(struct core *core, const struct vm *vm)
{
    const struct disk *first = NULL;

    for (const struct disk *d = disks_of(core, &vm->id); d; d = d->next)
        if (!first || d->position < first->position)
            first = d;
    return first ? pool_find(core, UUID_STR(&first->pool)) : core->registry.pools;
}

bool ram_image_plan(struct core *core, struct vm *vm, struct layer *out, struct err *err)
{
    struct pool *pool;

    lock_take(&core->registry.lock);
    pool = pool_for(core, vm);
    *out = (struct layer){.id = uuid_new(),
                          .vm = vm->id,
                          .role = FILE_MEMORY,
                          .format = DISK_RAW,
                          .size_bytes = (vm->active ? vm->active : &vm->spec)->memory_bytes,
                          .dir = pool ? pool->dir : -1};
    if (pool)
        out->pool = pool->id;
    lock_drop(&core->registry.lock);
    if (!pool)
        return err_set(err, ERR_UNAVAILABLE,
                       "there is no pool that the VM's memory could be written to: make one");
    return space_check(core, &out->pool, room_for(out), NULL, err) ||
           err_prefix(err, "the VM's memory");
}

json_t *ram_image_args(const struct layer *image)
{
    json_t *args = json_object();

    json_put_text(args, "id", UUID_STR(&image->id));
    json_put_text(args, "pool", UUID_STR(&image->pool));
    json_put_u64(args, "bytes", image->size_bytes);
    return args;
}

bool ram_image_of_job(struct core *core, const struct uuid *vm, const struct uuid *job,
                      const json_t *args, struct layer *out, struct err *err)
{
    const json_t *image = json_object_get(args, "image");
    struct pool *pool;

    *out = (struct layer){.vm = *vm,
                          .role = FILE_MEMORY,
                          .format = DISK_RAW,
                          .size_bytes = json_get_u64(image, "bytes", 0),
                          .dir = -1};
    if (!uuid_parse(json_get_text(image, "id"), &out->id) ||
        !uuid_parse(json_get_text(image, "pool"), &out->pool))
        return err_set(err, ERR_INTERNAL, "the operation has no memory image");
    lock_take(&core->registry.lock);
    pool = pool_find(core, UUID_STR(&out->pool));
    out->dir = pool ? pool->dir : -1;
    layer_enlist(core, out, job);
    lock_drop(&core->registry.lock);
    return true;
}

bool ram_image_rows(struct store_txn *txn, const struct layer *image, const struct uuid *job,
                    struct err *err)
{
    return layer_write(txn, image, "creating", job, err) && FAILPOINT("ram.rows", err);
}

bool ram_image_make(struct core *core, const struct layer *image, const struct uuid *job,
                    struct err *err)
{
    return (space_reserve(core, &image->pool, job, room_for(image), NULL, err) ||
            err_prefix(err, "the VM's memory")) &&
           FAILPOINT("ram.make", err) && layer_make(core, image, err);
}

void ram_image_reserve_again(struct core *core, const struct layer *image, const struct uuid *job)
{
    const uint64_t whole = room_for(image), there = layer_allocated(image);
    struct err err = {0};

    if (there < whole && !space_reserve(core, &image->pool, job, whole - there, NULL, &err))
        log_warn("a memory image is being written, and the space it may still take could not be "
                 "put by: %s",
                 err.detail);
}

int ram_image_open_new(const struct layer *image, struct err *err)
{
    return layer_open(image, O_RDWR, err);
}

bool ram_image_flush(const struct layer *image, struct err *err)
{
    return FAILPOINT("ram.flush", err) && fs_sync(image->dir, "the pool's directory", err);
}

bool ram_image_fail(struct core *core, const struct layer *image,
                    const struct machine_memory_state *now, struct err *err)
{
    char name[NAME_MAX_BYTES + 1] = "";
    const struct pool *pool;

    if (!now->no_space)
        return err_set(err, ERR_HYPERVISOR, "the guest's memory could not be written: %.180s",
                       now->error);
    lock_take(&core->registry.lock);
    pool = pool_find(core, UUID_STR(&image->pool));
    if (pool)
        str_copy(name, sizeof name, pool->name);
    lock_drop(&core->registry.lock);
    return err_set(err, ERR_NO_SPACE,
                   "the pool %s became full while the guest's memory was written to it: make room "
                   "there and try again",
                   name);
}

void ram_image_drop(struct core *core, const struct layer *image)
{
    layers_remove(core, image, 1);
}

struct ram_image *ram_image_describe(struct core *core, struct vm *vm, enum memory_way way,
                                     const struct machine_memory_state *state, const char *made,
                                     const char *leaves)
{
    struct ram_image *image = mem_alloc(sizeof *image);
    CLEANUP(json_decrefp) json_t *spec = NULL;

    lock_take(&core->registry.lock);
    spec = model_encode(&vm_model, vm->active ? vm->active : &vm->spec);
    lock_drop(&core->registry.lock);
    *image = (struct ram_image){.made = str_dup(made),
                                .spec = json_write(spec),
                                .leaves = str_dup(leaves),
                                .way = way,
                                .held_bytes = state->held_bytes,
                                .pause_us = state->pause_us,
                                .created_ms = clock_wall_ms()};
    return image;
}

bool ram_image_write_facts(struct store_txn *txn, const struct layer *image,
                           const struct ram_image *facts, struct err *err)
{
    const struct memory_record row = {.file = image->id,
                                      .made = facts->made,
                                      .spec = facts->spec,
                                      .leaves = facts->leaves,
                                      .way = way_names[facts->way],
                                      .held_bytes = facts->held_bytes,
                                      .pause_us = facts->pause_us,
                                      .took_ms = facts->took_ms,
                                      .created_ms = facts->created_ms,
                                      .packed_bytes = facts->packed_bytes,
                                      .plain_bytes = facts->plain_bytes};

    return store_memory_put(txn, &row, err);
}

bool ram_image_write_live(struct store_txn *txn, const struct layer *image,
                          const struct ram_image *facts, struct err *err)
{
    static const struct uuid none;

    return layer_write(txn, image, "live", &none, err) &&
           ram_image_write_facts(txn, image, facts, err);
}

void ram_image_set_facts(struct core *core, const struct layer *image, struct ram_image *facts)
{
    struct file *file;

    lock_take(&core->registry.lock);
    file = file_find(core, &image->id);
    if (file) {
        ram_image_free(file->image);
        file->image = TAKE(facts);
    }
    lock_drop(&core->registry.lock);
    ram_image_free(facts);
}

void ram_image_set_live(struct core *core, const struct layer *image, struct ram_image *facts)
{
    static const struct uuid none;
    struct file *file;

    lock_take(&core->registry.lock);
    layer_enlist(core, image, &none);
    file = file_find(core, &image->id);
    file->state = FILE_LIVE;
    file->job = none;
    ram_image_free(file->image);
    file->image = facts;
    lock_drop(&core->registry.lock);
}

/* ---- references ---- */

bool ram_image_hold(struct store_txn *txn, const struct uuid *image, struct err *err)
{
    return store_memory_hold(txn, image, err);
}

bool ram_image_let_go(struct store_txn *txn, const struct uuid *image, bool *last, struct err *err)
{
    *last = false;
    return uuid_is_zero(image) || store_memory_release(txn, image, last, err);
}

static bool refers(const struct vm *vm, const struct uuid *image)
{
    if (uuid_eq(&vm->memory, image))
        return true;
    for (const struct snapshot *s = vm->snapshots; s; s = s->next)
        if (uuid_eq(&s->memory, image))
            return true;
    return false;
}

bool ram_image_is_borrowed(struct core *core, const struct file *image)
{
    struct vm *vm, *next;

    HASH_ITER (by_id, core->registry.vms_by_id, vm, next)
        if (!uuid_eq(&vm->id, &image->vm) && refers(vm, &image->id))
            return true;
    return false;
}

void ram_image_left(struct core *core, const struct uuid *image, bool last)
{
    struct file *file;

    lock_take(&core->registry.lock);
    file = last ? file_find(core, image) : NULL;
    if (file) {
        file->state = FILE_TRASH;
        file->job = (struct uuid){0};
        core->registry.ram_rubbish = true;
    }
    lock_drop(&core->registry.lock);
}

/* Whose VM goes, goes with it; what an operation has put there is left to it. */
static bool is_rubbish(struct core *core, const struct file *file) REQUIRES(core->registry.lock);
static bool is_rubbish(struct core *core, const struct file *file)
{
    struct vm *vm;

    if (file->role != FILE_MEMORY || file->state != FILE_TRASH || file->removing ||
        job_is_open(core, &file->job))
        return false;
    HASH_FIND(by_id, core->registry.vms_by_id, &file->vm, sizeof file->vm, vm);
    return !vm || vm->phase != VM_DELETING;
}

static bool find_rubbish(struct core *core, struct layer *out)
{
    struct file *file, *next;
    bool found = false;

    lock_take(&core->registry.lock);
    if (core->registry.ram_rubbish) {
        HASH_ITER (by_id, core->registry.files, file, next) {
            if (found || !is_rubbish(core, file))
                continue;
            found = file->removing = true;
            *out = layer_of_file(core, file);
        }
    }
    core->registry.ram_rubbish = found;
    lock_drop(&core->registry.lock);
    return found;
}

void ram_images_sweep(struct core *core)
{
    struct layer image;

    while (find_rubbish(core, &image))
        layers_remove(core, &image, 1);
}

/* ---- a VM that goes ---- */

/* All that it refers to, and its own; a copy of ids. */
static struct uuid *images_of(struct core *core, struct vm *vm, size_t *n)
    REQUIRES(core->registry.lock);
static struct uuid *images_of(struct core *core, struct vm *vm, size_t *n)
{
    struct disk_owner *owner = disk_owner_find(core, &vm->id);
    struct uuid *list = mem_array(1, sizeof *list);

    *n = 0;
    if (!uuid_is_zero(&vm->memory))
        list[(*n)++] = vm->memory;
    for (const struct snapshot *s = vm->snapshots; s; s = s->next) {
        list = mem_resize(list, *n + 1, sizeof *list);
        if (!uuid_is_zero(&s->memory))
            list[(*n)++] = s->memory;
    }
    for (const struct file *f = owner ? owner->files : NULL; f; f = f->next) {
        list = mem_resize(list, *n + 1, sizeof *list);
        if (f->role == FILE_MEMORY)
            list[(*n)++] = f->id;
    }
    return list;
}

static void keep(struct core *core, const struct uuid *id, bool kept)
{
    struct file *file;

    lock_take(&core->registry.lock);
    file = file_find(core, id);
    if (file)
        file->kept = kept;
    lock_drop(&core->registry.lock);
}

bool ram_images_write_gone(struct core *core, struct store_txn *txn, struct vm *vm, struct err *err)
{
    CLEANUP(mem_freep) struct uuid *list = NULL;
    bool ok = store_memory_forget(txn, &vm->id, err), last;
    size_t n;

    lock_take(&core->registry.lock);
    list = images_of(core, vm, &n);
    for (size_t i = 0; i < n; i++) {
        struct file *file = file_find(core, &list[i]);
        if (file)
            file->kept = true;
    }
    lock_drop(&core->registry.lock);
    for (size_t i = 0; ok && i < n; i++) {
        ok = ram_image_let_go(txn, &list[i], &last, err);
        if (ok && last)
            keep(core, &list[i], false);
    }
    return ok;
}

void ram_images_gone(struct core *core, struct vm *vm)
{
    CLEANUP(mem_freep) struct uuid *list = NULL;
    size_t n;

    lock_take(&core->registry.lock);
    list = images_of(core, vm, &n);
    for (size_t i = 0; i < n; i++) {
        struct file *file = file_find(core, &list[i]);
        if (file && !file->kept) {
            file->state = FILE_TRASH;
            file->job = (struct uuid){0};
            core->registry.ram_rubbish = true;
        }
    }
    vm->memory = (struct uuid){0};
    mem_freep(&vm->memory_leaves);
    for (struct snapshot *s = vm->snapshots; s; s = s->next)
        s->memory = (struct uuid){0};
    lock_drop(&core->registry.lock);
}
