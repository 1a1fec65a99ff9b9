/* Whether a VM's copy is sound in itself: see document.h. What it says of files of others, and
 * whether its files are there, is for core/rebuild/scan.h. */
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/rebuild/document.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#define DEPTH_MAX 256 /* files on top of each other; as FILE_CHAIN_MAX */

struct node {
    struct uuid id;
    const struct copy_file *file;
    const struct copy_snapshot *snapshot;
    unsigned children;
    bool is_leaf;
    UT_hash_handle hh;
};

struct checking {
    const struct vm_copy *copy;
    struct node *files, *snapshots;
};

static struct node *find(struct node *table, const struct uuid *id)
{
    struct node *node;

    HASH_FIND(hh, table, id, sizeof *id, node);
    return node;
}

static struct node *add(struct node **table, const struct uuid *id, const char *what,
                        struct err *err)
{
    struct node *node;

    if (uuid_is_zero(id)) {
        err_set(err, ERR_INVALID, "a %s has no id", what);
        return NULL;
    }
    if (find(*table, id)) {
        err_set(err, ERR_INVALID, "the %s %s is in it twice", what, UUID_STR(id));
        return NULL;
    }
    node = mem_alloc(sizeof *node);
    node->id = *id;
    HASH_ADD(hh, *table, id, sizeof node->id, node);
    return node;
}

static void drop(struct node **table)
{
    struct node *node, *next;

    HASH_ITER (hh, *table, node, next) {
        HASH_DELETE(hh, *table, node);
        free(node);
    }
}

static void checking_clear(struct checking *c)
{
    drop(&c->files);
    drop(&c->snapshots);
}

static bool is_json(const char *text)
{
    json_t *json = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;

    json_decref(json);
    return json != NULL;
}

static bool is_word(const char *text)
{
    return text && *text && strspn(text, "abcdefghijklmnopqrstuvwxyz-") == strlen(text);
}

/* ---- pools and files ---- */

static bool pools_are_sound(const struct vm_copy *copy, struct err *err)
{
    for (size_t i = 0; i < copy->n_pools; i++) {
        if (uuid_is_zero(&copy->pools[i].id))
            return err_set(err, ERR_INVALID, "a pool has no id");
        for (size_t k = 0; k < i; k++)
            if (uuid_eq(&copy->pools[i].id, &copy->pools[k].id))
                return err_set(err, ERR_INVALID, "the pool %s is in it twice",
                               UUID_STR(&copy->pools[i].id));
    }
    return true;
}

static bool has_pool(const struct vm_copy *copy, const struct uuid *id)
{
    for (size_t i = 0; i < copy->n_pools; i++)
        if (uuid_eq(&copy->pools[i].id, id))
            return true;
    return false;
}

static bool index_files(struct checking *c, struct err *err)
{
    for (size_t i = 0; i < c->copy->n_files; i++) {
        const struct copy_file *f = &c->copy->files[i];
        struct node *node = add(&c->files, &f->id, "file", err);
        if (!node)
            return false;
        node->file = f;
        if (!has_pool(c->copy, &f->pool))
            return err_set(err, ERR_INVALID, "the file %s lies in a pool that is not in it",
                           UUID_STR(&f->id));
        if (f->role == COPY_MEMORY && (f->format != DISK_RAW || !uuid_is_zero(&f->parent)))
            return err_set(err, ERR_INVALID, "the memory image %s is none", UUID_STR(&f->id));
    }
    return true;
}

static bool parent_is_sound(struct checking *c, const struct copy_file *f, struct err *err)
{
    struct node *parent = find(c->files, &f->parent);

    if (!parent || parent->file->role != COPY_DISK)
        return err_set(err, ERR_INVALID, "the file %s lies on one that is not in it",
                       UUID_STR(&f->id));
    parent->children++;
    return f->format == DISK_QCOW2 ||
           err_set(err, ERR_INVALID, "the file %s cannot lie on another one", UUID_STR(&f->id));
}

