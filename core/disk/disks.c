/* Disks of VMs and their files: see disks.h. */
#include "core/disk/disks.h"

#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/pool.h"
#include "core/model/page.h"
#include "core/port/image.h"
#include "core/vm/registry.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB (1ull << 20)

/* Space that a pool keeps for what is in it already: 5 %, at most 1 GiB. */
static uint64_t low_water(uint64_t total)
{
    return total / 20 < 1024 * MIB ? total / 20 : 1024 * MIB;
}

static bool check_space(const struct pool *pool, uint64_t size_bytes, const char *field,
                        struct err *err)
{
    uint64_t total, free_bytes;

    if (pool->dir < 0)
        return err_field(err, ERR_UNAVAILABLE, field, "the pool %s cannot be reached", pool->name);
    if (!fs_space(pool->dir, &total, &free_bytes, err))
        return false;
    if (size_bytes > total)
        return err_field(err, ERR_NO_SPACE, field,
                         "a disk of %llu MiB can never fit into the pool %s, which has %llu MiB",
                         (unsigned long long)(size_bytes / MIB), pool->name,
                         (unsigned long long)(total / MIB));
    if (free_bytes < low_water(total))
        return err_field(err, ERR_NO_SPACE, field,
                         "the pool %s has %llu MiB free, less than the %llu MiB it keeps in "
                         "reserve: free some space or choose another pool",
                         pool->name, (unsigned long long)(free_bytes / MIB),
                         (unsigned long long)(low_water(total) / MIB));
    return true;
}

static bool plan_one(struct core *core, struct vm_disk *disk, const char *field, struct err *err)
    REQUIRES(core->registry.lock);
static bool plan_one(struct core *core, struct vm_disk *disk, const char *field, struct err *err)
{
    struct pool *pool = disk->pool ? pool_find(core, disk->pool) : core->registry.pools;

    if (!pool)
        return err_field(err, ERR_NOT_FOUND, field,
                         disk->pool ? "there is no pool '%.64s': GET /pools lists them"
                                    : "there is no pool yet%s: create one with POST /pools",
                         disk->pool ? disk->pool : "");
    if (disk->size_bytes % 512)
        return err_field(err, ERR_INVALID, field, "size_bytes must be a multiple of 512");
    if (!check_space(pool, disk->size_bytes, field, err))
        return false;
    free(disk->pool);
    disk->pool = str_dup(UUID_STR(&pool->id));
    disk->id = uuid_new();
    return true;
}

bool disks_plan(struct core *core, struct vm_spec *spec, struct err *err)
{
    char field[32];
    bool ok = true;

    lock_take(&core->registry.lock);
    for (size_t i = 0; ok && i < spec->n_disks; i++) {
        snprintf(field, sizeof field, "/disks/%zu", i);
        ok = plan_one(core, &spec->disks[i], field, err);
    }
    lock_drop(&core->registry.lock);
    return ok;
}

void disks_enlist(struct core *core, const struct vm *vm)
{
    for (size_t i = 0; i < vm->spec.n_disks; i++) {
        const struct vm_disk *d = &vm->spec.disks[i];
        struct disk *disk = mem_alloc(sizeof *disk);
        struct uuid file = uuid_new();

        *disk = (struct disk){.id = d->id,
                              .vm = vm->id,
                              .position = (uint32_t)i,
                              .size_bytes = d->size_bytes,
                              .format = d->format,
                              .bus = d->bus,
                              .chain = mem_dup(&file, sizeof file),
                              .n_chain = 1,
                              .created_ms = vm->created_ms};
        if (!uuid_parse(d->pool, &disk->pool))
            log_error("a planned disk has no pool");
        lock_take(&core->registry.lock);
        disk_index_add(core, disk);
        lock_drop(&core->registry.lock);
    }
}

void disks_delist(struct core *core, const struct uuid *vm)
{
    lock_take(&core->registry.lock);
    disk_index_drop(core, vm);
    lock_drop(&core->registry.lock);
}

static void file_name(const struct uuid *file, int format, char out[64])
{
    snprintf(out, 64, "%s.%s", UUID_STR(file), disk_format_names[format]);
}

