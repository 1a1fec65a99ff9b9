/* The jail's file system: see root.h.
 *
 * Theory of operation. The new root is a tmpfs mounted over /tmp, a directory that every host has
 * and that nothing below needs; only this mount namespace sees it. What QEMU may read is bound into
 * it, pivot_root() makes it '/', and the host's tree is detached, so there is no path back:
 *
 *   built    /usr lib lib64 bin  /dev/null /dev/kvm?  /in/<input>…  proc -> /in/proc
 *            /preload/vmmd-preload.so?     (all read-only; only /usr and /preload may be executed)
 *   sealed   /dev/null
 *
 * Mounts that come from a more privileged mount namespace keep their flags locked; mount_setattr()
 * adds flags without restating those. */
#include "vmmd/jail/root.h"

#include "core/base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HARD (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

static const char *const links[][2] = {
    {"usr/lib", "lib"}, {"usr/lib64", "lib64"}, {"usr/bin", "bin"}, {"in/proc", "proc"}};

static bool set_attr(const char *path, unsigned flags, uint64_t set, uint64_t clear,
                     struct err *err)
{
    struct mount_attr attr = {.attr_set = set, .attr_clr = clear};

    return mount_setattr(AT_FDCWD, path, flags, &attr, sizeof attr) == 0 ||
           err_errno(err, errno, "set the flags of the jail's %s", path);
}

static bool add_dir(const char *path, struct err *err)
{
    return mkdir(path, 0755) == 0 || err_errno(err, errno, "make the jail's %s", path);
}

static bool add_tmpfs(const char *path, unsigned long flags, uint64_t bytes, unsigned inodes,
                      struct err *err)
{
    char options[96];

    snprintf(options, sizeof options, "size=%llu,nr_inodes=%u,mode=0755", (unsigned long long)bytes,
             inodes);
    return mount("vmmd-jail", path, "tmpfs", MS_NOSUID | MS_NODEV | flags, options) == 0 ||
           err_errno(err, errno, "mount a tmpfs for the jail at %s", path);
}

static bool bind_usr(struct err *err)
{
    if (!add_dir("usr", err))
        return false;
    if (mount("/usr", "usr", NULL, MS_BIND | MS_REC, NULL) < 0)
        return err_errno(err, errno, "bind /usr into the jail");
    return set_attr("usr", AT_RECURSIVE, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
                    0, err);
}

/* A detached bind mount of 'path', to be put in place by place_node(). */
static int take_node(const char *path, struct err *err)
{
    int tree = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

    if (tree < 0)
        err_errno(err, errno, "take the node %s into the jail", path);
    return tree;
}

