/* Room in pools: see space.h. */
#include "core/disk/space.h"

#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/disks.h"
#include "core/disk/file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define MIB          (1ull << 20)
#define GUESTS_LEAST (16 * MIB)

struct reservation {
    struct uuid pool, job;
    uint64_t bytes;
    struct reservation *next;
};

/* Without one of its own a pool keeps 5 %, at most 1 GiB. */
static uint64_t reserve_of(uint64_t wanted, uint64_t total)
{
    if (wanted < POOL_RESERVE_USUAL)
        return wanted;
    return total / 20 < 1024 * MIB ? total / 20 : 1024 * MIB;
}

/* ---- reading ---- */

static uint64_t reserved(struct core *core, const struct uuid *pool, const struct uuid *but)
    REQUIRES(core->registry.lock);
static uint64_t reserved(struct core *core, const struct uuid *pool, const struct uuid *but)
{
    uint64_t sum = 0;

    for (struct reservation *r = core->registry.reservations; r; r = r->next)
        if (uuid_eq(&r->pool, pool) && !(but && uuid_eq(&r->job, but)))
            sum += r->bytes;
    return sum;
}

/* The pool's files, copied, so that they are looked at without the lock. */
static struct layer *files_in(struct core *core, const struct uuid *pool, size_t *n)
    REQUIRES(core->registry.lock);
static struct layer *files_in(struct core *core, const struct uuid *pool, size_t *n)
{
    struct file *file, *next;
    struct layer *list = NULL;
    size_t cap = 0;

    *n = 0;
    HASH_ITER (by_id, core->registry.files, file, next) {
        if (!uuid_eq(&file->pool, pool))
            continue;
        if (*n == cap) {
            cap = cap ? 2 * cap : 64;
            list = mem_resize(list, cap, sizeof *list);
        }
        list[(*n)++] = layer_of_file(core, file);
    }
    return list;
}

/* 'but': an operation whose reservation does not count. */
static bool read_but(struct core *core, const struct uuid *id, const struct uuid *but,
                     struct space *out, char name[NAME_MAX_BYTES + 1], struct err *err)
{
    CLEANUP(mem_freep) struct layer *files = NULL;
    CLEANUP(closep) int dir = -1; /* our own: the pool may go meanwhile */
    uint64_t wanted = 0;
    struct pool *pool;
    size_t n = 0;

    *out = (struct space){0};
    lock_take(&core->registry.lock);
    pool = pool_find(core, UUID_STR(id));
    if (pool) {
        files = files_in(core, id, &n);
        dir = pool->dir < 0 ? -1 : fcntl(pool->dir, F_DUPFD_CLOEXEC, 0);
        str_copy(name, NAME_MAX_BYTES + 1, pool->name);
        out->reserved_bytes = reserved(core, id, but);
        out->quota_bytes = pool->quota_bytes;
        wanted = pool->reserve_bytes;
    }
    lock_drop(&core->registry.lock);
    if (!pool)
        return err_set(err, ERR_NOT_FOUND, "there is no such pool");
    if (dir < 0)
        return err_set(err, ERR_UNAVAILABLE, "the pool %s cannot be reached", name);
    if (!fs_space(dir, &out->total_bytes, &out->free_bytes, err))
        return false;
    for (size_t i = 0; i < n; i++) {
        files[i].dir = dir;
        out->used_bytes += layer_allocated(&files[i]);
    }
    out->reserve_bytes = reserve_of(wanted, out->total_bytes);
    return true;
}

bool space_read(struct core *core, const struct uuid *pool, struct space *out, struct err *err)
{
    char name[NAME_MAX_BYTES + 1];

    return read_but(core, pool, NULL, out, name, err);
}

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/* What the quota and the file system leave, the reserve and reservations included. */
static uint64_t free_of(const struct space *s)
{
    uint64_t quota = s->quota_bytes ? less(s->quota_bytes, s->used_bytes) : UINT64_MAX;

    return quota < s->free_bytes ? quota : s->free_bytes;
}

uint64_t space_left(const struct space *s)
{
    return less(less(free_of(s), s->reserve_bytes), s->reserved_bytes);
}

