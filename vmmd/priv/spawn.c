/* Starting a worker with its jail: see spawn.h.
 *
 * Theory of operation.
 *
 *   helper ──fork──► child ──fork──► grandchild ──clone(7 namespaces)──► jail's init
 *     │                └ exits: the grandchild belongs to init    │ (born in the guest's cgroup)
 *     │                                 │ (born in its cgroup)    │ waits for "go"
 *     │                                 ├ mounts the kvm node     │
 *     │                                 ├ writes the uid map, go ─► root of its namespace,
 *     │                                 │                           executes vmmd-jail
 *     │                                 ├ clone(1 namespace), go ─► gets a root of its own, drops
 * to │                                 │   (if a net is wanted)    the VM's uid for it, executes │
 * └ drops to vmmd's user      vmmd-net └◄─── report pipe ───────────────── executes vmmd-worker
 *
 * The report pipe is close-on-exec in all: it ends without a byte when all programs run, and
 * carries a struct report when a step failed. The parent's sockets and files are all close-on-exec;
 * nothing of them is ever seen by the programs. */
#include "vmmd/priv/spawn.h"

#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/sock.h"
#include "core/base/str.h"
#include "vmmd/priv/exec.h"
#include "vmmd/priv/leaf.h"
#include "vmmd/priv/oom.h"
#include "vmmd/priv/proto.h"
#include "vmmd/priv/view.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define REPORT_MS 10000
/* ... and that of cgroups, once it is in its own: it sees them as its roots. */
#define JAIL_NAMESPACES                                                                            \
    (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)

/* passt makes the others itself, but for that of the network: it is there to be in the host's. */
#define NET_NAMESPACES CLONE_NEWPID

/* All that one start needs; made in the helper, inherited by its children. */
struct start {
    const struct host *h;
    const struct uuid *vm;
    uint32_t slot;
    bool kvm, net;
    const struct priv_limits *limits;
    int leaf;          /* the parts of the leaf, */
    int worker, guest; /* or -1 */
    struct limits_entry entry;
    int main[2];   /* main's end, the worker's */
    int jail[2];   /* the worker's end, the jail's */
    int link[2];   /* the worker's end, vmmd-net's; -1 without one */
    int life[2];   /* lifeline: read end for the jail, write end for the worker */
    int report[2]; /* read by the helper */
};

struct report {
    uint32_t code;
    char detail[200];
};

static void start_close(struct start *s)
{
    int *fds[] = {&s->leaf,    &s->worker,    &s->guest,    &s->main[0], &s->main[1],
                  &s->jail[0], &s->jail[1],   &s->link[0],  &s->link[1], &s->life[0],
                  &s->life[1], &s->report[0], &s->report[1]};

    for (unsigned i = 0; i < ARRAY_LEN(fds); i++)
        closep(fds[i]);
    limits_entry_close(&s->entry);
}

/* ---- in the children ---- */

_Noreturn static void give_up(const struct start *s, const struct err *err)
{
    struct report report = {.code = err->code};

    str_copy(report.detail, sizeof report.detail, err->detail);
    if (write(s->report[1], &report, sizeof report) < 0)
        _exit(EXIT_INTERNAL + 1); /* the helper is gone: nobody wants to know */
    _exit(EXIT_INTERNAL);
}

static bool read_sysctl(const char *path, char *digit)
{
    CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);

    return fd >= 0 && read(fd, digit, 1) == 1;
}

