/* A bundle that is to become a VM of this host: read, looked over and turned. See inside.h. */
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/bundle/inside.h"
#include "core/core/parts.h"
#include "core/disk/disks.h"
#include "core/model/profile.h"
#include "core/model/rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void opened_clear(struct opened *o)
{
    closep(&o->dir);
    bundle_clear(&o->bundle);
    free(o->names);
    free(o->extras);
    free(o->layers);
}

bool opened_takes(const struct opened *o, size_t file)
{
    return !o->turn.drop_memory || o->bundle.copy.files[file].role != COPY_MEMORY;
}

/* ---- what a disaster copy's check leaves open ---- */

static const struct vm_disk *disk_of(const struct vm_spec *spec, const struct uuid *id)
{
    for (size_t i = 0; i < spec->n_disks; i++)
        if (uuid_eq(&spec->disks[i].id, id))
            return &spec->disks[i];
    return NULL;
}

static bool disks_agree(const struct vm_copy *copy, struct err *err)
{
    CLEANUP(vm_spec_freep) struct vm_spec *spec = vm_copy_spec(copy);

    for (size_t i = 0; i < copy->n_disks; i++) {
        const struct copy_disk *d = &copy->disks[i];
        const struct vm_disk *wanted = disk_of(spec, &d->id);
        const struct copy_file *leaf = vm_copy_file(copy, &d->leaf);
        if (d->position >= VM_DISKS_MAX || !wanted || wanted->size_bytes != d->size_bytes ||
            wanted->bus != d->bus || !leaf || leaf->size_bytes != d->size_bytes)
            return err_set(err, ERR_INVALID,
                           "what it says of disk %u is not what its configuration says",
                           d->position);
    }
    return true;
}

/* As a client's would be: members, types, ranges and rules; and of the VM's own kind. */
static bool spec_is_fine(const json_t *stored, const json_t *of_vm, struct err *err)
{
    CLEANUP(json_decrefp) json_t *spec = json_deep_copy(stored);
    CLEANUP(vm_spec_clear) struct vm_spec decoded = {0};
    char where[sizeof err->field];
    json_t *one;
    size_t i;

    if (!str_eq(json_get_text(stored, "backend"), json_get_text(of_vm, "backend")))
        return err_set(err, ERR_INVALID, "a configuration in it is of another backend");
    json_array_foreach (json_object_get(spec, "disks"), i, one)
        json_object_del(one, "id");
    json_object_del(spec, "generation_id"); /* as what a client never says */
    if (!vm_spec_decode(spec, &decoded, err))
        decoded = (struct vm_spec){0};
    else if (vm_spec_rules(&decoded, err))
        return true;
    str_copy(where, sizeof where, err->field);
    str_scrub(where);
    return err_prefix(err, "a configuration in it, at %s", where);
}

static bool frozen_disk_is_there(const struct copy_snapshot *s, const struct vm_disk *d)
{
    for (size_t i = 0; i < s->n_disks; i++)
        if (uuid_eq(&s->disks[i].disk, &d->id))
            return s->disks[i].position < VM_DISKS_MAX;
    return false;
}

/* A snapshot has a file for each disk of its configuration, and no other. */
static bool snapshot_agrees(const struct copy_snapshot *s, struct err *err)
{
    CLEANUP(vm_spec_clear) struct vm_spec spec = {0};
    bool ok;

    if (!model_decode(&vm_model, s->spec, MODEL_STORED, &spec, err)) {
        spec = (struct vm_spec){0};
        return false;
    }
    ok = spec.n_disks == s->n_disks;
    for (size_t i = 0; ok && i < spec.n_disks; i++)
        ok = frozen_disk_is_there(s, &spec.disks[i]);
    return ok || err_set(err, ERR_INVALID,
                         "the snapshot %s has other disks than its configuration says", s->name);
}

/* An archived one is expanded to what its file is said to be: to no more than its machine had. */
static bool memory_agrees(const struct vm_copy *copy, const struct copy_memory *m, struct err *err)
{
    CLEANUP(vm_spec_clear) struct vm_spec spec = {0};
    const struct copy_file *file = vm_copy_file(copy, &m->file);

    if (!model_decode(&vm_model, m->spec, MODEL_STORED, &spec, err)) {
        spec = (struct vm_spec){0};
        return false;
    }
    return (file && file->size_bytes == spec.memory_bytes) ||
           err_set(err, ERR_INVALID,
                   "the memory image %s is said to be of another size than its machine's memory",
                   UUID_STR(&m->file));
}

