/* Making directories: see dirs.h. Owner and mode are set only on what was made here, and through
 * the descriptor, so that nobody can have another file's owner changed by swapping a name. */
#include "vmmd/priv/dirs.h"

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool make_parents(const char *path, struct err *err)
{
    CLEANUP(mem_freep) char *parent = str_dup(path);
    char *slash = strrchr(parent, '/');

    if (!slash || slash == parent)
        return true;
    *slash = 0;
    return fs_mkdirs(parent, 0755, err);
}

static bool settle_new(int fd, const char *path, mode_t mode, uid_t uid, gid_t gid, struct err *err)
{
    struct stat st;

    if (fstat(fd, &st) < 0 || fchmod(fd, mode) < 0)
        return err_errno(err, errno, "set the mode of %s", path);
    if ((st.st_uid != uid || st.st_gid != gid) && fchown(fd, uid, gid) < 0)
        return err_errno(err, errno, "set the owner of %s", path);
    return true;
}

static bool check_old(int fd, const char *path, uid_t uid, struct err *err)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return err_errno(err, errno, "look at %s", path);
    if (st.st_uid != uid)
        return err_set(err, ERR_INVALID,
                       "%s belongs to user %u, but must belong to user %u: "
                       "chown it, or name another directory in vmmd.conf",
                       path, st.st_uid, uid);
    if (st.st_mode & 022)
        return err_set(err, ERR_INVALID, "%s is writable by others than its owner: chmod go-w %s",
                       path, path);
    return true;
}

static int make(const char *path, mode_t mode, uid_t uid, gid_t gid, bool *made, struct err *err)
{
    CLEANUP(closep) int fd = -1;

    *made = false;
    if (!make_parents(path, err))
        return -1;
    if (mkdir(path, 0700) == 0)
        *made = true;
    else if (errno != EEXIST) {
        err_errno(err, errno, "create the directory %s", path);
        return -1;
    }
    fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        err_errno(err, errno, "open the directory %s", path);
        return -1;
    }
    if (*made && (!settle_new(fd, path, mode, uid, gid, err) || !fs_sync_parent(path, err)))
        return -1;
    return TAKE_FD(fd);
}

int dir_make(const char *path, mode_t mode, uid_t uid, gid_t gid, bool *made, struct err *err)
{
    bool is_new;
    CLEANUP(closep) int fd = make(path, mode, uid, gid, &is_new, err);

    if (fd < 0 || (!is_new && !check_old(fd, path, uid, err)))
        return -1;
    if (made)
        *made = is_new;
    return TAKE_FD(fd);
}

int dir_make_or_take(const char *path, mode_t mode, uid_t uid, gid_t gid, struct err *err)
{
    bool made;

    return make(path, mode, uid, gid, &made, err);
}
