/* Which files a move copies, from where to where: see inside.h.
 *
 * Of each disk that moves: the chain of its leaf and those of all snapshots. What is in the target
 * already stays if all below it stays as well; so does what another VM's files lie on. When all
 * disks move, snapshots' files of disks that were removed go along, and memory images: images.c. */
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/disks.h"
#include "core/disk/lent.h"
#include "core/disk/space.h"
#include "core/move/inside.h"
#include "core/snap/tree.h"
#include "core/user/sight_inside.h"
#include "core/vm/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB             (1ull << 20)
#define GUESSED_BYTES_S (200 * MIB) /* for the estimate, when nobody set a limit */

void move_clear(struct move *m)
{
    free(m->files);
}

/* ---- which disks ---- */

static bool is_meant(const struct disk *d, const char *ref)
{
    char position[16];
    struct uuid id;

    snprintf(position, sizeof position, "%u", d->position);
    return uuid_parse(ref, &id) ? uuid_eq(&id, &d->id) : str_eq(ref, position);
}

static bool moves(const struct disk *d, const struct move_request *request)
{
    bool yes = !request->n_disks;

    for (size_t i = 0; i < request->n_disks; i++)
        yes |= is_meant(d, request->disks[i]);
    return yes;
}

static bool know_all(struct move *m, const struct move_request *request, struct err *err)
    REQUIRES(m->core->registry.lock);
static bool know_all(struct move *m, const struct move_request *request, struct err *err)
{
    char field[32];

    for (size_t i = 0; i < request->n_disks; i++) {
        struct disk *d = disks_of(m->core, &m->vm->id);
        while (d && !is_meant(d, request->disks[i]))
            d = d->next;
        snprintf(field, sizeof field, "/disks/%zu", i);
        if (!d)
            return err_field(err, ERR_NOT_FOUND, field, "%s has no disk '%.64s'", m->vm->name,
                             request->disks[i]);
    }
    return true;
}

/* ---- which files ---- */

struct move_file *move_find(const struct move *m, const struct uuid *from)
{
    for (size_t i = 0; i < m->n; i++)
        if (uuid_eq(&m->files[i].from.id, from))
            return &m->files[i];
    return NULL;
}

static bool stays(struct move *m, const struct file *file) REQUIRES(m->core->registry.lock);
static bool stays(struct move *m, const struct file *file)
{
    if (!uuid_eq(&file->vm, &m->vm->id) || file_is_lent(m->core, file))
        return true;
    if (!uuid_eq(&file->pool, &m->pool))
        return false;
    for (const struct file *f = file_find(m->core, &file->parent); f;
         f = file_find(m->core, &f->parent))
        if (move_find(m, &f->id))
            return false;
    return true;
}

void move_add(struct move *m, const struct file *file, const struct disk *disk, int format)
{
    struct pool *pool = pool_find(m->core, UUID_STR(&m->pool));
    const struct move_file *parent;
    struct move_file f = {.from = layer_of_file(m->core, file)};

    if (disk) {
        f.disk = disk->id;
        f.is_leaf = uuid_eq(&disk->leaf, &file->id);
    }
    f.to = f.from;
    f.to.id = uuid_new();
    f.to.pool = m->pool;
    f.to.dir = pool ? pool->dir : -1;
    if (format >= 0)
        f.to.format = format;
    parent = move_find(m, &file->parent);
    if (parent)
        f.to.parent = parent->to.id;
    m->files = mem_resize(m->files, m->n + 1, sizeof *m->files);
    m->files[m->n++] = f;
}

/* A chain's files that move, its base first. */
static void add_chain(struct move *m, const struct uuid *leaf, const struct disk *disk, int format)
    REQUIRES(m->core->registry.lock);
