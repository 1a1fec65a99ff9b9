/* Leaves of the cgroup v2 hierarchy: see leaf.h. cgroup.kill, cgroup.events and cgroup.procs work
 * in a v2 mount without controllers, too (hybrid hosts with v1). */
#include "vmmd/priv/leaf.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "vmmd/priv/hierarchy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define KILL_MS      5000
#define MOUNTS_BYTES (4u << 20)
#define SWEEP_MOST   64   /* folders of dead daemons that one start takes away */
#define SWEEP_AGE_S  3600 /* younger ones may be of a daemon that has not locked its yet */

static const char *const parts[] = {[LEAF_WORKER] = "worker", [LEAF_GUEST] = "guest"};

/* FNV-1a: a short name for this instance, the same after every restart. */
static uint32_t hash(const char *text)
{
    uint32_t h = 2166136261u;

    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 16777619u;
    return h;
}

/* Can a child be born in a leaf? (A delegated subtree may refuse it.) */
static bool try_fork(int base, struct err *err)
{
    CLEANUP(closep) int leaf = fs_dir(base, "probe", 0755, err);
    int status = 0;
    pid_t pid;

    if (leaf < 0)
        return false;
    pid = leaf_fork(leaf, 0, err);
    if (pid == 0)
        _exit(0);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (unlinkat(base, "probe", AT_REMOVEDIR) < 0 && pid > 0)
        return err_errno(err, errno, "remove the probe cgroup");
    return pid > 0;
}

void leaf_base_name(const char *configured, const char *run_dir, char out[LEAF_BASE_NAME])
{
    if (configured)
        str_copy(out, LEAF_BASE_NAME, configured);
    else
        snprintf(out, LEAF_BASE_NAME, "vmmd-%08x", hash(run_dir));
}

char *leaf_mounts(void)
{
    CLEANUP(closep) int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    struct err err = {0};
    char *text = NULL;

    return fd >= 0 && fs_read_all(fd, MOUNTS_BYTES, &text, NULL, &err) ? text : str_dup("");
}

/* Says that its daemon lives: see sweep_one(). */
static bool lock_base(int base, struct err *err)
{
    return flock(base, LOCK_SH | LOCK_NB) == 0 || err_errno(err, errno, "lock a cgroup");
}

int leaf_base_open(const char *mounts, const char *name, struct err *err)
{
    char mount[512], path[1024];
    CLEANUP(closep) int base = -1;

    if (!hierarchy_find(mounts, NULL, mount, sizeof mount)) {
        err_set(err, ERR_UNSUPPORTED, "no cgroup v2 hierarchy is mounted");
        return -1;
    }
    snprintf(path, sizeof path, "%s/%s", mount, name);
    if (!fs_mkdirs(path, 0755, err))
        return -1;
    base = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (base < 0) {
        err_errno(err, errno, "open the cgroup %s", path);
        return -1;
    }
    return lock_base(base, err) && try_fork(base, err) ? TAKE_FD(base) : -1;
}

void leaf_base_remove(int base)
{
    char link[32], path[1024];
    ssize_t n;

    if (base < 0)
        return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", base);
    n = readlink(link, path, sizeof path - 1);
    close(base);
    path[n > 0 ? n : 0] = 0;
    if (rmdir(path) < 0 && errno != EBUSY)
        log_debug("the cgroup %s stays: %s", path, strerror(errno));
}

static void name_leaf(char out[LEAF_NAME], const struct uuid *vm, uint32_t slot)
{
    snprintf(out, LEAF_NAME, "vm-%u-%s", slot, UUID_STR(vm));
}

static bool parse_name(const char *name, struct leaf *leaf)
{
    char slot[16];
    const char *dash = str_starts(name, "vm-") ? strchr(name + 3, '-') : NULL;
    uint64_t n;

    if (!dash || dash - name - 3 >= (ptrdiff_t)sizeof slot)
        return false;
    str_copy(slot, (size_t)(dash - name - 3) + 1, name + 3);
    if (!str_to_u64(slot, &n) || n > UINT32_MAX || !uuid_parse(dash + 1, &leaf->vm))
        return false;
    leaf->slot = (uint32_t)n;
    str_copy(leaf->name, sizeof leaf->name, name);
    return true;
}

