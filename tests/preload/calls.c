/* The C library's calls that change a disk, each as: does it fail here? do it; record it.
 *
 * They stand before the C library in the order of symbol lookup, so they see the calls of all
 * libraries, SQLite's too. A new call that somebody uses has to be added here; the self-test of
 * tests/power compares the replayed end with the real tree and finds what is missing. */
#include "tests/preload/disk.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* 'next' is the real call, of the type of the function that stands here. */
#define NEXT(name)                                                                                 \
    static __typeof__(name) *next;                                                                 \
    if (!next)                                                                                     \
    next = (__typeof__(name) *)real_call(#name)

static void put(enum watch_kind kind, uint64_t ino, uint64_t at, const void *data, size_t len)
{
    const struct watch_record head = {
        .kind = kind, .ino = ino, .at = at, .data_len = (uint32_t)len};

    record_put(&head, "", "", data);
}

/* ---- opening ---- */

struct opening {
    bool ours, existed;
    uint64_t dir;
    const char *name;
};

static struct opening before_open(int dirfd, const char *path, int flags)
{
    struct opening o = {0};
    struct stat st;

    record_lock();
    if (!(flags & (O_CREAT | O_TRUNC)))
        return o;
    o.ours = record_place(dirfd, path, &o.dir, &o.name);
    o.existed = o.ours && fstatat(dirfd, path, &st, 0) == 0;
    return o;
}

static int after_open(const struct opening *o, int fd, int flags)
{
    int saved = errno;
    struct stat st;

    if (o->ours && fd >= 0 && fstat(fd, &st) == 0) {
        const struct watch_record head = {.kind = WATCH_CREATE, .ino = st.st_ino, .dir = o->dir};
        if (!o->existed)
            record_put(&head, o->name, "", NULL);
        else if (flags & O_TRUNC)
            put(WATCH_TRUNCATE, st.st_ino, 0, NULL, 0);
    }
    record_unlock();
    errno = saved;
    return fd;
}

#define OPEN(name, params, args, dirfd)                                                            \
    int name params                                                                                \
    {                                                                                              \
        mode_t mode = 0;                                                                           \
        struct opening o;                                                                          \
        NEXT(name);                                                                                \
        if (flags & (O_CREAT | O_TMPFILE)) {                                                       \
            va_list list;                                                                          \
            va_start(list, flags);                                                                 \
            mode = va_arg(list, mode_t);                                                           \
            va_end(list);                                                                          \
        }                                                                                          \
        if (fails_there(dirfd, path, WATCH_CALL_OPEN))                                             \
            return -1;                                                                             \
        o = before_open(dirfd, path, flags);                                                       \
        return after_open(&o, next args, flags);                                                   \
    }

OPEN(open, (const char *path, int flags, ...), (path, flags, mode), AT_FDCWD)
OPEN(open64, (const char *path, int flags, ...), (path, flags, mode), AT_FDCWD)
OPEN(openat, (int at, const char *path, int flags, ...), (at, path, flags, mode), at)
OPEN(openat64, (int at, const char *path, int flags, ...), (at, path, flags, mode), at)

/* There is no wrapper for openat2() in this C library: it comes as syscall(). */
long syscall(long number, ...)
{
    struct opening o;
    long a[6];
    va_list list;
    NEXT(syscall);

    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    if (number != SYS_openat2)
        return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    const struct open_how *how = (const struct open_how *)a[2];
    if (fails_there((int)a[0], (const char *)a[1], WATCH_CALL_OPEN))
        return -1;
    o = before_open((int)a[0], (const char *)a[1], (int)how->flags);
    return after_open(&o, (int)next(number, a[0], a[1], a[2], a[3], a[4], a[5]), (int)how->flags);
}

/* ---- content ---- */

/* What was written went to 'at', or to where the file's position was. */
static ssize_t after_write(int fd, ssize_t n, const void *data, off_t at)
{
    int saved = errno;
    uint64_t ino;

    if (n > 0 && record_wants(fd, &ino)) {
        if (at < 0)
            at = lseek(fd, 0, SEEK_CUR) - n;
        put(WATCH_WRITE, ino, (uint64_t)at, data, (size_t)n);
    }
    errno = saved;
    return n;
}

ssize_t write(int fd, const void *data, size_t len)
{
    ssize_t n;
    NEXT(write);

    if (fails_here(fd, WATCH_CALL_WRITE))
        return -1;
    record_lock();
    n = after_write(fd, next(fd, data, len), data, -1);
    record_unlock();
    return n;
}

#define PWRITE(name)                                                                               \
    ssize_t name(int fd, const void *data, size_t len, off_t at)                                   \
    {                                                                                              \
        ssize_t n;                                                                                 \
        NEXT(name);                                                                                \
        if (fails_here(fd, WATCH_CALL_WRITE))                                                      \
            return -1;                                                                             \
        record_lock();                                                                             \
        n = after_write(fd, next(fd, data, len, at), data, at);                                    \
        record_unlock();                                                                           \
        return n;                                                                                  \
    }

PWRITE(pwrite)
PWRITE(pwrite64)

static ssize_t after_writev(int fd, ssize_t n, const struct iovec *parts, int count, off_t at)
{
    ssize_t left = n;

    if (at < 0 && n > 0)
        at = lseek(fd, 0, SEEK_CUR) - n;
    for (int i = 0; i < count && left > 0; i++) {
        ssize_t part = (ssize_t)parts[i].iov_len < left ? (ssize_t)parts[i].iov_len : left;
        (void)after_write(fd, part, parts[i].iov_base, at);
        at += part;
        left -= part;
    }
    return n;
}

#define WRITEV(name, params, args, where)                                                          \
    ssize_t name params                                                                            \
    {                                                                                              \
        ssize_t n;                                                                                 \
        NEXT(name);                                                                                \
        if (fails_here(fd, WATCH_CALL_WRITE))                                                      \
            return -1;                                                                             \
        record_lock();                                                                             \
        n = after_writev(fd, next args, parts, count, where);                                      \
        record_unlock();                                                                           \
        return n;                                                                                  \
    }

WRITEV(writev, (int fd, const struct iovec *parts, int count), (fd, parts, count), -1)
WRITEV(pwritev, (int fd, const struct iovec *parts, int count, off_t at), (fd, parts, count, at),
       at)
WRITEV(pwritev64, (int fd, const struct iovec *parts, int count, off_t at), (fd, parts, count, at),
       at)

/* A change of a file's size: 'expression' does it, 0 is success. */
static int sized(int fd, int result, enum watch_kind kind, off_t size)
{
    int saved = errno;
    uint64_t ino;

    if (result == 0 && record_wants(fd, &ino))
        put(kind, ino, (uint64_t)size, NULL, 0);
    record_unlock();
    errno = saved;
    return result;
}

#define FTRUNCATE(name)                                                                            \
    int name(int fd, off_t size)                                                                   \
    {                                                                                              \
        NEXT(name);                                                                                \
        if (fails_here(fd, WATCH_CALL_TRUNCATE))                                                   \
            return -1;                                                                             \
        record_lock();                                                                             \
        return sized(fd, next(fd, size), WATCH_TRUNCATE, size);                                    \
    }

FTRUNCATE(ftruncate)
FTRUNCATE(ftruncate64)

/* Punching holes is refused, so that nobody's zeroes go unrecorded: it is optional everywhere. */
#define FALLOCATE(name)                                                                            \
    int name(int fd, int mode, off_t at, off_t len)                                                \
    {                                                                                              \
        NEXT(name);                                                                                \
        if (fails_here(fd, WATCH_CALL_TRUNCATE))                                                   \
            return -1;                                                                             \
        if (mode && fd_is_below(fd, record_root())) {                                              \
            errno = EOPNOTSUPP;                                                                    \
            return -1;                                                                             \
        }                                                                                          \
        record_lock();                                                                             \
        return sized(fd, next(fd, mode, at, len), WATCH_EXTEND, at + len);                         \
    }

FALLOCATE(fallocate)
FALLOCATE(fallocate64)

#define POSIX_FALLOCATE(name)                                                                      \
    int name(int fd, off_t at, off_t len)                                                          \
    {                                                                                              \
        NEXT(name);                                                                                \
        if (fails_here(fd, WATCH_CALL_TRUNCATE))                                                   \
            return errno;                                                                          \
        record_lock();                                                                             \
        return sized(fd, next(fd, at, len), WATCH_EXTEND, at + len);                               \
    }

POSIX_FALLOCATE(posix_fallocate)
POSIX_FALLOCATE(posix_fallocate64)

#define FLUSH(name)                                                                                \
    int name(int fd)                                                                               \
    {                                                                                              \
        NEXT(name);                                                                                \
        if (fails_here(fd, WATCH_CALL_FLUSH))                                                      \
            return -1;                                                                             \
        record_lock();                                                                             \
        return sized(fd, next(fd), WATCH_FLUSH, 0);                                                \
    }

FLUSH(fsync)
FLUSH(fdatasync)

#define MMAP(name)                                                                                 \
    void *name(void *where, size_t len, int prot, int flags, int fd, off_t at)                     \
    {                                                                                              \
        NEXT(name);                                                                                \
        if (fd >= 0 && fails_here(fd, WATCH_CALL_MMAP))                                            \
            return MAP_FAILED;                                                                     \
        return next(where, len, prot, flags, fd, at);                                              \
    }

MMAP(mmap)
MMAP(mmap64)

/* ---- names ---- */

static int named(int result, enum watch_kind kind, int dirfd, const char *path, bool is_dir)
{
    int saved = errno;
    const char *name;
    struct stat st = {0};
    uint64_t dir;

    if (result == 0 && record_place(dirfd, path, &dir, &name) &&
        (kind == WATCH_UNLINK || fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0)) {
        const struct watch_record head = {
            .kind = kind, .ino = st.st_ino, .dir = dir, .is_dir = is_dir};
        record_put(&head, name, "", NULL);
    }
    record_unlock();
    errno = saved;
    return result;
}

#define NAMING(name, params, args, dirfd, call, kind, is_dir)                                      \
    int name params                                                                                \
    {                                                                                              \
        NEXT(name);                                                                                \
        if (fails_there(dirfd, path, call))                                                        \
            return -1;                                                                             \
        record_lock();                                                                             \
        return named(next args, kind, dirfd, path, is_dir);                                        \
    }

NAMING(mkdir, (const char *path, mode_t mode), (path, mode), AT_FDCWD, WATCH_CALL_MKDIR,
       WATCH_CREATE, true)
NAMING(mkdirat, (int at, const char *path, mode_t mode), (at, path, mode), at, WATCH_CALL_MKDIR,
       WATCH_CREATE, true)
NAMING(unlink, (const char *path), (path), AT_FDCWD, WATCH_CALL_UNLINK, WATCH_UNLINK, false)
NAMING(rmdir, (const char *path), (path), AT_FDCWD, WATCH_CALL_UNLINK, WATCH_UNLINK, true)
NAMING(unlinkat, (int at, const char *path, int flags), (at, path, flags), at, WATCH_CALL_UNLINK,
       WATCH_UNLINK, false)
NAMING(linkat, (int at_old, const char *old, int at, const char *path, int flags),
       (at_old, old, at, path, flags), at, WATCH_CALL_RENAME, WATCH_LINK, false)
NAMING(link, (const char *old, const char *path), (old, path), AT_FDCWD, WATCH_CALL_RENAME,
       WATCH_LINK, false)

static int renamed(int result, int at, const char *path, int at2, const char *path2)
{
    const char *name, *name2;
    uint64_t dir, dir2;
    int saved = errno;

    if (result == 0 && record_place(at, path, &dir, &name) &&
        record_place(at2, path2, &dir2, &name2)) {
        const struct watch_record head = {.kind = WATCH_RENAME, .dir = dir, .dir2 = dir2};
        record_put(&head, name, name2, NULL);
    }
    record_unlock();
    errno = saved;
    return result;
}

int rename(const char *old, const char *new)
{
    NEXT(rename);

    if (fails_there(AT_FDCWD, new, WATCH_CALL_RENAME))
        return -1;
    record_lock();
    return renamed(next(old, new), AT_FDCWD, old, AT_FDCWD, new);
}

int renameat(int at, const char *old, int at2, const char *new)
{
    NEXT(renameat);

    if (fails_there(at2, new, WATCH_CALL_RENAME))
        return -1;
    record_lock();
    return renamed(next(at, old, at2, new), at, old, at2, new);
}

int renameat2(int at, const char *old, int at2, const char *new, unsigned flags)
{
    NEXT(renameat2);

    if (fails_there(at2, new, WATCH_CALL_RENAME))
        return -1;
    record_lock();
    return renamed(next(at, old, at2, new, flags), at, old, at2, new);
}

/* ---- programs: the record goes on in them ---- */

/* Its filter leaves it what it reads with, and nothing to record; it changes nothing either. */
static bool only_reads(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash && strcmp(slash, "/vmmd-inspect") == 0;
}

int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                const posix_spawnattr_t *attr, char *const argv[], char *const env[])
{
    char preload[PATH_MAX + 16], root[PATH_MAX + 32], log[PATH_MAX + 32];
    char *more[64];
    size_t n = 0;
    Dl_info self;
    NEXT(posix_spawn);

    if (!*record_root() || only_reads(path) || !dladdr((void *)watch_start, &self))
        return next(pid, path, actions, attr, argv, env);
    while (n < 60 && env[n]) {
        more[n] = env[n];
        n++;
    }
    snprintf(preload, sizeof preload, "LD_PRELOAD=%s", self.dli_fname);
    snprintf(root, sizeof root, "VMMD_WATCH_ROOT=%s", record_root());
    snprintf(log, sizeof log, "VMMD_WATCH_LOG=%s", record_log());
    more[n++] = preload;
    more[n++] = root;
    more[n++] = log;
    more[n] = NULL;
    return next(pid, path, actions, attr, argv, more);
}
