/* The root that vmmd-main lives in: see view.h.
 *
 * A small tmpfs, mounted where private device nodes come otherwise, gets its mounts and becomes the
 * root; the host's root is detached. Propagation is MS_SLAVE: what the host unmounts goes here,
 * too, so that main keeps no file system busy. Descriptors that were open stay as they are. */
#include "vmmd/priv/view.h"

#include "core/base/fs.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SAFE (MS_NOSUID | MS_NODEV)

enum need { NEEDED, IF_THERE };

static const struct place {
    const char *path;
    unsigned long flags; /* beside MS_BIND */
    enum need need;
} places[] = {
    {"/usr", SAFE | MS_RDONLY | MS_REC, NEEDED},
    {"/bin", SAFE | MS_RDONLY, IF_THERE}, /* links into /usr, or directories on older hosts */
    {"/sbin", SAFE | MS_RDONLY, IF_THERE},
    {"/lib", SAFE | MS_RDONLY, IF_THERE},
    {"/lib64", SAFE | MS_RDONLY, IF_THERE},
    {"/etc", SAFE | MS_RDONLY | MS_NOEXEC | MS_REC, NEEDED}, /* resolv.conf may be a mount */
    {"/run/systemd/resolve", SAFE | MS_RDONLY | MS_NOEXEC, IF_THERE}, /* resolv.conf is a link */
    {"/run/resolvconf", SAFE | MS_RDONLY | MS_NOEXEC, IF_THERE},
    {"/sys", SAFE | MS_RDONLY | MS_NOEXEC | MS_REC, NEEDED},
    {"/proc", SAFE | MS_NOEXEC, NEEDED},
    {"/dev", SAFE | MS_RDONLY | MS_NOEXEC, NEEDED}, /* what is there can be seen, not opened: */
    {"/dev/null", MS_NOSUID | MS_NOEXEC, NEEDED},
    {"/dev/zero", MS_NOSUID | MS_NOEXEC, NEEDED},
    {"/dev/full", MS_NOSUID | MS_NOEXEC, IF_THERE},
    {"/dev/random", MS_NOSUID | MS_NOEXEC, NEEDED},
    {"/dev/urandom", MS_NOSUID | MS_NOEXEC, NEEDED},
#ifdef VMMD_FAILPOINTS /* tests have their sockets and reports there */
    {"/tmp", SAFE, NEEDED},
    {"/dev/shm", SAFE, IF_THERE},
#endif
};

/* A link is made again, so that what it leads to is found in the new root. */
static bool copy_link(const char *from, const char *to, struct err *err)
{
    char text[256];
    ssize_t n = readlink(from, text, sizeof text - 1);

    if (n < 0)
        return err_errno(err, errno, "read the link %s", from);
    text[n] = 0;
    return symlink(text, to) == 0 || err_errno(err, errno, "make the link %s for vmmd-main", from);
}

/* Where it is mounted: a directory with those above it, or a file's place. */
static bool make_target(const char *to, bool is_dir, struct err *err)
{
    CLEANUP(closep) int fd = -1;

    if (access(to, F_OK) == 0)
        return true;
    if (is_dir)
        return fs_mkdirs(to, 0755, err);
    fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    return fd >= 0 || err_errno(err, errno, "make %s for vmmd-main", to);
}

/* MS_REC brings along what is mounted below. Not for the run directory: our new root lies there. */
static bool bind_at(const char *from, const char *to, unsigned long flags, struct err *err)
{
    struct mount_attr attr = {.attr_set = (flags & MS_RDONLY ? (uint64_t)MOUNT_ATTR_RDONLY : 0) |
                                          (flags & MS_NOSUID ? MOUNT_ATTR_NOSUID : 0) |
                                          (flags & MS_NODEV ? MOUNT_ATTR_NODEV : 0) |
                                          (flags & MS_NOEXEC ? MOUNT_ATTR_NOEXEC : 0)};
    bool deep = flags & MS_REC;
    CLEANUP(closep)
    int tree =
        open_tree(AT_FDCWD, from, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (deep ? AT_RECURSIVE : 0));

    if (tree < 0 ||
        mount_setattr(tree, "", AT_EMPTY_PATH | (deep ? AT_RECURSIVE : 0), &attr, sizeof attr) <
            0 ||
        move_mount(tree, "", AT_FDCWD, to, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return err_errno(err, errno, "show %s to vmmd-main", from);
    return true;
}

static bool show(const char *root, const struct place *place, struct err *err)
{
    char to[512];
    struct stat st;

    snprintf(to, sizeof to, "%s%s", root, place->path);
    if (lstat(place->path, &st) < 0)
        return place->need == IF_THERE ||
               err_errno(err, errno, "look at %s, which vmmd-main needs", place->path);
    if (S_ISLNK(st.st_mode))
        return copy_link(place->path, to, err);
    return make_target(to, S_ISDIR(st.st_mode), err) && bind_at(place->path, to, place->flags, err);
}

static bool show_all(const struct host *h, const char *root, struct err *err)
{
    const struct place own[] = {
        {h->config->state_dir, SAFE | MS_NOEXEC | MS_REC, NEEDED},
        {h->config->run_dir, SAFE | MS_NOEXEC, NEEDED},
    };

    for (unsigned i = 0; i < ARRAY_LEN(places); i++)
        if (!show(root, &places[i], err))
            return false;
    for (unsigned i = 0; i < ARRAY_LEN(own); i++)
        if (!show(root, &own[i], err))
            return false;
    return true;
}

/* The tmpfs becomes the root; the old one lies on top of it for a moment. */
static bool change_root(const char *root, struct err *err)
{
    if (mount(NULL, root, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | SAFE | MS_NOEXEC, NULL) < 0 ||
        chdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 ||
        chdir("/") < 0)
        return err_errno(err, errno, "give vmmd-main a root of its own");
    return true;
}

bool view_enter(const struct host *h, struct err *err)
{
    mode_t before = umask(022); /* main is another user than who makes the directories */
    bool ok;

    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 ||
        mount("vmmd-main", h->kvm_dir, "tmpfs", SAFE | MS_NOEXEC, "size=256k,mode=0755") < 0)
        return err_errno(err, errno, "give vmmd-main mounts of its own");
    ok = show_all(h, h->kvm_dir, err) && change_root(h->kvm_dir, err);
    umask(before);
    return ok;
}