/* A VM's disks by position, copied so that no lock is held while files are touched. Every layer but
 * the leaf is a qcow2's base in the leaf's format family; there is one layer for now. */
struct disk_copy {
    struct disk disk; /* 'chain' owned by this copy */
    int pool_dir;     /* borrowed from the pool, -1 when it cannot be reached */
};

static int by_position(const void *a, const void *b)
{
    const struct disk_copy *x = a, *y = b;

    return (x->disk.position > y->disk.position) - (x->disk.position < y->disk.position);
}

static struct disk_copy *copy_disks(struct core *core, const struct uuid *vm, size_t *n)
{
    struct disk_copy *list = NULL;
    size_t count = 0;

    lock_take(&core->registry.lock);
    for (struct disk *d = disks_of(core, vm); d; d = d->next) {
        struct pool *pool;
        list = mem_resize(list, count + 1, sizeof *list);
        list[count].disk = *d;
        list[count].disk.chain = mem_dup(d->chain, d->n_chain * sizeof *d->chain);
        pool = pool_find(core, UUID_STR(&d->pool));
        list[count++].pool_dir = pool ? pool->dir : -1;
    }
    lock_drop(&core->registry.lock);
    if (list)
        qsort(list, count, sizeof *list, by_position);
    *n = count;
    return list;
}

static void free_copies(struct disk_copy *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(list[i].disk.chain);
    free(list);
}

static bool write_disk(struct store_txn *txn, const struct disk *d, const char *state,
                       const struct uuid *job, struct err *err)
{
    const struct disk_record row = {.id = d->id,
                                    .vm = d->vm,
                                    .pool = d->pool,
                                    .position = d->position,
                                    .size_bytes = d->size_bytes,
                                    .format = disk_format_names[d->format],
                                    .bus = disk_bus_names[d->bus],
                                    .chain = d->chain,
                                    .n_chain = d->n_chain,
                                    .created_ms = d->created_ms};
    char name[64];

    for (size_t i = 0; i < d->n_chain; i++) {
        struct file_record file = {.id = d->chain[i],
                                   .pool = d->pool,
                                   .name = name,
                                   .role = "disk",
                                   .state = state,
                                   .vm = d->vm,
                                   .job = *job};
        file_name(&d->chain[i], d->format, name);
        if (!store_file_put(txn, &file, err))
            return false;
    }
    return store_disk_put(txn, &row, err);
}

bool disks_write(struct core *core, struct store_txn *txn, const struct uuid *vm, const char *state,
                 const struct uuid *job, struct err *err)
{
    size_t n;
    struct disk_copy *list = copy_disks(core, vm, &n);
    bool ok = true;

    for (size_t i = 0; ok && i < n; i++)
        ok = write_disk(txn, &list[i].disk, state, job, err);
    free_copies(list, n);
    return ok;
}

bool disks_remove_rows(struct core *core, struct store_txn *txn, const struct uuid *vm,
                       struct err *err)
{
    size_t n;
    struct disk_copy *list = copy_disks(core, vm, &n);
    bool ok = true;

    for (size_t i = 0; ok && i < n; i++) {
        ok = store_disk_remove(txn, &list[i].disk.id, err);
        for (size_t k = 0; ok && k < list[i].disk.n_chain; k++)
            ok = store_file_remove(txn, &list[i].disk.chain[k], err);
    }
    free_copies(list, n);
    return ok;
}

static bool make_one(const struct disk_copy *d, struct err *err)
{
    CLEANUP(closep) int fd = -1;
    char name[64];

    if (d->pool_dir < 0)
        return err_set(err, ERR_UNAVAILABLE, "the disk's pool cannot be reached");
    file_name(&d->disk.chain[0], d->disk.format, name);
    fd = fs_open(d->pool_dir, name, O_RDWR | O_CREAT | O_TRUNC, 0600, err);
    return fd >= 0 &&
           FAILPOINT_AROUND(
               "disk.make",
               image_create(fd, (enum disk_format)d->disk.format, d->disk.size_bytes, err), err) &&
           fs_sync(d->pool_dir, "the pool's directory", err);
}

