/* Storage pools: see pool.h. A pool is the directory <root>/<pool id>; its row is written after the
 * directory exists and removed before the directory goes, so a crash leaves at most an empty
 * directory with a uuid name. */
#include "core/disk/pool.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/disks.h"
#include "core/disk/file.h"
#include "core/disk/media.h"
#include "core/disk/space.h"
#include "core/model/page.h"
#include "core/ram/image.h"
#include "core/user/granting.h"
#include "core/user/sight_inside.h"
#include "core/vm/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct pool *pool_find(struct core *core, const char *ref)
{
    struct uuid id;
    bool by_id = uuid_parse(ref, &id);

    for (struct pool *p = core->registry.pools; p; p = p->next)
        if (by_id ? uuid_eq(&p->id, &id) : strcmp(p->name, ref) == 0)
            return p;
    return NULL;
}

struct pool *pool_named(struct core *core, const char *ref)
{
    struct pool *pool = ref ? pool_find(core, ref) : core->registry.pools;

    while (pool && !sight_pool(pool, RIGHT_STORAGE_READ))
        pool = ref ? NULL : pool->next;
    return pool;
}

bool pool_missing_fail(const char *ref, struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, "there is no pool '%.64s'", ref);
}

const char *pool_format(struct core *core, const char *ref)
{
    struct pool *pool;
    int format;

    lock_take(&core->registry.lock);
    pool = pool_named(core, ref);
    format = pool ? pool->default_format : DISK_QCOW2;
    lock_drop(&core->registry.lock);
    return disk_format_names[format];
}

json_t *pool_name_of(struct core *core, const char *id)
{
    struct pool *pool = id ? pool_find(core, id) : NULL;

    return id ? json_string(pool ? pool->name : id) : json_null();
}

static int root_index(const char *id)
{
    for (unsigned i = 0; i < host_roots(); i++)
        if (strcmp(host_root_id(i), id) == 0)
            return (int)i;
    return -1;
}

static void add_pool(struct core *core, struct pool *pool)
{
    struct pool **tail;

    lock_take(&core->registry.lock);
    tail = &core->registry.pools;
    while (*tail && (*tail)->created_ms <= pool->created_ms)
        tail = &(*tail)->next;
    pool->next = *tail;
    *tail = pool;
    lock_drop(&core->registry.lock);
}

static void pool_free(struct pool *pool)
{
    closep(&pool->dir);
    free(pool->name);
    free(pool->root);
    free(pool);
}

static struct pool *pool_new(const struct uuid *id, const char *name, const char *root,
                             int64_t created_ms)
{
    struct pool *pool = mem_alloc(sizeof *pool);

    pool->id = *id;
    pool->name = str_dup(name);
    pool->root = str_dup(root);
    pool->created_ms = created_ms;
    pool->reserve_bytes = POOL_RESERVE_USUAL;
    pool->dir = -1;
    return pool;
}

static bool load_pool(void *ctx, const struct pool_record *r)
{
    struct core *core = ctx;
    struct pool *pool = pool_new(&r->id, r->name, r->root, r->created_ms);
    int root = root_index(r->root);
    struct err err = {0};

    pool->quota_bytes = r->quota_bytes;
    pool->reserve_bytes =
        r->reserve_bytes < POOL_RESERVE_USUAL ? r->reserve_bytes : POOL_RESERVE_USUAL;
    pool->low_space = r->low_space;
    for (int i = 0; disk_format_names[i]; i++)
        pool->default_format =
            str_eq(disk_format_names[i], r->default_format) ? i : pool->default_format;

    if (root >= 0 && core->root_dirs[root] >= 0)
        pool->dir =
            fs_open(core->root_dirs[root], UUID_STR(&r->id), O_RDONLY | O_DIRECTORY, 0, &err);
    if (pool->dir < 0)
        log_error("the pool %s cannot be reached: %s", r->name,
                  root < 0 ? "its root is not in vmmd.conf" : err.detail);
    add_pool(core, pool);
    return true;
}

/* So that people find where ISO files go; a root that is not ours to write gets none. */
static void make_media_folder(int root)
{
    struct err ignored = {0};
    CLEANUP(closep) int dir = fs_dir(root, MEDIA_FOLDER, 0755, &ignored);
}

static void open_roots(struct core *core)
{
    core->root_dirs = mem_array(host_roots(), sizeof *core->root_dirs);
    for (unsigned i = 0; i < host_roots(); i++) {
        struct err err = {0};
        core->root_dirs[i] = -1;
        if (!host_root_open(i, &core->root_dirs[i], &err))
            log_error("the pool root %s cannot be opened: %s", host_root_id(i), err.detail);
        else
            make_media_folder(core->root_dirs[i]);
    }
}

