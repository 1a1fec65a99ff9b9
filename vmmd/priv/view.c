/* The roots that vmmd-main, vmmd-net and vmmd-pam live in: see view.h.
 *
 * A small tmpfs, mounted where private device nodes come otherwise, gets its mounts and becomes the
 * root; the host's root is detached. Propagation is MS_SLAVE: what the host unmounts goes here,
 * too, so that nothing keeps a file system busy. Descriptors that were open stay as they are. */
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

enum need { NEEDED, IF_THERE, WHAT_IT_LEADS_TO /* if it is there */ };

struct place {
    const char *path;
    unsigned long flags; /* beside MS_BIND */
    enum need need;
};

/* Whose view it is, for who reads an error. */
struct view {
    const char *who, *root;
};

static const struct place mains[] = {
    {"/usr", SAFE | MS_RDONLY | MS_REC, NEEDED},
    {"/bin", SAFE | MS_RDONLY, IF_THERE}, /* links into /usr, or directories on older hosts */
    {"/sbin", SAFE | MS_RDONLY, IF_THERE},
    {"/lib", SAFE | MS_RDONLY, IF_THERE},
    {"/lib64", SAFE | MS_RDONLY, IF_THERE},
    {"/etc", SAFE | MS_RDONLY | MS_NOEXEC | MS_REC, NEEDED}, /* resolv.conf may be a mount */
    {"/run/systemd/resolve", SAFE | MS_RDONLY | MS_NOEXEC, IF_THERE}, /* resolv.conf is a link */
    {"/run/resolvconf", SAFE | MS_RDONLY | MS_NOEXEC, IF_THERE},
    {"/sys", SAFE | MS_RDONLY | MS_NOEXEC | MS_REC, NEEDED},
    {"/proc", SAFE | MS_NOEXEC | MS_REC, NEEDED},   /* with what a container has covered there */
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

/* Before passt has an empty root it looks for its program, the loader's libraries and this file.
 * resolv.conf is often a link to what another program writes: the file is shown in its place. */
static const struct place nets[] = {
    {"/usr", SAFE | MS_RDONLY | MS_REC, NEEDED},
    {"/bin", SAFE | MS_RDONLY, IF_THERE},
    {"/lib", SAFE | MS_RDONLY, IF_THERE},
    {"/lib64", SAFE | MS_RDONLY, IF_THERE},
    {"/etc/ld.so.cache", SAFE | MS_RDONLY | MS_NOEXEC, WHAT_IT_LEADS_TO},
    {"/etc/resolv.conf", SAFE | MS_RDONLY | MS_NOEXEC, WHAT_IT_LEADS_TO},
    {"/dev/null", MS_NOSUID | MS_NOEXEC, NEEDED},
};

/* What root may read there, and no key (below). What modules of PAM ask they find by sockets; the
 * journal is where they say what they have to say. */
static const struct place pams[] = {
    {"/usr", SAFE | MS_RDONLY | MS_REC, NEEDED},
    {"/bin", SAFE | MS_RDONLY, IF_THERE},
    {"/sbin", SAFE | MS_RDONLY, IF_THERE},
    {"/lib", SAFE | MS_RDONLY, IF_THERE},
    {"/lib64", SAFE | MS_RDONLY, IF_THERE},
    {"/etc", SAFE | MS_RDONLY | MS_NOEXEC | MS_REC, NEEDED},
    {"/dev", SAFE | MS_RDONLY | MS_NOEXEC, NEEDED},
    {"/dev/null", MS_NOSUID | MS_NOEXEC, NEEDED},
    {"/dev/zero", MS_NOSUID | MS_NOEXEC, NEEDED},
    {"/dev/random", MS_NOSUID | MS_NOEXEC, NEEDED},
    {"/dev/urandom", MS_NOSUID | MS_NOEXEC, NEEDED},
    {"/var/run", SAFE | MS_RDONLY | MS_NOEXEC, IF_THERE}, /* a link to /run */
    {"/var/lib/sss", SAFE | MS_RDONLY | MS_NOEXEC, IF_THERE},
    {"/run/nslcd", SAFE | MS_RDONLY | MS_NOEXEC, IF_THERE},
    {"/run/samba/winbindd", SAFE | MS_RDONLY | MS_NOEXEC, IF_THERE},
    {"/run/systemd/resolve", SAFE | MS_RDONLY | MS_NOEXEC, IF_THERE},
    {"/run/resolvconf", SAFE | MS_RDONLY | MS_NOEXEC, IF_THERE},
    {"/run/systemd/userdb", SAFE | MS_RDONLY | MS_NOEXEC, IF_THERE},
    {"/run/systemd/journal", SAFE | MS_RDONLY | MS_NOEXEC, IF_THERE},
    {"/run/faillock", SAFE | MS_NOEXEC, IF_THERE}, /* where failures are counted */
#ifdef VMMD_FAILPOINTS
    {"/tmp", SAFE, NEEDED},
    {"/dev/shm", SAFE, IF_THERE},
#endif
};
static const char *const keys[] = {"/etc/vmmd", "/etc/ssh", "/etc/ssl/private"};

/* A link is made again, so that what it leads to is found in the new root. */
static bool copy_link(const struct view *v, const char *from, const char *to, struct err *err)
{
    char text[256];
    ssize_t n = readlink(from, text, sizeof text - 1);

    if (n < 0)
        return err_errno(err, errno, "read the link %s", from);
    text[n] = 0;
    return symlink(text, to) == 0 || err_errno(err, errno, "make the link %s for %s", from, v->who);
}

/* Where it is mounted: a directory with those above it, or a file's place. */
static bool make_target(const struct view *v, const char *to, bool is_dir, struct err *err)
{
    CLEANUP(closep) int fd = -1;

    if (access(to, F_OK) == 0)
        return true;
    if (is_dir)
        return fs_mkdirs(to, 0755, err);
    fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    return fd >= 0 || err_errno(err, errno, "make %s for %s", to, v->who);
}

/* MS_REC brings along what is mounted below. Not for the run directory: our new root lies there. */
static bool bind_at(const struct view *v, const char *from, const char *to, unsigned long flags,
                    struct err *err)
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
        return err_errno(err, errno, "show %s to %s", from, v->who);
    return true;
}