static bool specs_are_fine(const struct vm_copy *copy, struct err *err)
{
    bool ok = spec_is_fine(copy->spec, copy->spec, err);

    for (size_t i = 0; ok && i < copy->n_snapshots; i++)
        ok = spec_is_fine(copy->snapshots[i].spec, copy->spec, err) &&
             snapshot_agrees(&copy->snapshots[i], err);
    for (size_t i = 0; ok && i < copy->n_memories; i++)
        ok = spec_is_fine(copy->memories[i].spec, copy->spec, err) &&
             memory_agrees(copy, &copy->memories[i], err);
    return ok;
}

/* ---- files ---- */

static bool look_at(struct opened *o, const char *name, uint64_t bytes, bool counts,
                    struct err *err)
{
    CLEANUP(closep) int fd = bundle_file_open(o->dir, name, bytes, err);
    struct stat st;

    if (fd < 0)
        return false;
    if (fstat(fd, &st) < 0)
        return err_set(err, ERR_INVALID, "its file %s cannot be looked at", name);
    if (counts)
        o->bytes += (uint64_t)st.st_blocks * 512;
    return true;
}

static bool look_at_files(struct opened *o, struct err *err)
{
    const struct bundle *b = &o->bundle;

    o->names = mem_array(b->n_files + 1, sizeof *o->names);
    o->extras = mem_array(b->n_extras + 1, sizeof *o->extras);
    for (size_t i = 0; i < b->n_files; i++) {
        bundle_file_name(&b->copy.files[i], o->names[i]);
        if (!look_at(o, o->names[i], b->files[i].bytes, opened_takes(o, i), err))
            return false;
    }
    for (size_t i = 0; i < b->n_extras; i++) {
        bundle_extra_name(b->extras[i].kind, &b->extras[i].snapshot, o->extras[i]);
        if (!look_at(o, o->extras[i], b->extras[i].bytes, false, err))
            return false;
    }
    return true;
}

static void make_layers(struct opened *o)
{
    const struct vm_copy *copy = &o->bundle.copy;
    const struct pool *pool;
    int dir;

    lock_take(&o->core->registry.lock);
    pool = pool_find(o->core, UUID_STR(&o->turn.pool));
    dir = pool ? pool->dir : -1;
    lock_drop(&o->core->registry.lock);
    o->layers = mem_array(copy->n_files + 1, sizeof *o->layers);
    for (size_t i = 0; i < copy->n_files; i++) {
        const struct copy_file *f = &copy->files[i];
        o->layers[i] = (struct layer){.id = f->id,
                                      .pool = f->pool,
                                      .parent = f->parent,
                                      .vm = f->vm,
                                      .role = f->role == COPY_MEMORY ? FILE_MEMORY : FILE_DISK,
                                      .format = f->format,
                                      .size_bytes = f->size_bytes,
                                      .dir = dir};
    }
}

static void digest_text(const char *text, size_t len, char out[DIGEST_TEXT])
{
    unsigned char sum[COPY_DIGEST_BYTES];

    if (!EVP_Digest(text, len, sum, NULL, EVP_sha256(), NULL))
        abort(); /* no SHA-256: nothing here can be trusted */
    str_hex(sum, sizeof sum, out);
}

bool opened_read(struct opened *o, const char *name, struct err *err)
{
    CLEANUP(mem_freep) char *text = NULL;
    const char *root = NULL;
    size_t len;

    o->dir = bundle_open(o->core, name, &root, err);
    if (o->dir < 0)
        return err_under(err, "/bundle");
    str_copy(o->root, sizeof o->root, root);
    text = bundle_text(o->dir, &len, err);
    if (!text || !bundle_read(text, len, &o->bundle, err) || !disks_agree(&o->bundle.copy, err) ||
        !specs_are_fine(&o->bundle.copy, err) || !look_at_files(o, err)) {
        err->field[0] = 0;
        return err_prefix(err, "the bundle %s", name);
    }
    digest_text(text, len, o->text_digest);
    turn_copy(&o->turn, &o->bundle.copy);
    make_layers(o);
    return true;
}
