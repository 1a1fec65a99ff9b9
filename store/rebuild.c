/* A database in place of one that is lost: see core/port/store_rebuild.h.
 *
 * Theory of operation. The new database is made where nobody looks:
 *
 *   <state>/rebuild.part/vmmd.db      being written; worth nothing, and removed by whoever begins
 *   <state>/rebuild-<date>/vmmd.db    * complete, closed and flushed: the rename is the commit
 * point
 *
 * From there it only goes forward, under the lock of the state directory, by whoever comes first,
 * this process or the next one that opens the store:
 *
 *   1 vmmd.db-wal and vmmd.db are renamed to vmmd.db.lost-<date>-wal and vmmd.db.lost-<date>: a log
 *     that stayed would be replayed into the new one
 *   2 the new file is renamed into its place
 *   3 the directory goes
 *
 * As long as there is a new one in rebuild-<date>, what is called vmmd.db is the old one; so each
 * step can be done again. */
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "store/db.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PART  "rebuild.part"
#define READY "rebuild-"

struct rebuild {
    int dir, lock;
    char *part; /* absolute path */
    struct store *store;
};

/* ---- putting it in place ---- */

/* The name of a committed directory; false when there is none. */
static bool find_ready(int dir, char out[NAME_MAX + 1])
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    bool found = false;

    if (!list)
        closep(&fd);
    for (struct dirent *e; list && !found && (e = readdir(list));) {
        found = str_starts(e->d_name, READY) && strlen(e->d_name) < 48;
        if (found)
            str_copy(out, NAME_MAX + 1, e->d_name);
    }
    if (list)
        closedir(list);
    return found;
}

static bool is_there(int dir, const char *name, bool with_content)
{
    struct stat st;

    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && (!with_content || st.st_size > 0);
}

static void lost_name(const char *ready, char out[64])
{
    snprintf(out, 64, STORE_FILE ".lost-%.40s", ready + strlen(READY));
}

static bool put_aside(int dir, const char *ready, const char *suffix, struct err *err)
{
    CLEANUP(mem_freep) char *from = str_format(STORE_FILE "%s", suffix);
    CLEANUP(mem_freep) char *to = NULL;
    char lost[64];

    lost_name(ready, lost);
    to = str_format("%s%s", lost, suffix);
    if (!FAILPOINT("rebuild.aside", err))
        return false;
    return renameat(dir, from, dir, to) == 0 || errno == ENOENT ||
           err_errno(err, errno, "put %s aside", from);
}

static bool put_in(int dir, int from, struct err *err)
{
    if (!FAILPOINT("rebuild.in", err))
        return false;
    if (renameat(from, STORE_FILE, dir, STORE_FILE) < 0)
        return err_errno(err, errno, "put the rebuilt database in place");
    return fs_sync(from, "the rebuilt database's directory", err) &&
           fs_sync(dir, "the state directory", err);
}

bool rebuild_settle(int dir, struct err *err)
{
    char ready[NAME_MAX + 1];

    while (find_ready(dir, ready)) {
        CLEANUP(closep) int from = fs_open(dir, ready, O_RDONLY | O_DIRECTORY, 0, err);
        if (from < 0)
            return false;
        if (is_there(from, STORE_FILE, false)) {
            if ((unlinkat(dir, STORE_FILE "-shm", 0) < 0 && errno != ENOENT))
                return err_errno(err, errno, "remove " STORE_FILE "-shm");
            if (!put_aside(dir, ready, "-wal", err) || !put_aside(dir, ready, "", err) ||
                !fs_sync(dir, "the state directory", err) || !put_in(dir, from, err))
                return false;
            log_info("a rebuilt database is in place");
        }
        if (!FAILPOINT("rebuild.tidy", err) || !fs_remove_tree(dir, ready, err))
            return false;
    }
    return true;
}

bool store_is_there(const char *path)
{
    CLEANUP(closep) int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char ready[NAME_MAX + 1];

    return dir >= 0 && (is_there(dir, STORE_FILE, true) || find_ready(dir, ready));
}

