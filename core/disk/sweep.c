/* What a crash left in the pools before its row was there: see disks.h. */
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/disks.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct known {
    struct uuid id;
    UT_hash_handle hh;
};

/* What was there when the database was rebuilt, and may be all that is left of a VM: by the pool
 * and the name. */
struct spared {
    struct {
        struct uuid pool;
        char name[NAME_MAX + 1];
    } key;
    UT_hash_handle hh;
};

static void key_set(struct spared *s, const struct uuid *pool, const char *name)
{
    memset(&s->key, 0, sizeof s->key);
    s->key.pool = *pool;
    str_copy(s->key.name, sizeof s->key.name, name);
}

static bool keep_spared(void *ctx, const struct uuid *pool, const char *name)
{
    struct spared **all = ctx;
    struct spared *s = mem_alloc(sizeof *s);

    key_set(s, pool, name);
    HASH_ADD(hh, *all, key, sizeof s->key, s);
    return true;
}

static bool is_spared(struct spared *all, const struct uuid *pool, const char *name)
{
    struct spared *found, wanted;

    key_set(&wanted, pool, name);
    HASH_FIND(hh, all, &wanted.key, sizeof wanted.key, found);
    return found != NULL;
}

static void spared_clear(struct spared **all)
{
    struct spared *s, *next;

    HASH_ITER (hh, *all, s, next) {
        HASH_DELETE(hh, *all, s);
        free(s);
    }
}

static bool keep_known(void *ctx, const struct file_record *r)
{
    struct known **known = ctx;
    struct known *k = mem_alloc(sizeof *k);

    k->id = r->id;
    HASH_ADD(hh, *known, id, sizeof k->id, k);
    return true;
}

static void sweep_pool(const struct pool *pool, struct known *known, struct spared *spared)
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
        if (!k && is_spared(spared, &pool->id, e->d_name))
            log_warn("the pool %s holds %s, which no disk knows since the database was rebuilt",
                     pool->name, e->d_name);
        else if (!k && unlinkat(pool->dir, e->d_name, 0) == 0)
            log_info("removed %s from the pool %s: no disk knows it", e->d_name, pool->name);
    }
    if (dir)
        closedir(dir);
}

void disks_sweep(struct core *core)
{
    CLEANUP(spared_clear) struct spared *spared = NULL;
    struct known *known = NULL, *k, *next;
    struct err err = {0};

    if (store_file_each(core->store, keep_known, &known, &err) &&
        store_spare_each(core->store, keep_spared, &spared, &err)) {
        lock_take(&core->registry.lock);
        for (struct pool *p = core->registry.pools; p; p = p->next)
            sweep_pool(p, known, spared);
        lock_drop(&core->registry.lock);
    } else {
        log_warn("the pools were not swept: %s", err.detail);
    }
    HASH_ITER (hh, known, k, next) {
        HASH_DELETE(hh, known, k);
        free(k);
    }
}