/* A quota does not stop a guest, so it is not asked for here. */
bool space_lets_guests_write(const struct space *s)
{
    uint64_t least = s->total_bytes / 50 < GUESTS_LEAST ? s->total_bytes / 50 : GUESTS_LEAST;
    uint64_t share = s->reserve_bytes / 4;

    return s->free_bytes >= (share > least ? share : least);
}

/* ---- checking ---- */

static bool fits(const struct space *s, uint64_t bytes, const char *what, const char *name,
                 const char *field, struct err *err)
{
    uint64_t left = space_left(s);

    if (bytes <= left && free_of(s) >= s->reserve_bytes)
        return true;
    return err_field(err, ERR_NO_SPACE, field,
                     "the %s %.64s has %llu MiB free%s, keeps %llu MiB of it in reserve and has "
                     "%llu MiB put by for operations: %llu MiB more do not fit; free some space, "
                     "%schoose another one",
                     what, name, (unsigned long long)(free_of(s) / MIB),
                     s->quota_bytes ? " within its quota" : "",
                     (unsigned long long)(s->reserve_bytes / MIB),
                     (unsigned long long)(s->reserved_bytes / MIB),
                     (unsigned long long)((bytes + MIB - 1) / MIB),
                     s->quota_bytes ? "raise its quota or " : "or ");
}

bool space_check(struct core *core, const struct uuid *pool, uint64_t bytes, const char *field,
                 struct err *err)
{
    char name[NAME_MAX_BYTES + 1];
    struct space space;

    if (!read_but(core, pool, NULL, &space, name, err)) {
        str_copy(err->field, sizeof err->field, field ? field : "");
        return false;
    }
    return fits(&space, bytes, "pool", name, field, err);
}

bool space_check_disk(struct core *core, const struct uuid *pool, uint64_t size_bytes,
                      const char *field, struct err *err)
{
    char name[NAME_MAX_BYTES + 1];
    struct space s;
    uint64_t most;

    if (!read_but(core, pool, NULL, &s, name, err)) {
        str_copy(err->field, sizeof err->field, field ? field : "");
        return false;
    }
    most = s.quota_bytes && s.quota_bytes < s.total_bytes ? s.quota_bytes : s.total_bytes;
    if (size_bytes > most)
        return err_field(err, ERR_NO_SPACE, field,
                         "a disk of %llu MiB can never fit into the pool %s, which has %llu MiB%s",
                         (unsigned long long)(size_bytes / MIB), name,
                         (unsigned long long)(most / MIB),
                         most == s.quota_bytes ? " by its quota" : "");
    return fits(&s, 0, "pool", name, field, err);
}

bool space_check_root(struct core *core, const char *root, int dir, uint64_t bytes, struct err *err)
{
    struct space s = {0};
    bool any = false;

    if (!fs_space(dir, &s.total_bytes, &s.free_bytes, err))
        return false;
    lock_take(&core->registry.lock);
    for (struct pool *p = core->registry.pools; p; p = p->next) {
        const uint64_t reserve = reserve_of(p->reserve_bytes, s.total_bytes);

        if (!str_eq(p->root, root))
            continue;
        any = true;
        s.reserved_bytes += reserved(core, &p->id, NULL);
        s.reserve_bytes = reserve > s.reserve_bytes ? reserve : s.reserve_bytes;
    }
    lock_drop(&core->registry.lock);
    if (!any)
        s.reserve_bytes = reserve_of(POOL_RESERVE_USUAL, s.total_bytes);
    return fits(&s, bytes, "root", root, NULL, err);
}

/* ---- reservations ---- */

static void drop(struct core *core, const struct uuid *job, const struct uuid *pool)
    REQUIRES(core->registry.lock);
static void drop(struct core *core, const struct uuid *job, const struct uuid *pool)
{
    for (struct reservation **at = &core->registry.reservations, *r; (r = *at);) {
        if (!uuid_eq(&r->job, job) || (pool && !uuid_eq(&r->pool, pool))) {
            at = &r->next;
            continue;
        }
        *at = r->next;
        free(r);
    }
}

static void put(struct core *core, const struct uuid *job, const struct uuid *pool, uint64_t bytes)
    REQUIRES(core->registry.lock);
static void put(struct core *core, const struct uuid *job, const struct uuid *pool, uint64_t bytes)
{
    struct reservation *r = mem_alloc(sizeof *r);

    *r = (struct reservation){
        .pool = *pool, .job = *job, .bytes = bytes, .next = core->registry.reservations};
    core->registry.reservations = r;
}