/* Every walk up from a file ends: no circle, and no more than QEMU opens. */
static bool chains_end(struct checking *c, struct err *err)
{
    for (size_t i = 0; i < c->copy->n_files; i++) {
        const struct copy_file *f = &c->copy->files[i];
        unsigned depth = 0;
        while (!uuid_is_zero(&f->parent) && depth++ < DEPTH_MAX)
            f = find(c->files, &f->parent)->file;
        if (depth > DEPTH_MAX)
            return err_set(err, ERR_INVALID, "the files below %s go in a circle, or too deep",
                           UUID_STR(&c->copy->files[i].id));
    }
    return true;
}

static bool files_are_sound(struct checking *c, struct err *err)
{
    if (!index_files(c, err))
        return false;
    for (size_t i = 0; i < c->copy->n_files; i++)
        if (!uuid_is_zero(&c->copy->files[i].parent) &&
            !parent_is_sound(c, &c->copy->files[i], err))
            return false;
    return chains_end(c, err);
}

static const struct copy_file *disk_file(struct checking *c, const struct uuid *id)
{
    struct node *node = find(c->files, id);

    return node && node->file->role == COPY_DISK ? node->file : NULL;
}

/* ---- disks ---- */

static bool leaf_is_sound(struct checking *c, const struct copy_disk *d, struct err *err)
{
    struct node *leaf = find(c->files, &d->leaf);

    if (!disk_file(c, &d->leaf))
        return err_set(err, ERR_INVALID, "the file of disk %u is not in it", d->position);
    if (leaf->children)
        return err_set(err, ERR_INVALID, "disk %u writes to a file that another one lies on",
                       d->position);
    if (leaf->is_leaf)
        return err_set(err, ERR_INVALID, "two disks write to the file %s", UUID_STR(&d->leaf));
    leaf->is_leaf = true;
    return uuid_eq(&leaf->file->pool, &d->pool) ||
           err_set(err, ERR_INVALID, "disk %u lies in another pool than its file", d->position);
}

static bool is_configured(const struct vm_spec *spec, const struct copy_disk *d)
{
    for (size_t i = 0; i < spec->n_disks; i++)
        if (uuid_eq(&spec->disks[i].id, &d->id))
            return true;
    return false;
}

static bool disks_are_sound(struct checking *c, const struct vm_spec *spec, struct err *err)
{
    const struct vm_copy *copy = c->copy;

    if (copy->n_disks != spec->n_disks)
        return err_set(err, ERR_INVALID, "it has %zu disks, and its configuration %zu",
                       copy->n_disks, spec->n_disks);
    for (size_t i = 0; i < copy->n_disks; i++) {
        const struct copy_disk *d = &copy->disks[i];
        for (size_t k = 0; k < i; k++)
            if (uuid_eq(&d->id, &copy->disks[k].id) || d->position == copy->disks[k].position)
                return err_set(err, ERR_INVALID, "disk %u is in it twice", d->position);
        if (uuid_is_zero(&d->id) || !is_configured(spec, d))
            return err_set(err, ERR_INVALID, "disk %u is not in its configuration", d->position);
        if (!leaf_is_sound(c, d, err))
            return false;
    }
    return true;
}

/* ---- memories ---- */

static bool memories_are_sound(struct checking *c, struct err *err)
{
    for (size_t i = 0; i < c->copy->n_memories; i++) {
        const struct copy_memory *m = &c->copy->memories[i];
        const struct node *node = find(c->files, &m->file);
        if (!node || node->file->role != COPY_MEMORY)
            return err_set(err, ERR_INVALID, "the memory image %s is not in it",
                           UUID_STR(&m->file));
        if (!is_json(m->made) || !is_json(m->leaves) || !is_word(m->way))
            return err_set(err, ERR_INVALID, "what it says of the memory image %s cannot be read",
                           UUID_STR(&m->file));
    }
    return true;
}

static bool memory_is_known(struct checking *c, const struct uuid *id)
{
    struct node *node = find(c->files, id);

    return node && node->file->role == COPY_MEMORY && vm_copy_memory(c->copy, id);
}

static bool saved_state_is_sound(struct checking *c, struct err *err)
{
    const struct vm_copy *copy = c->copy;

    if (uuid_is_zero(&copy->memory))
        return true;
    return (memory_is_known(c, &copy->memory) && is_json(copy->memory_leaves) &&
            (!copy->reason || !*copy->reason || is_word(copy->reason))) ||
           err_set(err, ERR_INVALID, "the memory that it goes on with is not in it");
}