static bool show(const struct view *v, const struct place *place, struct err *err)
{
    bool follow = place->need == WHAT_IT_LEADS_TO;
    char to[512];
    struct stat st;

    snprintf(to, sizeof to, "%s%s", v->root, place->path);
    if (fstatat(AT_FDCWD, place->path, &st, follow ? 0 : AT_SYMLINK_NOFOLLOW) < 0)
        return place->need != NEEDED ||
               err_errno(err, errno, "look at %s, which %s needs", place->path, v->who);
    if (S_ISLNK(st.st_mode))
        return copy_link(v, place->path, to, err);
    return make_target(v, to, S_ISDIR(st.st_mode), err) &&
           bind_at(v, place->path, to, place->flags, err);
}

static bool show_all(const struct view *v, const struct place *places, unsigned n, struct err *err)
{
    for (unsigned i = 0; i < n; i++)
        if (!show(v, &places[i], err))
            return false;
    return true;
}

static bool show_main(const struct host *h, const struct view *v, struct err *err)
{
    const struct place own[] = {
        {h->config->state_dir, SAFE | MS_NOEXEC | MS_REC, NEEDED},
        {h->config->run_dir, SAFE | MS_NOEXEC, NEEDED},
    };

    return show_all(v, mains, ARRAY_LEN(mains), err) && show_all(v, own, ARRAY_LEN(own), err);
}

/* Root sees the processes of its namespace alone. A user's namespace may mount no such view where
 * something covers a part of the host's: it has that one, which its user can read anyway. */
