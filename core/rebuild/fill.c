/* Filling disaster copies: see fill.h.
 *
 * Which files a VM needs is found by walking down from its leaves, from its snapshots' files and
 * from its memories, not by asking whose they are: so a copy never names a file that is still being
 * made or is about to go. */
#include "core/rebuild/fill.h"

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/disks.h"
#include "core/disk/file.h"
#include "core/ram/image.h"
#include "core/snap/tree.h"

#include <stdlib.h>
#include <string.h>

/* Texts that are JSON are parsed once no lock is held. */
struct filling {
    struct core *core;
    struct vm_copy *copy;
    char **snapshot_specs, **memory_specs;
    size_t n_snapshot_specs, n_memory_specs;
};

#define APPEND(list, n) ((list) = mem_resize((list), (n) + 1, sizeof *(list)), &(list)[(n)++])

static void add_pool(struct filling *f, const struct uuid *id) REQUIRES(f->core->registry.lock);
static void add_pool(struct filling *f, const struct uuid *id)
{
    struct vm_copy *copy = f->copy;
    const struct pool *pool = pool_find(f->core, UUID_STR(id));

    for (size_t i = 0; i < copy->n_pools; i++)
        if (uuid_eq(&copy->pools[i].id, id))
            return;
    if (pool)
        *APPEND(copy->pools, copy->n_pools) =
            (struct copy_pool){.id = pool->id,
                               .name = str_dup(pool->name),
                               .root = str_dup(pool->root),
                               .created_ms = (uint64_t)pool->created_ms,
                               .quota_bytes = pool->quota_bytes,
                               .reserve_bytes = pool->reserve_bytes,
                               .default_format = pool->default_format};
}

/* Once each; false when it is there already, and so is what it lies on. */
static bool add_file(struct filling *f, const struct file *file) REQUIRES(f->core->registry.lock);
static bool add_file(struct filling *f, const struct file *file)
{
    struct vm_copy *copy = f->copy;

    if (vm_copy_file(copy, &file->id))
        return false;
    *APPEND(copy->files, copy->n_files) =
        (struct copy_file){.id = file->id,
                           .pool = file->pool,
                           .parent = file->parent,
                           .vm = file->vm,
                           .role = file->role == FILE_MEMORY ? COPY_MEMORY : COPY_DISK,
                           .format = file->format,
                           .size_bytes = file->size_bytes};
    add_pool(f, &file->pool);
    return true;
}

static void add_chain(struct filling *f, const struct uuid *leaf) REQUIRES(f->core->registry.lock);
static void add_chain(struct filling *f, const struct uuid *leaf)
{
    const struct file *file = file_find(f->core, leaf);

    while (file && add_file(f, file))
        file = file_find(f->core, &file->parent);
}

/* False when it is not complete: then nothing goes on with it. */
static bool add_memory(struct filling *f, const struct uuid *id) REQUIRES(f->core->registry.lock);
static bool add_memory(struct filling *f, const struct uuid *id)
{
    const struct file *file = uuid_is_zero(id) ? NULL : file_find(f->core, id);
    const struct ram_image *image = file ? file->image : NULL;
    struct vm_copy *copy = f->copy;

    if (!image || file->state == FILE_TRASH)
        return false;
    if (!add_file(f, file))
        return true;
    *APPEND(copy->memories, copy->n_memories) =
        (struct copy_memory){.file = *id,
                             .made = str_dup(image->made),
                             .leaves = str_dup(image->leaves),
                             .way = str_dup(ram_way_text(image->way)),
                             .held_bytes = image->held_bytes,
                             .pause_us = image->pause_us,
                             .took_ms = image->took_ms,
                             .created_ms = (uint64_t)image->created_ms,
                             .packed_bytes = image->packed_bytes,
                             .plain_bytes = image->plain_bytes};
    *APPEND(f->memory_specs, f->n_memory_specs) = str_dup(image->spec);
    return true;
}

static bool is_configured(const struct vm *vm, const struct disk *disk)
{
    for (size_t i = 0; i < vm->spec.n_disks; i++)
        if (uuid_eq(&vm->spec.disks[i].id, &disk->id))
            return true;
    return false;
}

/* One that is just being added is not in the configuration yet. */
static void add_disks(struct filling *f, const struct vm *vm) REQUIRES(f->core->registry.lock);
static void add_disks(struct filling *f, const struct vm *vm)
{
    struct vm_copy *copy = f->copy;

    for (const struct disk *d = disks_of(f->core, &vm->id); d; d = d->next) {
        if (!is_configured(vm, d))
            continue;
        *APPEND(copy->disks, copy->n_disks) =
            (struct copy_disk){.id = d->id,
                               .pool = d->pool,
                               .leaf = d->leaf,
                               .position = d->position,
                               .size_bytes = d->size_bytes,
                               .created_ms = (uint64_t)d->created_ms,
                               .format = d->format,
                               .bus = d->bus};
        add_chain(f, &d->leaf);
    }
}