/* ---- snapshots ---- */

static bool spec_is_sound(const json_t *json)
{
    struct vm_spec spec;
    struct err err = {0};

    if (!model_decode(&vm_model, json, MODEL_STORED, &spec, &err))
        return false;
    vm_spec_clear(&spec);
    return true;
}

static bool frozen_files_are_sound(struct checking *c, const struct copy_snapshot *s,
                                   struct err *err)
{
    for (size_t i = 0; i < s->n_disks; i++) {
        struct node *node = find(c->files, &s->disks[i].file);
        if (uuid_is_zero(&s->disks[i].disk) || !disk_file(c, &s->disks[i].file))
            return err_set(err, ERR_INVALID, "a file of the snapshot %s is not in it", s->name);
        if (node->is_leaf)
            return err_set(err, ERR_INVALID, "a disk writes to a file of the snapshot %s", s->name);
        for (size_t k = 0; k < i; k++)
            if (uuid_eq(&s->disks[i].disk, &s->disks[k].disk))
                return err_set(err, ERR_INVALID, "a disk is twice in the snapshot %s", s->name);
    }
    return true;
}

static bool snapshot_is_sound(struct checking *c, const struct copy_snapshot *s, struct err *err)
{
    bool ready = str_eq(copy_memory_states[s->memory_state], "ready");

    if (!spec_is_sound(s->spec))
        return err_set(err, ERR_INVALID, "the configuration of the snapshot %s cannot be read",
                       s->name);
    if (ready != !uuid_is_zero(&s->memory) || (ready && !memory_is_known(c, &s->memory)))
        return err_set(err, ERR_INVALID, "the memory of the snapshot %s is not in it", s->name);
    return frozen_files_are_sound(c, s, err);
}

static bool index_snapshots(struct checking *c, struct err *err)
{
    for (size_t i = 0; i < c->copy->n_snapshots; i++) {
        const struct copy_snapshot *s = &c->copy->snapshots[i];
        struct node *node = add(&c->snapshots, &s->id, "snapshot", err);
        if (!node)
            return false;
        node->snapshot = s;
        for (size_t k = 0; k < i; k++)
            if (strcmp(s->name, c->copy->snapshots[k].name) == 0)
                return err_set(err, ERR_INVALID, "two snapshots are called %s", s->name);
    }
    return true;
}

static bool tree_ends(struct checking *c, const struct copy_snapshot *s, struct err *err)
{
    const struct copy_snapshot *at = s;
    size_t steps = 0;

    while (!uuid_is_zero(&at->parent)) {
        struct node *parent = find(c->snapshots, &at->parent);
        if (!parent)
            return err_set(err, ERR_INVALID, "the snapshot %s has a parent that is not in it",
                           at->name);
        if (steps++ > c->copy->n_snapshots)
            return err_set(err, ERR_INVALID, "the snapshots above %s go in a circle", s->name);
        at = parent->snapshot;
    }
    return true;
}

static bool snapshots_are_sound(struct checking *c, struct err *err)
{
    if (!index_snapshots(c, err))
        return false;
    for (size_t i = 0; i < c->copy->n_snapshots; i++)
        if (!snapshot_is_sound(c, &c->copy->snapshots[i], err) ||
            !tree_ends(c, &c->copy->snapshots[i], err))
            return false;
    return uuid_is_zero(&c->copy->stands_on) || find(c->snapshots, &c->copy->stands_on) ||
           err_set(err, ERR_INVALID, "the snapshot that it stands on is not in it");
}

bool vm_copy_check(const struct vm_copy *copy, struct err *err)
{
    CLEANUP(checking_clear) struct checking c = {.copy = copy};
    CLEANUP(vm_spec_freep) struct vm_spec *spec = NULL;

    if (uuid_is_zero(&copy->id))
        return err_set(err, ERR_INVALID, "it has no id");
    spec = vm_copy_spec(copy);
    if (!spec)
        return err_set(err, ERR_INVALID, "its configuration cannot be read");
    return pools_are_sound(copy, err) && files_are_sound(&c, err) &&
           disks_are_sound(&c, spec, err) && memories_are_sound(&c, err) &&
           saved_state_is_sound(&c, err) && snapshots_are_sound(&c, err);
}