static bool show_proc(const struct host *h, const struct view *v, struct err *err)
{
    char to[512];

    snprintf(to, sizeof to, "%s/proc", v->root);
    if (!h->root)
        return bind_at(v, "/proc", to, SAFE | MS_NOEXEC | MS_REC, err);
    return mount("proc", to, "proc", SAFE | MS_NOEXEC | MS_RDONLY, NULL) == 0 ||
           err_errno(err, errno, "show its processes to %s", v->who);
}

/* /tmp is where passt mounts its empty root. */
static bool show_net(const struct host *h, const struct view *v, struct err *err)
{
    static const char *const dirs[] = {"dev", "etc", "proc", "tmp"};
    char to[512];

    for (unsigned i = 0; i < ARRAY_LEN(dirs); i++) {
        snprintf(to, sizeof to, "%s/%s", v->root, dirs[i]);
        if (!make_target(v, to, true, err))
            return false;
    }
    return show_all(v, nets, ARRAY_LEN(nets), err) && show_proc(h, v, err);
}

static bool cover(const struct view *v, const char *path, struct err *err)
{
    char to[512];

    snprintf(to, sizeof to, "%s%s", v->root, path);
    return access(to, F_OK) < 0 ||
           mount("none", to, "tmpfs", SAFE | MS_NOEXEC | MS_RDONLY, "size=4k,mode=0755") == 0 ||
           err_errno(err, errno, "cover %s for %s", path, v->who);
}

static bool show_pam(const struct host *h, const struct view *v, struct err *err)
{
    static const char *const dirs[] = {"proc", "var"};
    char to[512];

    for (unsigned i = 0; i < ARRAY_LEN(dirs); i++) {
        snprintf(to, sizeof to, "%s/%s", v->root, dirs[i]);
        if (!make_target(v, to, true, err))
            return false;
    }
    if (!show_all(v, pams, ARRAY_LEN(pams), err) || !show_proc(h, v, err))
        return false;
    for (unsigned i = 0; i < ARRAY_LEN(keys); i++)
        if (!cover(v, keys[i], err))
            return false;
    return true;
}

static bool begin(const struct view *v, struct err *err)
{
    return (unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) == 0 &&
            mount(v->who, v->root, "tmpfs", SAFE | MS_NOEXEC, "size=256k,mode=0755") == 0) ||
           err_errno(err, errno, "give %s mounts of its own", v->who);
}

/* The tmpfs becomes the root; the old one lies on top of it for a moment. */
static bool change_root(const struct view *v, struct err *err)
{
    if (mount(NULL, v->root, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | SAFE | MS_NOEXEC, NULL) < 0 ||
        chdir(v->root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
        umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return err_errno(err, errno, "give %s a root of its own", v->who);
    return true;
}

bool view_enter(const struct host *h, struct err *err)
{
    const struct view v = {.who = "vmmd-main", .root = h->kvm_dir};
    mode_t before = umask(022); /* main is another user than who makes the directories */
    bool ok = begin(&v, err) && show_main(h, &v, err) && change_root(&v, err);

    umask(before);
    return ok;
}

bool view_enter_net(const struct host *h, struct err *err)
{
    char root[sizeof h->kvm_dir + 8];
    const struct view v = {.who = "vmmd-net", .root = root};
    mode_t before = umask(022);
    bool ok;

    snprintf(root, sizeof root, "%s/empty", h->config->run_dir);
    ok = begin(&v, err) && show_net(h, &v, err) && change_root(&v, err);
    umask(before);
    return ok;
}

bool view_enter_pam(const struct host *h, struct err *err)
{
    const struct view v = {.who = "vmmd-pam", .root = h->kvm_dir};
    mode_t before = umask(022);
    bool ok = begin(&v, err) && show_pam(h, &v, err) && change_root(&v, err);

    umask(before);
    return ok;
}