static int memory_state_of(const struct snapshot *s)
{
    for (int i = 0; copy_memory_states[i]; i++)
        if (str_eq(copy_memory_states[i], snapshot_memory_text(s)))
            return i;
    return 0;
}

static void add_snapshot(struct filling *f, const struct snapshot *s)
    REQUIRES(f->core->registry.lock);
static void add_snapshot(struct filling *f, const struct snapshot *s)
{
    struct copy_snapshot *out = APPEND(f->copy->snapshots, f->copy->n_snapshots);
    bool ready = s->memory_state == SNAPSHOT_READY && add_memory(f, &s->memory);

    *out = (struct copy_snapshot){
        .id = s->id,
        .parent = s->parent,
        .name = str_dup(s->name),
        .notes = str_dup(s->notes),
        .created_ms = (uint64_t)s->created_ms,
        .memory_state = ready || s->memory_state == SNAPSHOT_LOST ? memory_state_of(s) : 0,
        .memory_note = str_dup(s->memory_note)};
    if (ready)
        out->memory = s->memory;
    *APPEND(f->snapshot_specs, f->n_snapshot_specs) = str_dup(s->spec);
    for (size_t i = 0; i < s->n_disks; i++) {
        *APPEND(out->disks, out->n_disks) = (struct copy_snapshot_disk){
            .disk = s->disks[i].disk, .file = s->disks[i].file, .position = s->disks[i].position};
        add_chain(f, &s->disks[i].file);
    }
}

static void add_vm(struct filling *f, const struct vm *vm) REQUIRES(f->core->registry.lock);
static void add_vm(struct filling *f, const struct vm *vm)
{
    struct vm_copy *copy = f->copy;

    copy->spec = model_encode(&vm_model, &vm->spec);
    copy->revision = vm->revision;
    copy->created_ms = (uint64_t)vm->created_ms;
    copy->updated_ms = (uint64_t)vm->updated_ms;
    copy->stands_on = vm->stands_on;
    add_disks(f, vm);
    for (const struct snapshot *s = vm->snapshots; s; s = s->next)
        add_snapshot(f, s);
    if (add_memory(f, &vm->memory)) {
        copy->memory = vm->memory;
        copy->memory_leaves = str_dup(vm->memory_leaves);
        copy->reason = str_dup(vm_reason_text(vm->reason));
    }
}

static json_t *parsed(char *text)
{
    json_t *json = text ? json_loads(text, 0, NULL) : NULL;

    free(text);
    return json ? json : json_object();
}

void vm_copy_fill(struct core *core, const struct vm *vm, struct vm_copy *out)
{
    struct filling f = {.core = core, .copy = out};

    *out = (struct vm_copy){.version = COPY_VERSION, .id = vm->id};
    lock_take(&f.core->registry.lock);
    add_vm(&f, vm);
    lock_drop(&f.core->registry.lock);
    for (size_t i = 0; i < f.n_snapshot_specs; i++)
        out->snapshots[i].spec = parsed(f.snapshot_specs[i]);
    for (size_t i = 0; i < f.n_memory_specs; i++)
        out->memories[i].spec = parsed(f.memory_specs[i]);
    free(f.snapshot_specs);
    free(f.memory_specs);
}

/* ---- the host's ---- */

static bool take_pool(void *ctx, const struct pool_record *r)
{
    struct host_copy *copy = ctx;
    struct copy_pool *pool = APPEND(copy->pools, copy->n_pools);

    *pool = (struct copy_pool){.id = r->id,
                               .name = str_dup(r->name),
                               .root = str_dup(r->root),
                               .created_ms = (uint64_t)r->created_ms,
                               .quota_bytes = r->quota_bytes,
                               .reserve_bytes = r->reserve_bytes < POOL_RESERVE_USUAL
                                                    ? r->reserve_bytes
                                                    : POOL_RESERVE_USUAL};
    for (int i = 0; disk_format_names[i]; i++)
        if (str_eq(disk_format_names[i], r->default_format))
            pool->default_format = i;
    return true;
}

static bool take_template(void *ctx, const struct template_record *r)
{
    struct host_copy *copy = ctx;

    *APPEND(copy->templates, copy->n_templates) =
        (struct copy_template){.id = r->id,
                               .name = str_dup(r->name),
                               .content = parsed(str_dup(r->content)),
                               .revision = r->revision,
                               .created_ms = (uint64_t)r->created_ms,
                               .updated_ms = (uint64_t)r->updated_ms,
                               .created_by = str_dup(r->created_by)};
    return true;
}

bool host_copy_fill(struct core *core, struct host_copy *out, struct err *err)
{
    *out = (struct host_copy){.version = COPY_VERSION};
    if (store_pool_each(core->store, take_pool, out, err) &&
        store_template_each(core->store, take_template, out, err))
        return true;
    host_copy_clear(out);
    return false;
}