/* What others have reserved since it was read counts as well: it is looked at again under the lock
 * that puts ours there. */
bool space_reserve(struct core *core, const struct uuid *pool, const struct uuid *job,
                   uint64_t bytes, const char *field, struct err *err)
{
    char name[NAME_MAX_BYTES + 1];
    struct space space;
    bool ok;

    if (!read_but(core, pool, job, &space, name, err)) {
        str_copy(err->field, sizeof err->field, field ? field : "");
        return false;
    }
    lock_take(&core->registry.lock);
    space.reserved_bytes = reserved(core, pool, job);
    ok = fits(&space, bytes, "pool", name, field, err);
    if (ok) {
        drop(core, job, pool);
        put(core, job, pool, bytes);
    }
    lock_drop(&core->registry.lock);
    return ok;
}

void space_release(struct core *core, const struct uuid *job)
{
    lock_take(&core->registry.lock);
    drop(core, job, NULL);
    lock_drop(&core->registry.lock);
}

NO_TSA void space_clear(struct core *core)
{
    while (core->registry.reservations) {
        struct reservation *r = core->registry.reservations;
        core->registry.reservations = r->next;
        free(r);
    }
}

/* ---- watching ---- */

static json_t *event_of(const char *name, const struct space *s)
{
    json_t *data = json_object();

    json_put_text(data, "name", name);
    json_put_u64(data, "free_bytes", free_of(s));
    json_put_u64(data, "reserve_bytes", s->reserve_bytes);
    return data;
}

/* It has to get a tenth above the reserve before it counts as enough again: a pool at the edge
 * would fill the log of events otherwise. */
static bool is_short(bool was, const struct space *s)
{
    uint64_t margin = was ? s->reserve_bytes / 10 : 0;

    return free_of(s) < s->reserve_bytes + margin;
}

static bool write_low_row(struct core *core, const struct uuid *id, bool low, const char *name,
                          const struct space *s, struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(core->store, err);

    return txn && pool_write_low(core, txn, id, low, err) &&
           event_add(txn, low ? "pool.low-space" : "pool.space-ok", "pool", id, event_of(name, s),
                     err) &&
           store_commit(&txn, err);
}

static bool write_low(struct core *core, const struct uuid *id, bool low, const char *name,
                      const struct space *s, struct err *err)
{
    bool ok;

    lock_take(&pool_editing);
    ok = write_low_row(core, id, low, name, s, err);
    lock_drop(&pool_editing);
    return ok;
}

static void watch_one(struct core *core, const struct uuid *id)
{
    char name[NAME_MAX_BYTES + 1];
    struct err err = {0};
    struct pool *pool;
    struct space s;
    bool was, low;

    if (!read_but(core, id, NULL, &s, name, &err))
        return;
    lock_take(&core->registry.lock);
    pool = pool_find(core, UUID_STR(id));
    was = pool && pool->low_space;
    lock_drop(&core->registry.lock);
    low = is_short(was, &s);
    if (!pool || low == was)
        return;
    if (!write_low(core, id, low, name, &s, &err)) {
        log_warn("that the pool %s is %s of space could not be recorded: %s", name,
                 low ? "short" : "no longer short", err.detail);
        return;
    }
    lock_take(&core->registry.lock);
    pool = pool_find(core, UUID_STR(id));
    if (pool)
        pool->low_space = low;
    lock_drop(&core->registry.lock);
    if (low)
        log_warn("the pool %s is short of space: %llu MiB are free, %llu are to be kept", name,
                 (unsigned long long)(free_of(&s) / MIB),
                 (unsigned long long)(s.reserve_bytes / MIB));
    else
        log_info("the pool %s has enough space again", name);
    events_ring(core);
}

void space_watch(struct core *core)
{
    struct uuid *ids = NULL;
    size_t n = 0;

    lock_take(&core->registry.lock);
    for (struct pool *p = core->registry.pools; p; p = p->next) {
        ids = mem_resize(ids, n + 1, sizeof *ids);
        ids[n++] = p->id;
    }
    lock_drop(&core->registry.lock);
    for (size_t i = 0; i < n; i++)
        watch_one(core, &ids[i]);
    free(ids);
}
