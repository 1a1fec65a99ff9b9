/* QEMU's process: see child.h.
 *
 * Order matters: the bounding set goes before the uid (it needs CAP_SETPCAP, which the change of
 * uid takes), capabilities and no_new_privs before Landlock, and the descriptors are moved last,
 * because every step before may still open one. What fails is told to init through a pipe that exec
 * closes. */
#include "vmmd/jail/child.h"

#include "core/base/fs.h"
#include "vmmd/jail/drop.h"
#include "vmmd/jail/root.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PARKED    (JAIL_MAX_TARGET + 1) /* descriptors are kept from here on while they are sorted */
#define QEMU_UID  1                     /* inside the user namespace, where it is mapped */
#define MAX_FILES 1024

static bool limit(int what, rlim_t most, struct err *err)
{
    struct rlimit now;

    if (getrlimit(what, &now) < 0)
        return err_errno(err, errno, "read a limit");
    now.rlim_max = now.rlim_max < most ? now.rlim_max : most;
    now.rlim_cur = now.rlim_max;
    return setrlimit(what, &now) == 0 || err_errno(err, errno, "set a limit");
}

static bool default_signals(struct err *err)
{
    sigset_t none;

    for (int s = 1; s < NSIG; s++)
        signal(s, SIG_DFL); /* fails for the two that cannot be changed and the C library's own */
    sigemptyset(&none);
    return sigprocmask(SIG_SETMASK, &none, NULL) == 0 || err_errno(err, errno, "unblock signals");
}

/* Becomes the namespace's second user. EINVAL: it has one id only (rootless); QEMU then shares it
 * with init, which no longer matters once both have dropped everything. */
static bool become_qemu(struct err *err)
{
    if (setresgid(QEMU_UID, QEMU_UID, QEMU_UID) < 0)
        return errno == EINVAL || err_errno(err, errno, "take QEMU's group");
    if (setgroups(0, NULL) < 0)
        return err_errno(err, errno, "leave all groups");
    return setresuid(QEMU_UID, QEMU_UID, QEMU_UID) == 0 ||
           err_errno(err, errno, "take QEMU's user");
}

/* A write beyond it is an error, which QEMU tells, and not its end. */
static bool limit_files(uint64_t most, struct err *err)
{
    if (!most)
        return true;
    signal(SIGXFSZ, SIG_IGN);
    return limit(RLIMIT_FSIZE, most, err);
}

static bool give_up_rights(struct err *err)
{
    umask(077);
    return default_signals(err) && limit(RLIMIT_CORE, 0, err) && drop_gains(err) &&
           become_qemu(err) && drop_capabilities(0, err) && drop_files(true, err);
}

/* First all sources are duplicated above every target, so that no target overwrites a source. */
static bool park(const struct jail_request *r, const int *fds, int *parked, struct err *err)
{
    for (unsigned i = 0; i < r->n_fds; i++) {
        if (r->fds[i].target < 0)
            continue;
        parked[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, PARKED);
        if (parked[i] < 0)
            return err_errno(err, errno, "park a descriptor");
    }
    return true;
}

static bool place(const struct jail_request *r, const int *parked, bool *used, struct err *err)
{
    for (unsigned i = 0; i < r->n_fds; i++) {
        int target = r->fds[i].target;
        if (target < 0)
            continue;
        if (dup2(parked[i], target) < 0)
            return err_errno(err, errno, "place descriptor %d", target);
        used[target] = true;
    }
    return true;
}

/* /dev/null for the standard descriptors that were not given. */
static bool fill_standard(bool *used, struct err *err)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null < 0)
        return err_errno(err, errno, "open the jail's /dev/null");
    for (int fd = 0; fd <= 2; fd++) {
        if (!used[fd] && null != fd && dup2(null, fd) < 0)
            return err_errno(err, errno, "place descriptor %d", fd);
        if (null == fd && fcntl(fd, F_SETFD, 0) < 0)
            return err_errno(err, errno, "keep descriptor %d", fd);
        used[fd] = true;
    }
    return true;
}

static bool close_others(const bool *used, int status, struct err *err)
{
    for (int fd = 0; fd <= JAIL_MAX_TARGET; fd++)
        if (!used[fd])
            close(fd);
    if ((status > PARKED && close_range(PARKED, (unsigned)status - 1, 0) < 0) ||
        close_range((unsigned)status + 1, ~0u, 0) < 0)
        return err_errno(err, errno, "close the other descriptors");
    return true;
}

/* 'status' ends up above every target and is the only other descriptor; exec closes it. */
static bool arrange_fds(const struct jail_request *r, const int *fds, int *status, struct err *err)
{
    bool used[PARKED] = {false};
    int parked[FRAME_MAX_FDS];
    int high = fcntl(*status, F_DUPFD_CLOEXEC, PARKED);

    if (high < 0)
        return err_errno(err, errno, "park a descriptor");
    *status = high;
    return park(r, fds, parked, err) && place(r, parked, used, err) && fill_standard(used, err) &&
           close_others(used, high, err) && limit(RLIMIT_NOFILE, MAX_FILES, err);
}

static _Noreturn void run(const struct jail_request *r, const int *fds, int status)
{
    char *const environment[] = {"PATH=/usr/bin", "HOME=/", "LC_ALL=C",
                                 jail_request_preloads(r) ? "LD_PRELOAD=" JAIL_PRELOAD_PATH : NULL,
                                 NULL};
    struct err err = {0};
    ssize_t told;

    if (give_up_rights(&err) && limit_files(r->file_max_bytes, &err) &&
        arrange_fds(r, fds, &status, &err)) {
        execve(r->argv[0], r->argv, environment);
        err_errno(&err, errno, "cannot execute %s", r->argv[0]);
    }
    told = write(status, err.detail, strlen(err.detail));
    _exit(told < 0 ? 2 : 1);
}

/* Waits for exec (end of file) or for the sentence that says what failed. */
static bool await_exec(int status, pid_t pid, struct err *err)
{
    char why[sizeof err->detail];
    ssize_t n;

    do
        n = read(status, why, sizeof why - 1);
    while (n < 0 && errno == EINTR);
    if (n == 0)
        return true;
    waitpid(pid, NULL, 0);
    if (n < 0)
        return err_errno(err, errno, "wait for exec");
    why[n] = 0;
    return err_set(err, ERR_HYPERVISOR, "%s", why);
}

bool jail_child_start(const struct jail_request *r, const int *fds, struct jail_child *out,
                      struct err *err)
{
    CLEANUP(closep) int told = -1;
    int status[2];

    if (pipe2(status, O_CLOEXEC) < 0)
        return err_errno(err, errno, "make a pipe");
    told = status[0];
    out->pid = fork();
    if (out->pid == 0)
        run(r, fds, status[1]);
    close(status[1]);
    if (out->pid < 0)
        return err_errno(err, errno, "start a process in the jail");
    if (!await_exec(told, out->pid, err))
        return false;
    out->pidfd = pidfd_open(out->pid, 0);
    return out->pidfd >= 0 || err_errno(err, errno, "hold QEMU's process");
}
