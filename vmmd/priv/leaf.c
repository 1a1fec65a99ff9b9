/* Leaves of the cgroup v2 hierarchy: see leaf.h. cgroup.kill, cgroup.events and cgroup.procs work
 * in a v2 mount without controllers, too (hybrid hosts with v1). */
#include "vmmd/priv/leaf.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define KILL_MS 5000

/* Mount point of the first cgroup2 in /proc/self/mountinfo. See proc(5): the mount point is the
 * fifth field, the type follows " - ". */
static bool find_mount(char *out, size_t size)
{
    FILE *f = fopen("/proc/self/mountinfo", "re");
    char line[2048];
    bool found = false;

    while (f && !found && fgets(line, sizeof line, f)) {
        char *point = line;
        if (!strstr(line, " - cgroup2 "))
            continue;
        for (int i = 0; point && i < 4; i++)
            point = (point = strchr(point, ' ')) ? point + 1 : NULL;
        if (!point)
            continue;
        point[strcspn(point, " ")] = 0;
        found = !strchr(point, '\\') && str_copy(out, size, point) == strlen(point);
    }
    if (f)
        fclose(f);
    return found;
}

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
    pid = leaf_fork(leaf, err);
    if (pid == 0)
        _exit(0);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (unlinkat(base, "probe", AT_REMOVEDIR) < 0 && pid > 0)
        return err_errno(err, errno, "remove the probe cgroup");
    return pid > 0;
}

int leaf_base_open(const char *configured, const char *run_dir, struct err *err)
{
    char mount[512], path[1024];
    CLEANUP(closep) int base = -1;

    if (!find_mount(mount, sizeof mount)) {
        err_set(err, ERR_UNSUPPORTED, "no cgroup v2 hierarchy is mounted");
        return -1;
    }
    if (configured)
        snprintf(path, sizeof path, "%s/%s", mount, configured);
    else
        snprintf(path, sizeof path, "%s/vmmd-%08x", mount, hash(run_dir));
    if (!fs_mkdirs(path, 0755, err))
        return -1;
    base = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (base < 0) {
        err_errno(err, errno, "open the cgroup %s", path);
        return -1;
    }
    return try_fork(base, err) ? TAKE_FD(base) : -1;
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
    if (!leaf->populated && unlinkat(check->base, leaf->name, AT_REMOVEDIR) == 0)
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

pid_t leaf_fork(int leaf, struct err *err)
{
    struct clone_args args = {
        .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (uint64_t)leaf};
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
    return unlinkat(base, name, AT_REMOVEDIR) == 0 || errno == ENOENT ||
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