/* Reads "populated 1" out of an open cgroup.events. */
static bool read_populated(int events)
{
    char text[256] = "";
    ssize_t n = pread(events, text, sizeof text - 1, 0);

    return n > 0 && strstr(text, "populated 1") != NULL;
}

static bool is_populated(int base, const char *name)
{
    char path[LEAF_NAME + 32];
    CLEANUP(closep) int events = -1;

    snprintf(path, sizeof path, "%s/cgroup.events", name);
    events = openat(base, path, O_RDONLY | O_CLOEXEC);
    return events >= 0 && read_populated(events);
}

bool leaf_each(int base, bool (*visit)(const struct leaf *leaf, void *arg), void *arg,
               struct err *err)
{
    CLEANUP(closep) int dir = openat(base, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _Alignas(8) char buffer[4096];
    long n;

    if (dir < 0)
        return err_errno(err, errno, "open the cgroup of the workers");
    while ((n = syscall(SYS_getdents64, dir, buffer, sizeof buffer)) > 0) {
        for (long at = 0; at < n;) {
            const struct dirent64 *e = (const struct dirent64 *)(buffer + at);
            struct leaf leaf;
            at += e->d_reclen;
            if (!parse_name(e->d_name, &leaf))
                continue;
            leaf.populated = is_populated(base, leaf.name);
            if (!visit(&leaf, arg))
                return true;
        }
    }
    return n == 0 || err_errno(err, errno, "list the cgroup of the workers");
}

/* With its parts; one that an earlier version made has none. */
static int remove_leaf(int base, const char *name)
{
    char path[LEAF_NAME + 16];

    for (unsigned i = 0; i < ARRAY_LEN(parts); i++) {
        snprintf(path, sizeof path, "%s/%s", name, parts[i]);
        if (unlinkat(base, path, AT_REMOVEDIR) < 0 && errno != ENOENT)
            return -1;
    }
    return unlinkat(base, name, AT_REMOVEDIR);
}

struct room_check {
    int base;
    const struct uuid *vm;
    uint32_t slot;
    bool taken;
    bool same_vm; /* by a worker of the same VM */
};

static bool check_leaf(const struct leaf *leaf, void *arg)
{
    struct room_check *check = arg;
    bool same_vm = uuid_eq(&leaf->vm, check->vm);

    if (leaf->slot != check->slot && !same_vm)
        return true;
    /* An empty leaf is what a worker left that ended by itself. */
    if (!leaf->populated && remove_leaf(check->base, leaf->name) == 0)
        return true;
    check->taken = true;
    check->same_vm = same_vm;
    return false;
}

int leaf_make(int base, const struct uuid *vm, uint32_t slot, struct err *err)
{
    struct room_check check = {.base = base, .vm = vm, .slot = slot};
    char name[LEAF_NAME];

    if (!leaf_each(base, check_leaf, &check, err))
        return -1;
    if (check.taken) {
        if (check.same_vm)
            err_set(err, ERR_BUSY, "processes of this virtual machine still run");
        else
            err_set(err, ERR_BUSY, "uid slot %u is used by another virtual machine", slot);
        return -1;
    }
    name_leaf(name, vm, slot);
    return fs_dir(base, name, 0755, err);
}

int leaf_part(int leaf, enum leaf_part part, struct err *err)
{
    return fs_dir(leaf, parts[part], 0755, err);
}

pid_t leaf_fork(int part, uint64_t namespaces, struct err *err)
{
    struct clone_args args = {
        .flags = CLONE_INTO_CGROUP | namespaces, .exit_signal = SIGCHLD, .cgroup = (uint64_t)part};
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);

    if (pid < 0)
        err_errno(err, errno, "start a process in a cgroup");
    return pid;
}

/* Waits until no process lives in the leaf. The kernel raises POLLPRI when cgroup.events changes.
 */