bool disks_make(struct core *core, const struct uuid *vm, struct err *err)
{
    size_t n;
    struct disk_copy *list = copy_disks(core, vm, &n);
    bool ok = true;

    for (size_t i = 0; ok && i < n; i++)
        ok = make_one(&list[i], err);
    free_copies(list, n);
    return ok;
}

bool disks_unlink(struct core *core, const struct uuid *vm, struct err *err)
{
    size_t n;
    struct disk_copy *list = copy_disks(core, vm, &n);
    bool ok = true;
    char name[64];

    for (size_t i = 0; ok && i < n; i++) {
        if (list[i].pool_dir < 0)
            ok = err_set(err, ERR_UNAVAILABLE, "the disk's pool cannot be reached");
        for (size_t k = 0; ok && k < list[i].disk.n_chain; k++) {
            file_name(&list[i].disk.chain[k], list[i].disk.format, name);
            ok = FAILPOINT_AROUND("disk.unlink", fs_remove(list[i].pool_dir, name, err), err);
        }
    }
    free_copies(list, n);
    return ok;
}

static bool open_one(const struct disk_copy *d, struct plan_disk *out, struct err *err)
{
    char name[64];

    *out = (struct plan_disk){.id = d->disk.id,
                              .format = d->disk.format,
                              .bus = d->disk.bus,
                              .size_bytes = d->disk.size_bytes};
    out->fds = mem_array(d->disk.n_chain, sizeof *out->fds);
    if (d->pool_dir < 0)
        return err_set(err, ERR_UNAVAILABLE, "the disk's pool cannot be reached");
    for (size_t k = 0; k < d->disk.n_chain; k++) {
        file_name(&d->disk.chain[k], d->disk.format, name);
        out->fds[k] = fs_open(d->pool_dir, name, k ? O_RDONLY : O_RDWR, 0, err);
        if (out->fds[k] < 0)
            return err_prefix(err, "disk %u", d->disk.position);
        out->n_fds++;
    }
    return true;
}

bool disks_open(struct core *core, const struct uuid *vm, struct plan_disk **out, size_t *n,
                struct err *err)
{
    struct disk_copy *list = copy_disks(core, vm, n);
    struct plan_disk *plan = mem_array(*n, sizeof *plan);
    bool ok = true;

    for (size_t i = 0; ok && i < *n; i++)
        ok = open_one(&list[i], &plan[i], err);
    free_copies(list, *n);
    if (!ok) {
        disks_close(plan, *n);
        return false;
    }
    *out = plan;
    return true;
}

void disks_close(struct plan_disk *disks, size_t n)
{
    for (size_t i = 0; disks && i < n; i++) {
        for (size_t k = 0; k < disks[i].n_fds; k++)
            closep(&disks[i].fds[k]);
        free(disks[i].fds);
    }
    free(disks);
}

/* ---- sweeping ---- */

struct known {
    struct uuid id;
    UT_hash_handle hh;
};

static bool keep_known(void *ctx, const struct file_record *r)
{
    struct known **known = ctx;
    struct known *k = mem_alloc(sizeof *k);

    k->id = r->id;
    HASH_ADD(hh, *known, id, sizeof k->id, k);
    return true;
}