static void add_chain(struct move *m, const struct uuid *leaf, const struct disk *disk, int format)
{
    const struct file *path[FILE_CHAIN_MAX];
    size_t depth = 0;

    for (const struct file *f = file_find(m->core, leaf); f && depth < FILE_CHAIN_MAX;
         f = file_find(m->core, &f->parent))
        path[depth++] = f;
    while (depth--)
        if (!move_find(m, &path[depth]->id) && !stays(m, path[depth]))
            move_add(m, path[depth], disk, format);
}

static bool has_layers(struct move *m, const struct disk *disk) REQUIRES(m->core->registry.lock);
static bool has_layers(struct move *m, const struct disk *disk)
{
    const struct file *leaf = file_find(m->core, &disk->leaf);

    return leaf && (!uuid_is_zero(&leaf->parent) || leaf->children);
}

static void add_disk(struct move *m, const struct disk *disk, const struct move_request *request)
    REQUIRES(m->core->registry.lock);
static void add_disk(struct move *m, const struct disk *disk, const struct move_request *request)
{
    const int format = has_layers(m, disk) ? -1 : request->format;

    add_chain(m, &disk->leaf, disk, format);
    for (struct snapshot *s = m->vm->snapshots; s; s = s->next)
        for (size_t i = 0; i < s->n_disks; i++)
            if (uuid_eq(&s->disks[i].disk, &disk->id))
                add_chain(m, &s->disks[i].file, disk, -1);
}

/* What snapshots have of disks that the VM has no more. */
static void add_gone(struct move *m) REQUIRES(m->core->registry.lock);
static void add_gone(struct move *m)
{
    for (struct snapshot *s = m->vm->snapshots; s; s = s->next)
        for (size_t i = 0; i < s->n_disks; i++) {
            const struct disk gone = {.id = s->disks[i].disk};
            if (!disk_find(m->core, &gone.id))
                add_chain(m, &s->disks[i].file, &gone, -1);
        }
}

/* For somebody whose grants look at pools. */
static bool may_move(struct move *m, const struct move_request *request, struct err *err)
    REQUIRES(m->core->registry.lock);
static bool may_move(struct move *m, const struct move_request *request, struct err *err)
{
    const struct vm_spec *spec = &m->vm->spec;
    struct selectable before, after;
    char pool[UUID_TEXT];

    uuid_text(&m->pool, pool);
    selectable_spec(spec, &before);
    after = (struct selectable){.labels = before.labels};
    for (size_t i = 0; i < spec->n_disks && after.n_pools < VM_DISKS_MAX; i++) {
        struct disk *disk = disk_find(m->core, &spec->disks[i].id);
        after.pools[after.n_pools++] = disk && moves(disk, request) ? pool : spec->disks[i].pool;
    }
    return sight_may_become(m->core, &before, &after, err);
}

bool move_plan(struct move *m, const struct move_request *request, struct err *err)
{
    struct pool *pool;
    bool ok;

    lock_take(&m->core->registry.lock);
    pool = pool_named(m->core, request->pool);
    ok =
        pool != NULL || err_field(err, ERR_NOT_FOUND, "/pool",
                                  "there is no pool '%.64s': GET /pools lists them", request->pool);
    ok = ok && know_all(m, request, err);
    if (ok) {
        m->pool = pool->id;
        m->keep_source = request->keep_source;
        str_copy(m->pool_name, sizeof m->pool_name, pool->name);
        for (struct disk *d = disks_of(m->core, &m->vm->id); d; d = d->next)
            if (moves(d, request))
                add_disk(m, d, request);
        if (!request->n_disks) {
            add_gone(m);
            move_add_images(m);
        }
        ok = may_move(m, request, err);
    }
    lock_drop(&m->core->registry.lock);
    for (size_t i = 0; i < m->n; i++)
        m->files[i].bytes = layer_allocated(&m->files[i].from);
    return ok;
}

/* ---- what stands in the way ---- */

static void block(json_t *list, struct err *first, const struct err *why)
{
    json_add_err(list, why);
    if (!first->code)
        *first = *why;
}

static uint64_t bytes_of(const struct move *m)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < m->n; i++)
        sum += m->files[i].bytes;
    return sum;
}

