/* vmmd-jail: pid 1 of one VM's namespaces. Not a policy maker: it does what the VM's worker asks,
 * once, and its death is the VM's death. Executed by the helper with its uid map written
 * (docs/processes.md).
 *
 *   waiting ──RUN──► running ──SEAL──► sealed
 *      └── worker or lifeline gone, QEMU gone, any failure ──► _exit: the kernel ends the namespace
 *
 * Usage: vmmd-jail [--kvm PATH]      descriptors: enum jail_fd */
#include "core/base/failpoint.h"
#include "core/base/frame.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "vmmd/jail/child.h"
#include "vmmd/jail/drop.h"
#include "vmmd/jail/root.h"
#include "vmmd/priv/proto.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct jail {
    const char *kvm_path; /* NULL without a node */
    struct frame_reader in;
    struct jail_child qemu; /* pid 0 before RUN */
    int kept;               /* the descriptor that lives as long as init; -1 when none */
    bool sealed;
};

static bool tell(enum jail_type type, const void *data, size_t len, const int *fds, unsigned n_fds,
                 struct err *err)
{
    struct frame_header head = {
        .length = (uint32_t)len, .type = (uint16_t)type, .n_fds = (uint16_t)n_fds};

    return frame_send(JAIL_FD_WORKER, &head, data, fds, err);
}

static _Noreturn void give_up(const struct err *err)
{
    struct err lost = {0};

    log_error("%s", err->detail);
    err_ignore(tell(JAIL_FAILED, err->detail, strlen(err->detail), NULL, 0, &lost), &lost);
    _exit(1);
}

/* Root of the namespace; out of the starter's session, groups and signal dispositions. */
static bool settle_in(struct err *err)
{
    sigset_t none;

    sigemptyset(&none);
    umask(0);
    if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
        return err_errno(err, errno, "become root of the jail");
    if (setgroups(0, NULL) < 0 && errno != EPERM) /* EPERM: rootless, setgroups is denied */
        return err_errno(err, errno, "leave all groups");
    if (sigprocmask(SIG_SETMASK, &none, NULL) < 0 || signal(SIGCHLD, SIG_DFL) == SIG_ERR)
        return err_errno(err, errno, "reset the signals");
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || sethostname("vm", 2) < 0)
        return err_errno(err, errno, "settle in");
    /* EPERM: whoever started us made us a session leader already. */
    return setsid() > 0 || errno == EPERM || err_errno(err, errno, "start a session");
}

static bool tell_running(struct jail *j, struct err *err)
{
    CLEANUP(closep) int self = pidfd_open(getpid(), 0);
    int fds[2] = {j->qemu.pidfd, self};

    if (self < 0)
        return err_errno(err, errno, "hold the jail's own process");
    return tell(JAIL_RUNNING, NULL, 0, fds, 2, err);
}

static void keep_one(struct jail *j, const struct jail_request *r, int *fds)
{
    for (unsigned i = 0; i < r->n_fds; i++)
        if (r->fds[i].target == JAIL_TARGET_KEEP)
            j->kept = TAKE_FD(fds[i]);
}

static bool handle_run(struct jail *j, struct frame *f, struct err *err)
{
    static struct jail_request request;

    if (j->qemu.pid)
        return err_set(err, ERR_WRONG_STATE, "the jail runs a program already");
    if (!jail_request_read(f->payload, f->head.length, f->head.n_fds, &request, err))
        return false;
    drop_nesting();
    if (!FAILPOINT("jail.root", err) ||
        !jail_root_build(&request, f->fds, j->kvm_path, JAIL_FD_PRELOAD, err) ||
        !FAILPOINT_AROUND("jail.qemu", jail_child_start(&request, f->fds, &j->qemu, err), err))
        return false;
    close(JAIL_FD_PRELOAD);
    keep_one(j, &request, f->fds);
    frame_close_fds(f); /* QEMU's locks on its images must end with QEMU */
    return tell_running(j, err);
}