static void sweep_pool(const struct pool *pool, struct known *known)
{
    int fd = pool->dir >= 0 ? openat(pool->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    char text[UUID_TEXT];
    struct known *k;
    struct uuid id;

    for (struct dirent *e; dir && (e = readdir(dir));) {
        str_copy(text, sizeof text, e->d_name);
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (!uuid_parse(text, &id) || e->d_name[UUID_TEXT - 1] != '.') {
            log_warn("the pool %s holds the foreign file '%s'", pool->name, e->d_name);
            continue;
        }
        HASH_FIND(hh, known, &id, sizeof id, k);
        if (!k && unlinkat(pool->dir, e->d_name, 0) == 0)
            log_info("removed %s from the pool %s: no disk knows it", e->d_name, pool->name);
    }
    if (dir)
        closedir(dir);
}

void disks_sweep(struct core *core)
{
    struct known *known = NULL, *k, *next;
    struct err err = {0};

    if (store_file_each(core->store, keep_known, &known, &err)) {
        lock_take(&core->registry.lock);
        for (struct pool *p = core->registry.pools; p; p = p->next)
            sweep_pool(p, known);
        lock_drop(&core->registry.lock);
    } else {
        log_warn("the pools were not swept: %s", err.detail);
    }
    HASH_ITER (hh, known, k, next) {
        HASH_DELETE(hh, known, k);
        free(k);
    }
}

/* ---- the API's calls ---- */

static uint64_t allocated(const struct disk *d, int pool_dir)
{
    uint64_t sum = 0;
    struct err err = {0};
    char name[64];

    for (size_t k = 0; pool_dir >= 0 && k < d->n_chain; k++) {
        struct stat st;
        file_name(&d->chain[k], d->format, name);
        if (fstatat(pool_dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            sum += (uint64_t)st.st_blocks * 512;
    }
    (void)err;
    return sum;
}

static json_t *view(struct core *core, const struct disk *d, bool file)
    REQUIRES(core->registry.lock);
static json_t *view(struct core *core, const struct disk *d, bool file)
{
    struct pool *pool = pool_find(core, UUID_STR(&d->pool));
    json_t *v = json_object();

    json_put_text(v, "id", UUID_STR(&d->id));
    json_put_text(v, "vm", uuid_is_zero(&d->vm) ? NULL : UUID_STR(&d->vm));
    json_put_text(v, "pool", pool ? pool->name : UUID_STR(&d->pool));
    json_put_u64(v, "position", d->position);
    json_put_u64(v, "size_bytes", d->size_bytes);
    if (file)
        json_put_u64(v, "file_bytes", allocated(d, pool ? pool->dir : -1));
    json_put_text(v, "format", disk_format_names[d->format]);
    json_put_text(v, "bus", disk_bus_names[d->bus]);
    json_put_time(v, "created_at", d->created_ms);
    return v;
}

json_t *disk_show(struct core *core, const char *ref, struct err *err)
{
    struct disk *disk = NULL;
    json_t *v = NULL;
    struct uuid id;

    if (uuid_parse(ref, &id)) {
        lock_take(&core->registry.lock);
        disk = disk_find(core, &id);
        v = disk ? view(core, disk, true) : NULL;
        lock_drop(&core->registry.lock);
    }
    if (!v)
        err_set(err, ERR_NOT_FOUND, "there is no disk '%.64s'", ref);
    return v;
}

struct show {
    struct core *core;
    const struct query *query;
};

/* The files are looked at for what is shown only, unless the query asks for it. */
static bool show(void *ctx, const json_t *offered, struct strbuf *out)
{
    const struct show *s = ctx;
    CLEANUP(json_decrefp) json_t *whole = NULL, *narrowed = NULL;
    CLEANUP(mem_freep) char *text = NULL;
    struct err gone = {0};

    whole = disk_show(s->core, json_get_text(offered, "id"), &gone);
    if (!whole)
        return false;
    if (s->query->n_fields)
        narrowed = query_project(s->query, whole);
    text = json_write(narrowed ? narrowed : whole);
    strbuf_adds(out, text ? text : "");
    return text != NULL;
}

bool disk_list(struct core *core, const char *vm, const struct query *query, struct strbuf *out,
               struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm ? vm_get(core, vm, err) : NULL};
    CLEANUP(page_clear) struct page page = {.query = query};
    bool file = query_looks_at(query, "file_bytes");
    struct show ctx = {core, query};
    struct disk *d, *next;

    if (vm && !hold.vm)
        return false;
    lock_take(&core->registry.lock);
    if (vm) {
        for (d = disks_of(core, &hold.vm->id); d; d = d->next)
            page_offer(&page, view(core, d, file));
    } else {
        HASH_ITER (by_id, core->registry.disks_by_id, d, next)
            page_offer(&page, view(core, d, file));
    }
    lock_drop(&core->registry.lock);
    page_write(&page, show, &ctx, out);
    return true;
}