static bool check_formats(const struct move *m, const struct move_request *request, struct err *err)
{
    bool ok = true;

    if (request->format < 0)
        return true;
    lock_take(&m->core->registry.lock);
    for (struct disk *d = disks_of(m->core, &m->vm->id); d; d = d->next)
        ok &= !moves(d, request) || !has_layers((struct move *)m, d);
    lock_drop(&m->core->registry.lock);
    return ok || err_field(err, ERR_WRONG_STATE, "/format",
                           "a disk with snapshots keeps its format: delete them first, or move it "
                           "as it is");
}

/* What the guest's memory says of its disks is true of the same bytes in the same format. */
static bool check_saved(const struct move *m, const struct move_request *request, struct err *err)
{
    bool saved;

    lock_take(&m->core->registry.lock);
    saved = !uuid_is_zero(&m->vm->memory);
    lock_drop(&m->core->registry.lock);
    return !saved || request->format < 0 ||
           err_field(err, ERR_WRONG_STATE, "/format",
                     "the disks of a saved VM keep their format: start it or discard its state "
                     "first, or move it as it is");
}

static bool check_reach(const struct move *m, struct err *err)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->files[i].from.dir < 0 || m->files[i].to.dir < 0)
            return err_set(err, ERR_UNAVAILABLE, "a pool cannot be reached");
    return true;
}

static bool check_something(const struct move *m, struct err *err)
{
    return m->n ||
           err_field(err, ERR_WRONG_STATE, "/pool",
                     "nothing has to be moved: it lies in the pool %s already", m->pool_name);
}

static bool check_room(const struct move *m, struct err *err)
{
    return !m->n || m->files[0].to.dir < 0 ||
           space_check(m->core, &m->pool, bytes_of(m), "/pool", err);
}

json_t *move_blockers(const struct move *m, const struct move_request *request, struct err *first)
{
    json_t *list = json_array();
    struct err err;

    err = (struct err){0};
    if (!check_something(m, &err))
        block(list, first, &err);
    err = (struct err){0};
    if (!check_reach(m, &err))
        block(list, first, &err);
    err = (struct err){0};
    if (!check_formats(m, request, &err))
        block(list, first, &err);
    err = (struct err){0};
    if (!check_saved(m, request, &err))
        block(list, first, &err);
    err = (struct err){0};
    if (!check_room(m, &err))
        block(list, first, &err);
    err = (struct err){0};
    if (!vm_claim(m->core, m->vm, VM_VERB_MOVE_STORAGE, &(struct uuid){0}, NULL, &err))
        block(list, first, &err);
    return list;
}

static uint64_t estimate_s(const struct move *m, uint64_t bytes_per_s)
{
    uint64_t rate = bytes_per_s ? bytes_per_s : GUESSED_BYTES_S;

    return bytes_of(m) / rate + 1;
}

/* Of the target's file system, whether anything moves there or not. */
static uint64_t free_there(const struct move *m)
{
    uint64_t total = 0, free_bytes = 0;
    struct err ignored = {0};
    struct pool *pool;
    int dir;

    lock_take(&m->core->registry.lock);
    pool = pool_find(m->core, UUID_STR(&m->pool));
    dir = pool ? pool->dir : -1;
    lock_drop(&m->core->registry.lock);
    if (dir >= 0)
        err_ignore(fs_space(dir, &total, &free_bytes, &ignored), &ignored);
    return free_bytes;
}

json_t *move_plan_json(const struct move *m, const struct move_request *request, json_t *blockers)
{
    json_t *plan = json_object();

    json_put(plan, "blockers", blockers);
    json_put_text(plan, "pool", m->pool_name);
    json_put_u64(plan, "files", m->n);
    json_put_u64(plan, "bytes", bytes_of(m));
    json_put_u64(plan, "free_bytes", free_there(m));
    json_put_u64(plan, "estimate_s", m->n ? estimate_s(m, request->bytes_per_s) : 0);
    return plan;
}

