/* Opening and closing the store: the file, its checks, the epoch. What is not here: the state
 * directory's lock (lock.c), transactions (txn.c), reading (readers.c), the shape (migrations.c).
 * Called by core, once.
 *
 * The state directory holds
 *   lock            held by the one daemon that uses the directory: lock.c
 *   vmmd.db         and -wal, -shm: only together are they the database
 *   vmmd.db.v<n>    copy from before a migration
 *   vmmd.db.lost-…  what a rebuilt one has replaced: rebuild.c
 *   reserve         see reserve.h */
#include "store/db.h"

#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "store/migrate.h"
#include "store/vfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static bool take_lock(struct store *store, struct err *err)
{
    store->lock_fd = store_dir_lock(store->dir, err);
    return store->lock_fd >= 0 && rebuild_settle(store->dir, err);
}

/* Makes the file if there is none: SQLite would, but with the umask's rights. Nobody has it open
 * yet, so closing a descriptor of it drops no lock of SQLite's. */
static bool make_file(struct store *store, struct err *err)
{
    CLEANUP(closep) int fd = fs_open(store->dir, STORE_FILE, O_RDWR | O_CREAT, 0600, err);

    return fd >= 0 && fs_sync(store->dir, "the state directory", err);
}

static bool open_dir(struct store *store, const char *dir, struct err *err)
{
    char absolute[PATH_MAX];

    store->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (store->dir < 0 || !realpath(dir, absolute))
        return err_errno(err, errno, "open the state directory");
    store->path = str_format("%s/%s", absolute, STORE_FILE);
    return true;
}

/* Before anything changes the file: journal mode included. */
static bool check_version(struct store *store, struct err *err)
{
    struct conn *conn = conn_open(store->path, store->vfs, NULL, err);
    bool ok = conn && migrate_check(conn, n_migrations, err);

    conn_close(conn);
    return ok;
}

static bool check_content(struct store *store, struct err *err)
{
    char verdict[256];

    if (!conn_text(store->writer, "PRAGMA quick_check(1)", verdict, sizeof verdict, err))
        return false;
    if (str_eq(verdict, "ok"))
        return true;
    log_error("quick_check of the database: %s", verdict);
    return err_set(err, ERR_INTERNAL,
                   "the database is damaged: put back a copy of it, or let 'vmmctl recover "
                   "--scan' make a new one of what the VMs' copies say");
}

static bool raise_epoch(struct store *store, struct err *err)
{
    int64_t epoch;

    if (!conn_int(store->writer, "UPDATE daemon SET epoch = epoch + 1 RETURNING epoch", &epoch,
                  err))
        return false;
    store->epoch = (uint32_t)epoch;
    return epoch > 0 || err_set(err, ERR_INTERNAL, "the database has lost its epoch");
}

static bool open_database(struct store *store, struct err *err)
{
    store->vfs = vfs_new(&store->reserve, err);
    if (!store->vfs || !check_version(store, err))
        return false;
    store->writer = conn_open(store->path, store->vfs, &store->poisoned, err);
    if (!store->writer || !check_content(store, err))
        return false;
    return migrate(store->writer, store->dir, store->path, migrations, n_migrations, err) &&
           raise_epoch(store, err);
}

/* All but the readers. */
static void store_free(struct store *store)
{
    conn_close(store->writer);
    vfs_free(store->vfs);
    turnstile_clear(&store->turnstile);
    mem_freep(&store->path);
    closep(&store->lock_fd);
    closep(&store->dir);
    mem_freep(&store);
}

struct store *store_open(const char *dir, struct err *err)
{
    struct store *store = mem_alloc(sizeof *store);
    struct err no_reserve = {0};

    store->dir = store->lock_fd = -1;
    turnstile_init(&store->turnstile);
    if (!open_dir(store, dir, err) || !take_lock(store, err) || !make_file(store, err))
        return store_free(store), NULL;
    reserve_init(&store->reserve, store->dir);
    if (!open_database(store, err))
        return store_free(store), NULL;
    if (!reserve_make(&store->reserve, &no_reserve))
        log_warn("%s: a full disk will stop the database at once", no_reserve.detail);
    readers_init(&store->readers, store->path, store->vfs);
    return store;
}

void store_close(struct store *store)
{
    if (!store)
        return;
    readers_clear(&store->readers);
    store_free(store);
}

uint32_t store_epoch(const struct store *store)
{
    return store->epoch;
}

bool store_is_poisoned(struct store *store)
{
    return atomic_load(&store->poisoned);
}

bool store_poison_check(struct store *store, struct err *err)
{
    return !store_is_poisoned(store) ||
           err_set(
               err, ERR_UNAVAILABLE,
               "the database could not be written and is closed: vmmd ends itself and recovers");
}

static uint64_t size_of(const struct store *store, const char *name)
{
    struct stat st;

    return fstatat(store->dir, name, &st, 0) == 0 ? (uint64_t)st.st_size : 0;
}

void store_facts(struct store *store, struct store_facts *out)
{
    struct turnstile *t = &store->turnstile;

    lock_take(&t->lock);
    out->commits = t->commits;
    out->flushes = t->flushes;
    lock_drop(&t->lock);
    histogram_read(&t->flush, &histogram_flushes, &out->flush);
    out->file_bytes = size_of(store, STORE_FILE);
    out->wal_bytes = size_of(store, STORE_FILE "-wal");
}