static bool load_disk(void *ctx, const struct disk_record *r)
{
    struct core *core = ctx;
    struct disk *disk = mem_alloc(sizeof *disk);

    *disk = (struct disk){.id = r->id,
                          .vm = r->vm,
                          .pool = r->pool,
                          .position = r->position,
                          .size_bytes = r->size_bytes,
                          .leaf = r->leaf,
                          .created_ms = r->created_ms};
    for (int i = 0; disk_format_names[i]; i++)
        disk->format = str_eq(disk_format_names[i], r->format) ? i : disk->format;
    for (int i = 0; disk_bus_names[i]; i++)
        disk->bus = str_eq(disk_bus_names[i], r->bus) ? i : disk->bus;
    lock_take(&core->registry.lock);
    disk_index_add(core, disk);
    lock_drop(&core->registry.lock);
    return true;
}

bool disks_load(struct core *core, struct err *err)
{
    open_roots(core);
    return store_pool_each(core->store, load_pool, core, err) && files_load(core, err) &&
           ram_images_load(core, err) && store_disk_each(core->store, load_disk, core, err);
}

NO_TSA void disks_clear(struct core *core)
{
    while (core->registry.disk_owners) {
        const struct uuid vm = core->registry.disk_owners->vm;
        disk_index_drop(core, &vm);
    }
    space_clear(core);
    for (struct pool *p = core->registry.pools, *next; p; p = next) {
        next = p->next;
        pool_free(p);
    }
    for (unsigned i = 0; core->root_dirs && i < host_roots(); i++)
        closep(&core->root_dirs[i]);
    free(core->root_dirs);
}

/* ---- the API's calls ---- */

static struct pool_record record_of(const struct pool *pool)
{
    return (struct pool_record){.id = pool->id,
                                .name = pool->name,
                                .root = pool->root,
                                .created_ms = pool->created_ms,
                                .quota_bytes = pool->quota_bytes,
                                .reserve_bytes = pool->reserve_bytes,
                                .default_format = disk_format_names[pool->default_format],
                                .low_space = pool->low_space};
}

bool pool_write_low(struct core *core, struct store_txn *txn, const struct uuid *id, bool low,
                    struct err *err)
{
    char name[NAME_MAX_BYTES + 1], root[NAME_MAX_BYTES + 1];
    struct pool_record record = {0};
    struct pool *pool;

    lock_take(&core->registry.lock);
    pool = pool_find(core, UUID_STR(id));
    if (pool) {
        record = record_of(pool);
        str_copy(name, sizeof name, pool->name);
        str_copy(root, sizeof root, pool->root);
    }
    lock_drop(&core->registry.lock);
    if (!pool)
        return err_set(err, ERR_NOT_FOUND, "there is no such pool");
    record.name = name;
    record.root = root;
    record.low_space = low;
    return store_pool_put(txn, &record, err);
}

static bool write_new(struct core *core, const struct pool *pool, const struct origin *origin,
                      struct err *err)
{
    const struct pool_record record = record_of(pool);
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(core->store, err);
    json_t *data;

    if (!txn)
        return false;
    data = json_object();
    json_put_text(data, "name", pool->name);
    return store_pool_put(txn, &record, err) && idem_add(txn, origin, "pool", &pool->id, err) &&
           event_add(txn, "pool.created", "pool", &pool->id, data, err) && store_commit(&txn, err);
}

static bool check_new(struct core *core, const char *name, const char *root, int *index,
                      struct err *err)
{
    bool taken;

    *index = root_index(root);
    if (*index < 0)
        return err_field(err, ERR_NOT_FOUND, "/root",
                         "there is no pool root '%.64s' in vmmd.conf: GET /host lists them", root);
    if (core->root_dirs[*index] < 0)
        return err_field(err, ERR_UNAVAILABLE, "/root", "the pool root '%s' cannot be opened",
                         root);
    lock_take(&core->registry.lock);
    taken = pool_find(core, name) != NULL;
    lock_drop(&core->registry.lock);
    return !taken ||
           err_field(err, ERR_EXISTS, "/name", "there is a pool named '%s' already", name);
}

bool pool_create(struct core *core, const char *name, const char *root, const struct origin *origin,
                 struct uuid *id, struct err *err)
{
    const struct pool_settings usual = {
        .name = (char *)name, .root = (char *)root, .reserve_bytes = POOL_RESERVE_USUAL};

    return pool_create_as(core, &usual, origin, id, err);
}

bool pool_create_as(struct core *core, const struct pool_settings *settings,
                    const struct origin *origin, struct uuid *id, struct err *err)
{
    struct uuid new_id = uuid_new();
    struct pool *pool;
    int index;

    if (!check_new(core, settings->name, settings->root, &index, err))
        return false;
    *id = new_id;
    if (origin->dry_run)
        return true;
    pool = pool_new(&new_id, settings->name, settings->root, clock_wall_ms());
    pool->quota_bytes = settings->quota_bytes;
    pool->reserve_bytes = settings->reserve_bytes;
    pool->default_format = settings->default_format;
    pool->dir = fs_dir(core->root_dirs[index], UUID_STR(&new_id), 0700, err);
    if (pool->dir < 0 || !write_new(core, pool, origin, err)) {
        unlinkat(core->root_dirs[index], UUID_STR(&new_id), AT_REMOVEDIR);
        pool_free(pool);
        return false;
    }
    add_pool(core, pool);
    events_ring(core);
    host_copy_later(core);
    return true;
}