static bool userns_refused(int errnum, struct err *err)
{
    static const struct {
        const char *path, *name, *value;
        char bad;
    } causes[] = {
        {"/proc/sys/user/max_user_namespaces", "user.max_user_namespaces", "10000", '0'},
        {"/proc/sys/kernel/unprivileged_userns_clone", "kernel.unprivileged_userns_clone", "1",
         '0'},
        {"/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
         "kernel.apparmor_restrict_unprivileged_userns", "0", '1'},
    };
    char digit;

    for (unsigned i = 0; i < ARRAY_LEN(causes); i++)
        if (read_sysctl(causes[i].path, &digit) && digit == causes[i].bad)
            return err_set(err, ERR_UNSUPPORTED,
                           "user namespaces are switched off on this host: "
                           "sysctl -w %s=%s",
                           causes[i].name, causes[i].value);
    return err_set(err, ERR_UNSUPPORTED, "this host refuses user namespaces (%s)",
                   strerror(errnum));
}

static bool write_proc(pid_t pid, const char *name, const char *text, struct err *err)
{
    char path[64];
    CLEANUP(closep) int fd = -1;

    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text))
        return true;
    return userns_refused(errno, err);
}

static bool write_map(pid_t pid, const char *name, uint32_t inner, uint32_t outer, uint32_t n,
                      struct err *err)
{
    char text[64];

    snprintf(text, sizeof text, "%u %u %u", inner, outer, n);
    return write_proc(pid, name, text, err);
}

/* Inside, 0 is the jail's init and 1 is QEMU. Rootless there is only one id to map. */
static bool map_jail(const struct host *h, pid_t pid, uint32_t slot, struct err *err)
{
    uid_t first = config_slot_uid(h->config, slot);

    if (h->root)
        return write_map(pid, "uid_map", 0, first, 2, err) &&
               write_map(pid, "gid_map", 0, first, 2, err);
    return write_proc(pid, "setgroups", "deny", err) &&
           write_map(pid, "uid_map", 0, geteuid(), 1, err) &&
           write_map(pid, "gid_map", 0, getegid(), 1, err);
}

/* A user needs a namespace of his own to make the others in. He stays who he is: passt does not
 * like to be root, and what he may do there ends with the exec. */
static bool map_net(const struct host *h, pid_t pid, uint32_t slot, struct err *err)
{
    return h->root || (write_proc(pid, "setgroups", "deny", err) &&
                       write_map(pid, "uid_map", geteuid(), geteuid(), 1, err) &&
                       write_map(pid, "gid_map", getegid(), getegid(), 1, err));
}