static bool handle_seal(struct jail *j, struct err *err)
{
    if (!j->qemu.pid || j->sealed)
        return err_set(err, ERR_WRONG_STATE, "the jail cannot be sealed now");
    if (!FAILPOINT("jail.seal", err))
        return false;
    /* CAP_KILL, over its own namespace only, is what JAIL_KILL needs: QEMU has another uid. */
    if (!jail_root_seal(err) || !drop_gains(err) ||
        !drop_capabilities(UINT64_C(1) << CAP_KILL, err) || !drop_files(false, err))
        return false;
    j->sealed = true;
    return FAILPOINT("jail.sealed", err) && tell(JAIL_SEALED, NULL, 0, NULL, 0, err);
}

static bool handle(struct jail *j, struct frame *f, struct err *err)
{
    if (f->head.type == JAIL_RUN)
        return handle_run(j, f, err);
    if (f->head.n_fds)
        return err_set(err, ERR_INVALID, "descriptors came with a request that takes none");
    if (f->head.type == JAIL_SEAL)
        return handle_seal(j, err);
    if (f->head.type == JAIL_KILL && j->qemu.pid)
        return pidfd_send_signal(j->qemu.pidfd, SIGKILL, NULL, 0) == 0 || errno == ESRCH ||
               err_errno(err, errno, "kill QEMU");
    return err_set(err, ERR_INVALID, "request %u makes no sense now", f->head.type);
}

static void serve_worker(struct jail *j)
{
    struct err err = {0};
    struct frame f;
    int got = frame_fill(&j->in, &err);

    if (got <= 0)
        _exit(0); /* the worker is gone: so is the VM */
    while ((got = frame_next(&j->in, &f, &err)) > 0) {
        bool ok = handle(j, &f, &err);
        frame_close_fds(&f);
        if (!ok)
            give_up(&err);
    }
    if (got < 0)
        give_up(&err);
}

/* Reaps whatever ended; when it was QEMU, reports its status and ends the jail. */
static void reap(struct jail *j)
{
    struct err err = {0};
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        int32_t word = status;
        if (pid != j->qemu.pid)
            continue;
        err_ignore(tell(JAIL_EXITED, &word, sizeof word, NULL, 0, &err), &err);
        _exit(0);
    }
}

static _Noreturn void serve(struct jail *j)
{
    for (;;) {
        struct pollfd p[] = {
            {.fd = JAIL_FD_LIFELINE},
            {.fd = JAIL_FD_WORKER, .events = POLLIN},
            {.fd = j->qemu.pid ? j->qemu.pidfd : -1, .events = POLLIN},
        };
        if (poll(p, ARRAY_LEN(p), -1) < 0) {
            if (errno == EINTR)
                continue;
            _exit(1);
        }
        if (p[0].revents)
            _exit(0); /* nobody can write to the lifeline: it hung up */
        if (p[2].revents)
            reap(j);
        if (p[1].revents)
            serve_worker(j);
    }
}

int main(int argc, char **argv)
{
    struct jail jail = {.kept = -1,
                        .in = {.sock = JAIL_FD_WORKER, .max_payload = JAIL_MAX_PAYLOAD}};
    struct rlimit no_core = {0, 0};
    struct err err = {0};

    prctl(PR_SET_NAME, "vmmd-jail", 0, 0, 0); /* executed by descriptor, it would be called "9" */
    log_init("vmmd-jail");
    if (argc == 3 && strcmp(argv[1], "--kvm") == 0)
        jail.kvm_path = argv[2];
    else if (argc != 1)
        return 64;
    close_range(JAIL_FD_PRELOAD + 1, ~0u, 0);
    setrlimit(RLIMIT_CORE, &no_core);
    FAILPOINT_KEEP(); /* there is no way out of its root */
    if (!settle_in(&err))
        give_up(&err);
    serve(&jail);
}