static bool place_node(int tree, const char *to, struct err *err)
{
    CLEANUP(closep) int fd = open(to, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

    if (fd < 0)
        return err_errno(err, errno, "make the jail's %s", to);
    if (move_mount(tree, "", AT_FDCWD, to, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return err_errno(err, errno, "bind the jail's %s", to);
    return set_attr(to, 0, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, 0, err);
}

static bool input_sizes(const struct jail_request *r, const int *fds, uint64_t *total,
                        struct err *err)
{
    struct stat st;

    *total = 0;
    for (unsigned i = 0; i < r->n_fds; i++) {
        if (r->fds[i].target != JAIL_TARGET_INPUT)
            continue;
        if (fstat(fds[i], &st) < 0)
            return err_errno(err, errno, "look at the input %s", r->fds[i].input);
        if (!S_ISREG(st.st_mode))
            return err_set(err, ERR_INVALID, "the input %s is no regular file", r->fds[i].input);
        if ((uint64_t)st.st_size > JAIL_MAX_INPUT - *total)
            return err_set(err, ERR_TOO_LARGE, "the input files have more than %llu MiB",
                           (unsigned long long)(JAIL_MAX_INPUT >> 20));
        *total += (uint64_t)st.st_size;
    }
    return true;
}

/* A detached mount of the file (from the helper) is put in its place: nothing to copy. */
static bool attach_input(const char *name, int tree, struct err *err)
{
    CLEANUP(closep) int place = -1;
    char path[40];

    snprintf(path, sizeof path, "in/%s", name);
    place = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0444);
    if (place < 0)
        return err_errno(err, errno, "make the jail's %s", path);
    return move_mount(tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) == 0 ||
           err_errno(err, errno, "attach the input %s in the jail", name);
}

/* Copies from the file's beginning, whatever its position is: another process may share it. */
static bool copy_file(const char *path, int from, struct err *err)
{
    CLEANUP(closep) int to = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0444);
    off_t at = 0;
    ssize_t n;

    if (to < 0)
        return err_errno(err, errno, "make the jail's %s", path);
    while ((n = sendfile(to, from, &at, 1 << 30)) > 0)
        ;
    return n == 0 || err_errno(err, errno, "copy %s into the jail", path);
}

static bool put_input(const char *name, int fd, struct err *err)
{
    char path[40];

    if (fcntl(fd, F_GETFL) & O_PATH)
        return attach_input(name, fd, err);
    snprintf(path, sizeof path, "in/%s", name);
    return copy_file(path, fd, err);
}

/* The one thing of /proc that QEMU must see: without it, memory that is not reserved is refused. It
 * is a copy, among the inputs. */
static bool put_overcommit(struct err *err)
{
    static const char *const dirs[] = {"in/proc", "in/proc/sys", "in/proc/sys/vm"};
    CLEANUP(closep) int from = open("/proc/sys/vm/overcommit_memory", O_RDONLY | O_CLOEXEC);
    CLEANUP(closep) int to = -1;
    char mode[8];
    ssize_t n = from < 0 ? -1 : read(from, mode, sizeof mode);

    if (n < 0)
        return true; /* a host that hides it: such a VM is refused by QEMU */
    for (unsigned i = 0; i < ARRAY_LEN(dirs); i++)
        if (!add_dir(dirs[i], err))
            return false;
    to = open("in/proc/sys/vm/overcommit_memory", O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0444);
    return (to >= 0 && write(to, mode, (size_t)n) == n) ||
           err_errno(err, errno, "make the jail's overcommit_memory");
}

static bool fill_in(const struct jail_request *r, const int *fds, struct err *err)
{
    const uint64_t page = 4096;
    uint64_t bytes;

    if (!input_sizes(r, fds, &bytes, err) || !add_dir("in", err) ||
        !add_tmpfs("in", MS_NOEXEC, bytes + page * (r->n_fds + 16), r->n_fds + 16, err))
        return false;
    for (unsigned i = 0; i < r->n_fds; i++)
        if (r->fds[i].target == JAIL_TARGET_INPUT && !put_input(r->fds[i].input, fds[i], err))
            return false;
    return put_overcommit(err) && set_attr("in", 0, MOUNT_ATTR_RDONLY | HARD, 0, err);
}

/* A mount of its own: what is to be executed cannot lie in /in. */
static bool put_preload(int library, struct err *err)
{
    const char *dir = &JAIL_PRELOAD_DIR[1], *path = &JAIL_PRELOAD_PATH[1];
    struct stat st;

    if (fstat(library, &st) < 0)
        return err_errno(err, errno, "look at the library that QEMU preloads");
    return add_dir(dir, err) && add_tmpfs(dir, 0, (uint64_t)st.st_size + 8192, 4, err) &&
           copy_file(path, library, err) &&
           set_attr(dir, 0, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, 0, err);
}

static bool add_links(struct err *err)
{
    for (unsigned i = 0; i < ARRAY_LEN(links); i++)
        if (symlink(links[i][0], links[i][1]) < 0)
            return err_errno(err, errno, "make the jail's %s", links[i][1]);
    return true;
}

/* Makes the current directory '/' and lets go of the host's tree. */
static bool enter(struct err *err)
{
    if (!add_dir("old", err))
        return false;
    if (syscall(SYS_pivot_root, ".", "old") < 0 || chdir("/") < 0)
        return err_errno(err, errno, "make the jail's root the root");
    if (umount2("/old", MNT_DETACH) < 0 || rmdir("/old") < 0)
        return err_errno(err, errno, "let go of the host's root");
    return set_attr("/", 0, MOUNT_ATTR_RDONLY | HARD, 0, err);
}

bool jail_root_build(const struct jail_request *r, const int *fds, const char *kvm_path,
                     int preload, struct err *err)
{
    CLEANUP(closep) int null = -1;
    CLEANUP(closep) int kvm = -1;

    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return err_errno(err, errno, "make the jail's mounts private");
    /* Before /tmp is covered: the helper may have put its node there. */
    if ((null = take_node("/dev/null", err)) < 0 ||
        (kvm_path && (kvm = take_node(kvm_path, err)) < 0))
        return false;
    if (!add_tmpfs("/tmp", MS_NOEXEC, 1 << 20, 64, err))
        return false;
    if (chdir("/tmp") < 0)
        return err_errno(err, errno, "enter the jail's root");
    return bind_usr(err) && add_links(err) && add_dir("dev", err) &&
           place_node(null, "dev/null", err) && (!kvm_path || place_node(kvm, "dev/kvm", err)) &&
           fill_in(r, fds, err) && (!jail_request_preloads(r) || put_preload(preload, err)) &&
           enter(err);
}

/* Detaches what is mounted at 'path', if anything is, and removes the place. */
static bool remove_mount(const char *path, int flags, struct err *err)
{
    if (umount2(path, MNT_DETACH) < 0)
        return errno == ENOENT || err_errno(err, errno, "detach the jail's %s", path);
    return unlinkat(AT_FDCWD, path, flags) == 0 ||
           err_errno(err, errno, "remove the jail's %s", path);
}

bool jail_root_seal(struct err *err)
{
    if (!set_attr("/", 0, 0, MOUNT_ATTR_RDONLY, err) || !remove_mount("/usr", AT_REMOVEDIR, err) ||
        !remove_mount("/in", AT_REMOVEDIR, err) ||
        !remove_mount(JAIL_PRELOAD_DIR, AT_REMOVEDIR, err) || !remove_mount("/dev/kvm", 0, err))
        return false;
    for (unsigned i = 0; i < ARRAY_LEN(links); i++)
        if (unlinkat(AT_FDCWD, links[i][1], 0) < 0)
            return err_errno(err, errno, "remove the jail's %s", links[i][1]);
    return set_attr("/", 0, MOUNT_ATTR_RDONLY, 0, err);
}