static bool wait_empty(int events, struct err *err)
{
    int64_t deadline = clock_mono_ms() + KILL_MS;

    while (read_populated(events)) {
        struct pollfd p = {.fd = events, .events = POLLPRI};
        int64_t left = clock_left_ms(deadline);
        if (left == 0)
            return err_set(err, ERR_TIMEOUT,
                           "processes of the virtual machine did not end within "
                           "%d s of SIGKILL",
                           KILL_MS / 1000);
        if (poll(&p, 1, (int)left) < 0 && errno != EINTR)
            return err_errno(err, errno, "wait for a cgroup");
    }
    return true;
}

static bool kill_leaf(int base, const char *name, struct err *err)
{
    CLEANUP(closep) int dir = openat(base, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(closep) int kill_file = -1;
    CLEANUP(closep) int events = -1;

    if (dir < 0)
        return errno == ENOENT || err_errno(err, errno, "open a cgroup");
    kill_file = openat(dir, "cgroup.kill", O_WRONLY | O_CLOEXEC);
    events = openat(dir, "cgroup.events", O_RDONLY | O_CLOEXEC);
    if (kill_file < 0 || events < 0 || write(kill_file, "1", 1) != 1)
        return err_errno(err, errno, "kill the processes of a cgroup");
    if (!wait_empty(events, err))
        return false;
    return remove_leaf(base, name) == 0 || errno == ENOENT ||
           err_errno(err, errno, "remove a cgroup");
}

struct kill_search {
    const struct uuid *vm;
    char name[LEAF_NAME]; /* of the first leaf of that VM, or "" */
};

static bool find_leaf(const struct leaf *leaf, void *arg)
{
    struct kill_search *search = arg;

    if (!uuid_eq(&leaf->vm, search->vm))
        return true;
    memcpy(search->name, leaf->name, sizeof search->name);
    return false;
}

int leaf_find(int base, const struct uuid *vm, struct err *err)
{
    struct kill_search search = {.vm = vm};
    char path[LEAF_NAME + 16];
    int fd;

    if (!leaf_each(base, find_leaf, &search, err))
        return -1;
    snprintf(path, sizeof path, "%s/%s", search.name, parts[LEAF_GUEST]);
    fd = search.name[0] ? openat(base, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd < 0)
        err_set(err, ERR_NOT_FOUND, "the virtual machine has no cgroup that can be limited");
    return fd;
}

bool leaf_kill(int base, const struct uuid *vm, struct err *err)
{
    for (;;) { /* a VM that got another slot may have left a second leaf */
        struct kill_search search = {.vm = vm};

        if (!leaf_each(base, find_leaf, &search, err))
            return false;
        if (!search.name[0])
            return true;
        if (!kill_leaf(base, search.name, err))
            return false;
    }
}

/* ---- what dead daemons left ---- */

bool leaf_is_self_named(const char *name)
{
    return str_starts(name, "vmmd-") && strlen(name) == 13 &&
           strspn(name + 5, "0123456789abcdef") == 8;
}

static bool drop_empty(const struct leaf *leaf, void *arg)
{
    (void)remove_leaf(*(int *)arg, leaf->name); /* one with processes stays */
    return true;
}

/* Nobody holds its lock, and it has been there for a while: its daemon is dead. */
static bool sweep_one(int mount, const char *name)
{
    CLEANUP(closep) int base = openat(mount, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct err ignored = {0};
    struct stat st;

    if (base < 0 || fstat(base, &st) < 0 || st.st_uid != geteuid() ||
        clock_wall_ms() / 1000 - st.st_mtime < SWEEP_AGE_S || flock(base, LOCK_EX | LOCK_NB) < 0)
        return false;
    return leaf_each(base, drop_empty, &base, &ignored) && unlinkat(mount, name, AT_REMOVEDIR) == 0;
}

unsigned leaf_sweep_dead(const char *mounts, const char *own)
{
    char path[512];
    unsigned swept = 0;
    DIR *dir = hierarchy_find(mounts, NULL, path, sizeof path) ? opendir(path) : NULL;

    for (struct dirent *e; dir && swept < SWEEP_MOST && (e = readdir(dir));)
        if (leaf_is_self_named(e->d_name) && !str_eq(e->d_name, own))
            swept += sweep_one(dirfd(dir), e->d_name);
    if (dir)
        closedir(dir);
    return swept;
}