/* ---- as a job's arguments ---- */

json_t *move_args(const struct move *m, const struct move_request *request)
{
    json_t *args = json_object(), *files = json_array();

    for (size_t i = 0; i < m->n; i++) {
        const struct move_file *f = &m->files[i];
        json_t *one = json_object();
        json_put_text(one, "from", UUID_STR(&f->from.id));
        json_put_text(one, "to", UUID_STR(&f->to.id));
        json_put_text(one, "disk", UUID_STR(&f->disk));
        json_put_text(one, "format", disk_format_names[f->to.format]);
        json_put_bool(one, "leaf", f->is_leaf);
        json_array_append_new(files, one);
    }
    json_put_text(args, "pool", UUID_STR(&m->pool));
    json_put(args, "files", files);
    json_put_bool(args, "keep_source", m->keep_source);
    if (request->limited)
        json_put_u64(args, "bandwidth", request->bytes_per_s);
    return args;
}

static int format_named(const char *name)
{
    for (int i = 0; name && disk_format_names[i]; i++)
        if (str_eq(disk_format_names[i], name))
            return i;
    return DISK_QCOW2;
}

/* False: neither the file nor its copy is known. */
static bool read_file(struct move *m, const json_t *one, struct move_file *f)
    REQUIRES(m->core->registry.lock);
static bool read_file(struct move *m, const json_t *one, struct move_file *f)
{
    struct pool *pool = pool_find(m->core, UUID_STR(&m->pool));
    const struct move_file *parent;
    struct file *from, *to;
    struct uuid from_id, to_id;

    if (!uuid_parse(json_get_text(one, "from"), &from_id) ||
        !uuid_parse(json_get_text(one, "to"), &to_id) ||
        !uuid_parse(json_get_text(one, "disk"), &f->disk))
        return false;
    from = file_find(m->core, &from_id);
    to = file_find(m->core, &to_id);
    if (!from && !to)
        return false;
    f->is_leaf = json_get_bool(one, "leaf", false);
    f->from = from ? layer_of_file(m->core, from) : (struct layer){.id = from_id, .dir = -1};
    if (to) {
        f->to = layer_of_file(m->core, to);
        return true;
    }
    f->to = f->from;
    f->to.id = to_id;
    f->to.pool = m->pool;
    f->to.dir = pool ? pool->dir : -1;
    f->to.format = format_named(json_get_text(one, "format"));
    parent = move_find(m, &f->from.parent);
    if (parent)
        f->to.parent = parent->to.id;
    layer_enlist(m->core, &f->to, job_id(m->job));
    return true;
}

/* All copies are what the VM's disks and snapshots consist of. */
static bool is_over(struct move *m) REQUIRES(m->core->registry.lock);
static bool is_over(struct move *m)
{
    for (size_t i = 0; i < m->n; i++) {
        const struct file *to = file_find(m->core, &m->files[i].to.id);
        if (!to || to->state != FILE_LIVE)
            return false;
    }
    return true;
}

bool move_of_job(struct move *m, bool *over, struct err *err)
{
    const json_t *args = job_args(m->job), *list = json_object_get(args, "files"), *one;
    bool ok = uuid_parse(json_get_text(args, "pool"), &m->pool);
    size_t i;

    m->keep_source = json_get_bool(args, "keep_source", false);
    m->files = mem_array(json_array_size(list) + 1, sizeof *m->files);
    lock_take(&m->core->registry.lock);
    json_array_foreach (list, i, one)
        if (ok && (ok = read_file(m, one, &m->files[m->n])))
            m->n++;
    *over = ok && is_over(m);
    lock_drop(&m->core->registry.lock);
    for (i = 0; i < m->n; i++)
        m->files[i].bytes = layer_allocated(&m->files[i].from);
    return ok || err_set(err, ERR_INTERNAL, "the operation names a file that is not known");
}