/* ---- making it ---- */

struct rebuild *store_rebuild_begin(const char *path, struct err *err)
{
    struct rebuild *r = mem_alloc(sizeof *r);
    char absolute[PATH_MAX];

    r->lock = -1;
    r->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (r->dir < 0 || !realpath(path, absolute)) {
        err_errno(err, errno, "open the state directory %s", path);
        store_rebuild_end(r);
        return NULL;
    }
    r->part = str_format("%s/" PART, absolute);
    r->lock = store_dir_lock(r->dir, err);
    if (r->lock >= 0 && rebuild_settle(r->dir, err))
        return r;
    store_rebuild_end(r);
    return NULL;
}

int store_rebuild_dir(const struct rebuild *r)
{
    return r->dir;
}

struct store *store_rebuild_open(struct rebuild *r, uint32_t epoch, struct err *err)
{
    static const char sql[] = "UPDATE daemon SET epoch = max(epoch, ?)";
    CLEANUP(closep) int dir = -1;
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!fs_remove_tree(r->dir, PART, err))
        return NULL;
    dir = fs_dir(r->dir, PART, 0700, err);
    r->store = dir >= 0 ? store_open(r->part, err) : NULL;
    if (!r->store || !stmt_begin(&s, r->store->writer, sql, err))
        return NULL;
    stmt_bind_int(&s, epoch);
    return stmt_put(&s, "epoch", NULL, err) ? r->store : NULL;
}

/* Only the database itself is wanted, and all of it in its one file. */
static bool close_part(struct rebuild *r, struct err *err)
{
    CLEANUP(closep) int dir = -1;
    CLEANUP(closep) int fd = -1;

    store_close(TAKE(r->store));
    dir = fs_open(r->dir, PART, O_RDONLY | O_DIRECTORY, 0, err);
    if (dir < 0 || !fs_remove(dir, "lock", err) || !fs_remove(dir, "reserve", err) ||
        !fs_remove(dir, STORE_FILE "-shm", err))
        return false;
    if (is_there(dir, STORE_FILE "-wal", true))
        return err_set(err, ERR_INTERNAL, "the rebuilt database was not closed");
    fd = fs_open(dir, STORE_FILE, O_RDONLY, 0, err);
    return fd >= 0 && fs_remove(dir, STORE_FILE "-wal", err) &&
           fs_sync(fd, "the rebuilt database", err) &&
           fs_sync(dir, "the rebuilt database's directory", err);
}

bool store_rebuild_commit(struct rebuild *r, char kept[64], struct err *err)
{
    char ready[48];
    struct tm at;
    time_t now = time(NULL);
    bool had = is_there(r->dir, STORE_FILE, false);

    kept[0] = 0;
    if (!gmtime_r(&now, &at) || !strftime(ready, sizeof ready, READY "%Y%m%dT%H%M%SZ", &at))
        return err_set(err, ERR_INTERNAL, "the clock cannot be read");
    if (had)
        lost_name(ready, kept);
    if (had && is_there(r->dir, kept, false))
        return err_set(err, ERR_BUSY, "a database was put aside this second: try again");
    if (!close_part(r, err) || !FAILPOINT("rebuild.commit", err))
        return false;
    if (renameat(r->dir, PART, r->dir, ready) < 0)
        return err_errno(err, errno, "commit the rebuilt database");
    return fs_sync(r->dir, "the state directory", err) && FAILPOINT("rebuild.committed", err) &&
           rebuild_settle(r->dir, err);
}

void store_rebuild_end(struct rebuild *r)
{
    struct err err = {0};

    if (!r)
        return;
    store_close(r->store);
    if (r->lock >= 0)
        err_ignore(fs_remove_tree(r->dir, PART, &err), &err);
    closep(&r->lock);
    closep(&r->dir);
    mem_freep(&r->part);
    mem_freep(&r);
}
