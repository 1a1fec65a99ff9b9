/* Files: see fs.h. */
#include "core/base/fs.h"

#include "core/base/mem.h"
#include "core/base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

void closep(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

int fs_open(int dirfd, const char *path, int flags, mode_t mode, struct err *err)
{
    struct open_how how = {
        .flags = (uint64_t)(flags | O_CLOEXEC),
        .mode = flags & O_CREAT ? mode : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    int fd = (int)syscall(SYS_openat2, dirfd, path, &how, sizeof how);

    if (fd >= 0)
        return fd;
    err_errno(err, errno, "open %s", path);
    if (errno == ENOENT)
        err->code = ERR_NOT_FOUND;
    else if (errno == EEXIST)
        err->code = ERR_EXISTS;
    return -1;
}

/* Makes the names in a directory durable. What is not kept anyway (cgroups) has nothing to flush.
 */
static bool sync_names(int dirfd, struct err *err)
{
    return fsync(dirfd) == 0 || errno == EINVAL ||
           err_errno(err, errno, "flush the directory to the disk");
}

/* Looked for before it is made: mkdir() wants to write, and waits for a file system that is frozen,
 * even when it finds the name taken. */
int fs_dir(int dirfd, const char *name, mode_t mode, struct err *err)
{
    struct err absent = {0};
    int fd = fs_open(dirfd, name, O_RDONLY | O_DIRECTORY, 0, &absent);

    if (fd < 0 && mkdirat(dirfd, name, mode) < 0 && errno != EEXIST) {
        err_errno(err, errno, "create the directory %s", name);
        return -1;
    }
    if (!sync_names(dirfd, err)) {
        closep(&fd);
        return -1;
    }
    return fd >= 0 ? fd : fs_open(dirfd, name, O_RDONLY | O_DIRECTORY, 0, err);
}

bool fs_sync_parent(const char *path, struct err *err)
{
    CLEANUP(mem_freep) char *parent = str_dup(path);
    char *slash = strrchr(parent, '/');
    CLEANUP(closep) int fd = -1;

    slash[slash == parent] = 0;
    fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 ? sync_names(fd, err) : err_errno(err, errno, "open the directory %s", parent);
}

/* True also when it is there already. */
static bool make_dir(const char *path, mode_t mode, struct err *err)
{
    if (mkdir(path, mode) == 0)
        return fs_sync_parent(path, err);
    return errno == EEXIST || err_errno(err, errno, "create the directory %s", path);
}

bool fs_mkdirs(const char *path, mode_t mode, struct err *err)
{
    CLEANUP(mem_freep) char *copy = str_dup(path);
    struct stat st;

    if (path[0] != '/')
        return err_set(err, ERR_INVALID, "'%s' is not an absolute path", path);
    for (char *p = copy + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = 0;
        if (!make_dir(copy, 0755, err))
            return false;
        *p = '/';
    }
    if (!make_dir(copy, mode, err))
        return false;
    if (stat(copy, &st) < 0)
        return err_errno(err, errno, "create the directory %s", copy);
    return S_ISDIR(st.st_mode) || err_errno(err, ENOTDIR, "use %s", copy);
}

bool fs_write_all(int fd, const void *data, size_t len, struct err *err)
{
    const char *p = data;

    while (len) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, errno, "write");
        p += n;
        len -= (size_t)n;
    }
    return true;
}

bool fs_read_all(int fd, size_t max, char **data, size_t *len, struct err *err)
{
    struct strbuf all = {0};
    char piece[16384];

    for (;;) {
        ssize_t n = read(fd, piece, sizeof piece);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            strbuf_clear(&all);
            return err_errno(err, errno, "read");
        }
        if (n == 0)
            break;
        strbuf_add(&all, piece, (size_t)n);
        if (all.len > max) {
            strbuf_clear(&all);
            return err_set(err, ERR_TOO_LARGE, "the file has more than %zu bytes", max);
        }
    }
    if (len)
        *len = all.len;
    *data = strbuf_take(&all);
    return true;
}

