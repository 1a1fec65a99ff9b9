/* What a crash left in the pools before its row was there: see disks.h. */
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/disks.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