/* What is asked of its files is asked when it is shown. */
static json_t *view(const struct pool *pool)
{
    json_t *v = json_object();

    json_put_text(v, "id", UUID_STR(&pool->id));
    json_put_text(v, "name", pool->name);
    json_put_text(v, "root", pool->root);
    json_put_u64(v, "quota_bytes", pool->quota_bytes);
    json_put_text(v, "default_format", disk_format_names[pool->default_format]);
    json_put_bool(v, "low_space", pool->low_space);
    json_put_u64(v, "disks", pool->n_disks);
    json_put_time(v, "created_at", pool->created_ms);
    return v;
}

static void put_number(json_t *v, const char *member, bool known, uint64_t number)
{
    if (known)
        json_put_u64(v, member, number);
    else
        json_put(v, member, json_null());
}

/* Looks at the pool's files: no lock is held. */
static void put_space(struct core *core, const struct uuid *id, json_t *v)
{
    struct space space = {0};
    struct err err = {0};
    bool known = space_read(core, id, &space, &err);

    put_number(v, "total_bytes", known, space.total_bytes);
    put_number(v, "free_bytes", known, space.free_bytes);
    put_number(v, "file_bytes", known, space.used_bytes);
    put_number(v, "reserve_bytes", known, space.reserve_bytes);
    json_put_u64(v, "reserved_bytes", space.reserved_bytes);
}

json_t *pool_show(struct core *core, const char *ref, struct err *err)
{
    struct pool *pool;
    struct uuid id = {0};
    json_t *v = NULL;

    lock_take(&core->registry.lock);
    pool = pool_named(core, ref);
    if (pool) {
        v = view(pool);
        id = pool->id;
    }
    lock_drop(&core->registry.lock);
    if (v)
        put_space(core, &id, v);
    else
        pool_missing_fail(ref, err);
    return v;
}

void pool_list(struct core *core, const struct query *query, struct strbuf *out)
{
    CLEANUP(page_clear) struct page page = {.query = query};
    CLEANUP(json_decrefp) json_t *all = json_array();
    json_t *v;
    size_t i;

    lock_take(&core->registry.lock);
    for (struct pool *p = core->registry.pools; p; p = p->next)
        if (sight_pool(p, RIGHT_STORAGE_READ))
            json_array_append_new(all, view(p));
    lock_drop(&core->registry.lock);
    json_array_foreach (all, i, v) {
        struct uuid id;
        if (uuid_parse(json_get_text(v, "id"), &id))
            put_space(core, &id, v);
        page_offer(&page, json_incref(v));
    }
    page_write(&page, NULL, NULL, out);
}

static bool write_gone(struct core *core, const struct uuid *id, struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(core->store, err);

    return txn && store_pool_remove(txn, id, err) &&
           event_add(txn, "pool.deleted", "pool", id, NULL, err) && store_commit(&txn, err);
}

/* Unlinks the pool from memory; NULL when it is not there or still holds disks. */
static struct pool *take_out(struct core *core, const char *ref, bool dry_run, struct err *err)
{
    char name[NAME_MAX_BYTES + 1] = "";
    struct pool **at, *pool;
    unsigned disks, files;

    lock_take(&core->registry.lock);
    pool = pool_find(core, ref);
    disks = pool ? pool->n_disks : 0;
    files = pool ? pool->n_files : 0;
    if (pool)
        str_copy(name, sizeof name, pool->name);
    for (at = &core->registry.pools; pool && !files && !dry_run && *at; at = &(*at)->next) {
        if (*at == pool) {
            *at = pool->next;
            break;
        }
    }
    lock_drop(&core->registry.lock);
    if (!pool)
        pool_missing_fail(ref, err);
    else if (disks)
        err_set(err, ERR_IN_USE, "%u disks lie in the pool %s: delete or move them first", disks,
                name);
    else if (files)
        err_set(err, ERR_IN_USE,
                "%u files in the pool %s are used by clones or snapshots of disks elsewhere: make "
                "the clones independent (flatten) or delete them first",
                files, name);
    return files ? NULL : pool;
}

bool pool_delete(struct core *core, const char *ref, const struct origin *origin, struct err *err)
{
    struct pool *pool = take_out(core, ref, origin->dry_run, err);
    int root;

    if (!pool || origin->dry_run)
        return pool != NULL;
    if (!write_gone(core, &pool->id, err)) {
        add_pool(core, pool);
        return false;
    }
    root = root_index(pool->root);
    if (root >= 0 && core->root_dirs[root] >= 0 &&
        unlinkat(core->root_dirs[root], UUID_STR(&pool->id), AT_REMOVEDIR) < 0 && errno != ENOENT)
        log_warn("the directory of the pool %s stays: %s", pool->name, strerror(errno));
    grants_forget_pool(core, &pool->id);
    pool_free(pool);
    events_ring(core);
    host_copy_later(core);
    return true;
}