bool fs_sync(int fd, const char *what, struct err *err)
{
    return fsync(fd) == 0 || err_errno(err, errno, "flush %s to the disk", what);
}

static bool write_new(int dirfd, const char *tmp, const void *data, size_t len, mode_t mode,
                      struct err *err)
{
    CLEANUP(closep) int fd = -1;

    if (unlinkat(dirfd, tmp, 0) < 0 && errno != ENOENT) /* of a crash; it may have another mode */
        return err_errno(err, errno, "remove %s", tmp);
    fd = fs_open(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL, mode, err);

    return fd >= 0 && fs_write_all(fd, data, len, err) && fs_sync(fd, tmp, err);
}

bool fs_publish(int dirfd, const char *name, const void *data, size_t len, mode_t mode,
                struct err *err)
{
    CLEANUP(mem_freep) char *tmp = str_format("%s.tmp", name);

    if (!write_new(dirfd, tmp, data, len, mode, err)) {
        unlinkat(dirfd, tmp, 0);
        return false;
    }
    if (renameat(dirfd, tmp, dirfd, name) < 0) {
        int saved = errno;
        unlinkat(dirfd, tmp, 0);
        return err_errno(err, saved, "rename %s", name);
    }
    return fs_sync(dirfd, "the directory", err);
}

bool fs_remove(int dirfd, const char *name, struct err *err)
{
    if (unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
        return err_errno(err, errno, "remove %s", name);
    return fs_sync(dirfd, "the directory", err);
}

/* Some file systems do not tell the type in the listing. */
static bool is_dir(int dirfd, const struct dirent *e)
{
    struct stat st;

    if (e->d_type != DT_UNKNOWN)
        return e->d_type == DT_DIR;
    return fstatat(dirfd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static bool remove_entries(int fd, struct err *err)
{
    DIR *dir = fdopendir(fd);
    bool ok = true;

    if (!dir) {
        close(fd);
        return err_errno(err, errno, "list a directory");
    }
    for (struct dirent *e; ok && (e = readdir(dir));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (is_dir(dirfd(dir), e))
            ok = fs_remove_tree(dirfd(dir), e->d_name, err);
        else if (unlinkat(dirfd(dir), e->d_name, 0) < 0 && errno != ENOENT)
            ok = err_errno(err, errno, "remove %s", e->d_name);
    }
    closedir(dir);
    return ok;
}

bool fs_remove_tree(int dirfd, const char *name, struct err *err)
{
    struct err miss = {0};
    int fd = fs_open(dirfd, name, O_RDONLY | O_DIRECTORY, 0, &miss);

    if (fd < 0 && miss.code == ERR_NOT_FOUND)
        return true;
    if (fd < 0) {
        *err = miss;
        return false;
    }
    if (!remove_entries(fd, err))
        return false;
    if (unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        return err_errno(err, errno, "remove the directory %s", name);
    return fs_sync(dirfd, "the directory", err);
}

bool fs_space(int fd, uint64_t *total_bytes, uint64_t *free_bytes, struct err *err)
{
    struct statvfs s;

    if (fstatvfs(fd, &s) < 0)
        return err_errno(err, errno, "ask for free space");
    *total_bytes = (uint64_t)s.f_blocks * s.f_frsize;
    *free_bytes = (uint64_t)s.f_bavail * s.f_frsize;
    return true;
}

bool fs_is_in_memory(int fd)
{
    struct statfs fs;

    return fstatfs(fd, &fs) == 0 && fs.f_type == TMPFS_MAGIC;
}

bool fs_lock(int fd, struct err *err)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
        return true;
    if (errno == EAGAIN || errno == EACCES)
        return err_set(err, ERR_BUSY, "another process holds the lock");
    return err_errno(err, errno, "lock a file");
}
