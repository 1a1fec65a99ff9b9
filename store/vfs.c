/* SQLite's unix VFS with three calls changed: see vfs.h. Not a VFS of its own: every file is opened
 * by the real one, then its table of methods is replaced by a copy in which ours stand.
 *
 *   sqlite3_file as the real VFS knows it | struct tail: { methods (copy), real methods, vfs }
 *        pMethods ─────────────────────────────────▲
 *
 * So a method finds its tail through pMethods, and everything that is not changed runs as before.
 * The reserve has to be released down here: a COMMIT that fails with SQLITE_FULL was rolled back by
 * SQLite already, and there would be nothing left to try again. */
#include "store/vfs.h"

#include "core/base/failpoint.h"
#include "core/base/mem.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>

struct vfs {
    sqlite3_vfs base; /* first: SQLite hands out pointers to it */
    sqlite3_vfs *real;
    struct reserve *reserve;
    _Atomic uint64_t syncs;
    char name[32];
};

struct tail {
    sqlite3_io_methods methods; /* first: a file's pMethods points here */
    const sqlite3_io_methods *real;
    struct vfs *vfs;
};

static const struct tail *tail_of(const sqlite3_file *file)
{
    return (const struct tail *)file->pMethods;
}

/* SQLite knows ENOSPC only; a quota that is used up is the same to us. */
static int write_once(sqlite3_file *file, const void *data, int n, sqlite3_int64 at)
{
    int rc = tail_of(file)->real->xWrite(file, data, n, at);
    int e = 0;

    if (rc != SQLITE_IOERR_WRITE)
        return rc;
    tail_of(file)->real->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &e);
    return e == EDQUOT ? SQLITE_FULL : rc;
}

static int watched_write(sqlite3_file *file, const void *data, int n, sqlite3_int64 at)
{
    int rc = write_once(file, data, n, at);

    if (rc == SQLITE_FULL && reserve_release(tail_of(file)->vfs->reserve))
        rc = write_once(file, data, n, at);
    return rc;
}

/* The WAL's index is a file too and can find the disk full; nothing durable hangs on it, so that is
 * no reason to distrust the disk. */
static int watched_shm_map(sqlite3_file *file, int region, int size, int extend,
                           void volatile **out)
{
    const struct tail *t = tail_of(file);
    int rc = t->real->xShmMap(file, region, size, extend, out);

    if (rc == SQLITE_IOERR_SHMSIZE && reserve_release(t->vfs->reserve))
        rc = t->real->xShmMap(file, region, size, extend, out);
    return rc == SQLITE_IOERR_SHMSIZE ? SQLITE_FULL : rc;
}

static int watched_sync(sqlite3_file *file, int flags)
{
    struct err err = {0};
    int rc;

    (void)err; /* product builds have no failpoints */
    if (!FAILPOINT("store.sync", &err))
        return SQLITE_IOERR_FSYNC;
    rc = tail_of(file)->real->xSync(file, flags);
    if (rc == SQLITE_OK && !FAILPOINT("store.sync.done", &err))
        return SQLITE_IOERR_FSYNC; /* flushed, but nobody knows */
    if (rc == SQLITE_OK)
        atomic_fetch_add(&tail_of(file)->vfs->syncs, 1);
    return rc;
}

static int watched_open(sqlite3_vfs *base, sqlite3_filename name, sqlite3_file *file, int flags,
                        int *out_flags)
{
    struct vfs *vfs = (struct vfs *)base;
    struct tail *t = (struct tail *)((char *)file + vfs->base.szOsFile - sizeof *t);
    int rc = vfs->real->xOpen(vfs->real, name, file, flags, out_flags);

    if (!file->pMethods)
        return rc;
    t->vfs = vfs;
    t->real = file->pMethods;
    t->methods = *file->pMethods;
    t->methods.xWrite = watched_write;
    t->methods.xSync = watched_sync;
    if (t->methods.xShmMap)
        t->methods.xShmMap = watched_shm_map;
    file->pMethods = &t->methods;
    return rc;
}

struct vfs *vfs_new(struct reserve *reserve, struct err *err)
{
    const size_t align = _Alignof(struct tail);
    struct vfs *vfs = mem_alloc(sizeof *vfs);

    /* Nobody asks how much memory SQLite has, and to know it costs a lock that all threads share at
     * each allocation. Refused once SQLite runs, which is as good. */
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    vfs->real = sqlite3_vfs_find("unix");
    if (!vfs->real) {
        mem_freep(&vfs);
        err_set(err, ERR_INTERNAL, "SQLite has no unix file layer");
        return NULL;
    }
    vfs->reserve = reserve;
    vfs->base = *vfs->real;
    snprintf(vfs->name, sizeof vfs->name, "vmmd-%p", (void *)vfs);
    vfs->base.zName = vfs->name;
    vfs->base.pNext = NULL;
    vfs->base.szOsFile = (int)(((size_t)vfs->real->szOsFile + align - 1) / align * align);
    vfs->base.szOsFile += (int)sizeof(struct tail);
    vfs->base.xOpen = watched_open;
    if (sqlite3_vfs_register(&vfs->base, 0) != SQLITE_OK) {
        mem_freep(&vfs);
        err_set(err, ERR_INTERNAL, "SQLite does not take the file layer");
        return NULL;
    }
    return vfs;
}

void vfs_free(struct vfs *vfs)
{
    if (!vfs)
        return;
    sqlite3_vfs_unregister(&vfs->base);
    mem_freep(&vfs);
}

const char *vfs_name(const struct vfs *vfs)
{
    return vfs->name;
}

uint64_t vfs_syncs(const struct vfs *vfs)
{
    return atomic_load(&vfs->syncs);
}