/* Becomes root of the new user namespace: without it the exec would take all capabilities away. */
static bool become_inner_root(const struct host *h, struct err *err)
{
    if ((h->root && setgroups(0, NULL) < 0) || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
        return userns_refused(errno, err);
    return true;
}

static bool enter_cgroups(const struct start *s, struct err *err)
{
    return limits_enter(&s->entry, err) &&
           (unshare(CLONE_NEWCGROUP) == 0 || userns_refused(errno, err));
}

_Noreturn static void jail_child(const struct start *s, const int go[2])
{
    const char *argv[] = {"vmmd-jail", NULL, NULL, NULL};
    int fds[] = {s->jail[1], s->life[0], s->h->program[PROGRAM_PRELOAD]};
    struct exec_plan plan = {.program = s->h->program[PROGRAM_JAIL],
                             .argv = argv,
                             .fds = fds,
                             .n_fds = ARRAY_LEN(fds),
                             .keep_cap = -1};
    char path[sizeof s->h->kvm_dir + 8];
    struct err err = {0};
    char byte;

    close(go[1]);
    if (!enter_cgroups(s, &err))
        give_up(s, &err);
    if (read(go[0], &byte, 1) != 1)
        _exit(EXIT_INTERNAL); /* the other side has reported why */
    if (s->kvm) {
        snprintf(path, sizeof path, "%s/kvm", s->h->root ? s->h->kvm_dir : "/dev");
        argv[1] = "--kvm";
        argv[2] = path;
    }
    if (become_inner_root(s->h, &err))
        exec_program(&plan, &err);
    give_up(s, &err);
}

_Noreturn static void net_child(const struct start *s, const int go[2])
{
    const char *argv[] = {"vmmd-net", NULL};
    const uid_t id = config_net_uid(s->h->config, s->slot);
    struct exec_plan plan = {.program = s->h->program[PROGRAM_NET],
                             .argv = argv,
                             .fds = &s->link[1],
                             .n_fds = 1,
                             .drop = s->h->root,
                             .uid = id,
                             .gid = id,
                             .keep_cap = -1};
    struct err err = {0};
    char byte;

    close(go[1]);
    if (read(go[0], &byte, 1) != 1)
        _exit(EXIT_INTERNAL); /* the other side has reported why */
    if (view_enter_net(s->h, &err))
        exec_program(&plan, &err);
    give_up(s, &err);
}

/* Born in 'part' of a leaf, unless that is -1. */
static pid_t clone_apart(int part, unsigned long namespaces, struct err *err)
{
    pid_t pid = part >= 0 ? leaf_fork(part, namespaces, err)
                          : (pid_t)syscall(SYS_clone, namespaces | SIGCHLD, 0, 0, 0, 0);

    if (pid < 0)
        userns_refused(errno, err);
    return pid;
}

/* A process in namespaces of its own, which goes on once its ids are mapped. */
struct apart {
    unsigned long namespaces;
    int part;                                            /* of the leaf, or -1 */
    void (*run)(const struct start *s, const int go[2]); /* does not return */
    bool (*map)(const struct host *h, pid_t pid, uint32_t slot, struct err *err);
};

static bool start_apart(const struct start *s, const struct apart *a, struct err *err)
{
    CLEANUP(closep) int read_end = -1;
    CLEANUP(closep) int write_end = -1;
    int go[2];
    pid_t pid;

    if (pipe2(go, O_CLOEXEC) < 0)
        return err_errno(err, errno, "make a pipe");
    read_end = go[0];
    write_end = go[1];
    pid = clone_apart(a->part, a->namespaces, err);
    if (pid == 0)
        a->run(s, go);
    if (pid < 0 || !a->map(s->h, pid, s->slot, err))
        return false;
    oom_rank_set(pid, OOM_GUEST);
    return write(write_end, "g", 1) == 1 || err_errno(err, errno, "release a child");
}

static bool start_jail(const struct start *s, struct err *err)
{
    const struct apart jail = {JAIL_NAMESPACES, s->guest, jail_child, map_jail};

    return FAILPOINT("spawn.jail", err) && start_apart(s, &jail, err);
}

/* In the worker's part: it must not be slowed down with the guest that it serves. */
static bool start_net(const struct start *s, struct err *err)
{
    const struct apart net = {s->h->root ? NET_NAMESPACES : NET_NAMESPACES | CLONE_NEWUSER,
                              s->worker, net_child, map_net};

    return !s->net || (FAILPOINT("spawn.net", err) && start_apart(s, &net, err));
}

/* A device node that only this VM's QEMU may open, on a mount that only this worker and its jail
 * see. MS_SLAVE: unmounts of the host still reach us, so that no file system is kept busy. */
static bool mount_kvm(const struct start *s, struct err *err)
{
    uid_t qemu = config_slot_uid(s->h->config, s->slot) + 1;
    char path[sizeof s->h->kvm_dir + 8];

    snprintf(path, sizeof path, "%s/kvm", s->h->kvm_dir);
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
        return err_errno(err, errno, "make a mount namespace");
    if (mount("kvm", s->h->kvm_dir, "tmpfs", MS_NOSUID | MS_NOEXEC,
              "size=4k,nr_inodes=4,mode=0755") < 0)
        return err_errno(err, errno, "mount the private device directory");
    /* Mode 0600 comes from here and the umask; the owner last, for he alone may change it then. */
    if (mknod(path, S_IFCHR | 0600, makedev(10, 232)) < 0 || chown(path, qemu, qemu) < 0)
        return err_errno(err, errno, "make the private kvm node");
    return true;
}

static void become_worker(const struct start *s, struct err *err)
{
    char uuid[UUID_TEXT];
    const char *argv[] = {"vmmd-worker", uuid, s->net ? "--net" : NULL, NULL};
    CLEANUP(closep) int run = openat(s->h->vm_dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fds[] = {s->main[1], s->jail[0], s->life[1], run, s->h->program[PROGRAM_SPLIT], s->link[0]};
    struct exec_plan plan = {.program = s->h->program[PROGRAM_WORKER],
                             .argv = argv,
                             .fds = fds,
                             .n_fds = ARRAY_LEN(fds) - (s->net ? 0 : 1),
                             .drop = s->h->root,
                             .uid = s->h->config->uid,
                             .gid = s->h->config->gid,
                             .keep_cap = -1};

    uuid_text(s->vm, uuid);
    if (run < 0)
        err_errno(err, errno, "open the run directory");
    else
        exec_program(&plan, err);
}

_Noreturn static void grandchild(const struct start *s)
{
    struct err err = {0};

    /* Not root, and not dumpable: the jail's files in /proc would not be ours to write. */
    if (!s->h->root)
        prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    if (s->kvm && s->h->root && !mount_kvm(s, &err))
        give_up(s, &err);
    if (!start_jail(s, &err))
        give_up(s, &err);
    if (s->kvm && s->h->root && umount2(s->h->kvm_dir, MNT_DETACH) < 0) { /* the jail has its own */
        err_errno(&err, errno, "unmount the private device directory");
        give_up(s, &err);
    }
    if (start_net(s, &err) && FAILPOINT("spawn.worker", &err))
        become_worker(s, &err);
    give_up(s, &err);
}

/* ---- in the helper ---- */

_Noreturn static void child(const struct start *s)
{
    struct err err = {0};
    pid_t pid;

    setsid();
    pid = s->worker >= 0 ? leaf_fork(s->worker, 0, &err) : fork();
    if (pid == 0)
        grandchild(s);
    if (pid < 0 && s->worker < 0)
        err_errno(&err, errno, "fork");
    if (pid < 0)
        give_up(s, &err);
    _exit(0);
}

static bool fork_twice(const struct start *s, struct err *err)
{
    pid_t pid = fork();

    if (pid < 0)
        return err_errno(err, errno, "fork");
    if (pid == 0)
        child(s);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return true; /* if it failed, the report says why */
}

/* Waits until all programs run or one step failed. */
static bool read_report(int fd, struct err *err)
{
    int64_t deadline = clock_mono_ms() + REPORT_MS;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    struct report report;
    ssize_t n;
    int ready;

    while ((ready = poll(&p, 1, (int)clock_left_ms(deadline))) < 0 && errno == EINTR)
        ;
    if (ready <= 0)
        return err_set(err, ERR_TIMEOUT, "the worker did not start within %d s", REPORT_MS / 1000);
    n = read(fd, &report, sizeof report);
    if (n == 0)
        return true;
    if (n != sizeof report)
        return err_set(err, ERR_INTERNAL, "the start of the worker ended without a reason");
    report.detail[sizeof report.detail - 1] = 0;
    return err_set(err, report.code, "%s", report.detail);
}

static bool open_start(struct start *s, struct err *err)
{
    if (!sock_pair(SOCK_STREAM, s->main, err) || !sock_pair(SOCK_STREAM, s->jail, err))
        return false;
    if (s->net && !sock_pair(SOCK_STREAM, s->link, err))
        return false;
    if (pipe2(s->life, O_CLOEXEC) < 0 || pipe2(s->report, O_CLOEXEC) < 0)
        return err_errno(err, errno, "make a pipe");
    return true;
}

static bool make_leaf(struct start *s, struct err *err)
{
    const struct host *h = s->h;

    if (h->cgroup < 0)
        return true;
    s->leaf = leaf_make(h->cgroup, s->vm, s->slot, err);
    if (s->leaf < 0 || !limits_reach(&h->limits, s->leaf, err))
        return false;
    s->worker = leaf_part(s->leaf, LEAF_WORKER, err);
    s->guest = s->worker < 0 ? -1 : leaf_part(s->leaf, LEAF_GUEST, err);
    return s->guest >= 0;
}

/* Open to be read by all: the worker reads what its guest's group counts. */
static bool make_cgroups(struct start *s, struct err *err)
{
    mode_t before = umask(0022);
    bool made = make_leaf(s, err) && FAILPOINT("spawn.leaf", err) &&
                limits_make(&s->h->limits, s->vm, &s->entry, err);

    umask(before);
    return made && limits_set(&s->h->limits, s->guest, s->vm, s->limits, err) &&
           FAILPOINT("spawn.limits", err);
}

static bool run_start(struct start *s, struct err *err)
{
    if (!make_cgroups(s, err))
        return false;
    if (!open_start(s, err) || !fork_twice(s, err))
        return false;
    closep(&s->report[1]);
    return read_report(s->report[0], err);
}

#define START_NO_FDS                                                                               \
    .leaf = -1, .worker = -1, .guest = -1, .entry = {{-1, -1, -1, -1}}, .main = {-1, -1},          \
    .jail = {-1, -1}, .link = {-1, -1}, .life = {-1, -1}, .report = {-1, -1}
_Static_assert(PRIV_LIMITS == 4, "as many as above");

int spawn_worker(const struct host *h, const struct priv_request *req, struct err *err)
{
    CLEANUP(start_close)
    struct start s = {.h = h,
                      .vm = &req->vm,
                      .slot = req->index,
                      .kvm = req->flags & PRIV_SPAWN_KVM,
                      .net = req->flags & PRIV_SPAWN_NET,
                      .limits = &req->limits,
                      START_NO_FDS};
    struct err gone = {0};
    bool had_leaf;

    if (run_start(&s, err))
        return TAKE_FD(s.main[0]);
    had_leaf = s.leaf >= 0;
    start_close(&s);
    if (had_leaf)
        err_ignore(leaf_kill(h->cgroup, &req->vm, &gone), &gone);
    if (had_leaf || h->cgroup < 0)
        limits_remove(&h->limits, &req->vm);
    return -1;
}

/* Waits for the map, then does one thing that only a jail with all its rights can. */
_Noreturn static void try_namespaces(const struct host *h, const int go[2])
{
    struct err err = {0};
    char byte;

    close(go[1]);
    _exit(read(go[0], &byte, 1) != 1 || !become_inner_root(h, &err) ||
          unshare(CLONE_NEWCGROUP) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0);
}

/* Runs in a child: makes a jail's namespaces and leaves with 0, or writes a report. */
_Noreturn static void probe(const struct host *h, const struct start *s)
{
    struct err err = {0};
    int go[2];
    int status;
    pid_t pid;

    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    if (pipe2(go, O_CLOEXEC) < 0 || (pid = clone_apart(-1, JAIL_NAMESPACES, &err)) < 0)
        give_up(s, &err);
    if (pid == 0)
        try_namespaces(h, go);
    if (!map_jail(h, pid, 0, &err) || write(go[1], "g", 1) != 1)
        give_up(s, &err);
    if (waitpid(pid, &status, 0) != pid || status != 0) {
        userns_refused(EPERM, &err);
        give_up(s, &err);
    }
    _exit(0);
}

bool spawn_userns_works(const struct host *h, struct err *err)
{
    CLEANUP(start_close)
    struct start s = {START_NO_FDS};
    int status;
    pid_t pid;

    if (pipe2(s.report, O_CLOEXEC) < 0)
        return err_errno(err, errno, "make a pipe");
    pid = fork();
    if (pid < 0)
        return err_errno(err, errno, "fork");
    if (pid == 0)
        probe(h, &s);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    closep(&s.report[1]);
    return read_report(s.report[0], err);
}
