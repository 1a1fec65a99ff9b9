/* vmmd-worker: one VM's process besides QEMU. It holds what must outlive main: QEMU's monitor, the
 * serial log, the exit record, the link to passt. It is no supervisor: it restarts nothing and
 * reads no configuration. Executed by the helper (docs/processes.md); its death ends the VM.
 *
 * main.c: this, descriptors, signals, limits. docs/rooms/worker.md has the map of the others.
 *
 * Usage: vmmd-worker UUID [--net]      descriptors: enum worker_fd */
#include "core/base/fs.h"
#include "core/base/id.h"
#include "core/base/log.h"
#include "core/base/sock.h"
#include "core/base/str.h"
#include "vmmd/priv/proto.h"
#include "vmmd/worker/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define JAIL_SEND_MS 5000

static struct worker worker;

/* A hundred idle workers should cost next to nothing: large blocks go back at once, and there is
 * one thread only. */
static void keep_memory_small(void)
{
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_MMAP_THRESHOLD, 64 << 10);
    mallopt(M_TRIM_THRESHOLD, 64 << 10);
    mallopt(M_TOP_PAD, 4 << 10);
}

static bool harden(struct err *err)
{
    struct rlimit none = {0, 0};

    umask(077);
    prctl(PR_SET_NAME, "vmmd-worker", 0, 0, 0); /* executed by descriptor, it would be called "9" */
    if (setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_errno(err, errno, "limit the worker");
#ifndef VMMD_FAILPOINTS /* sanitizers and debuggers of test builds need it */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return err_errno(err, errno, "limit the worker");
#endif
    return true;
}

static bool take_signals(struct worker *w, struct err *err)
{
    sigset_t set;

    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    if (sigprocmask(SIG_SETMASK, &set, NULL) < 0)
        return err_errno(err, errno, "block the signals");
    w->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return w->signals >= 0 || err_errno(err, errno, "receive signals");
}

/* The descriptors that the helper gave, and no other. */
static bool take_fds(struct worker *w, bool has_net, struct err *err)
{
    const int last = has_net ? WORKER_FD_NET : WORKER_FD_SPLIT;

    for (int fd = WORKER_FD_MAIN; fd <= last; fd++)
        if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
            return err_errno(err, errno, "descriptor %d is missing", fd);
    if (close_range((unsigned)last + 1, ~0u, 0) < 0)
        return err_errno(err, errno, "close other descriptors");
    if (fcntl(WORKER_FD_MAIN, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
        return err_errno(err, errno, "make main's socket non-blocking");
    w->jail.sock = w->jail.in.sock = WORKER_FD_JAIL;
    w->jail.lifeline = WORKER_FD_LIFELINE;
    w->split.program = WORKER_FD_SPLIT;
    w->net.sock = has_net ? WORKER_FD_NET : -1;
    return sock_set_timeout_ms(WORKER_FD_JAIL, JAIL_SEND_MS, err) &&
           (!has_net || sock_set_timeout_ms(WORKER_FD_NET, JAIL_SEND_MS, err));
}

static bool begin(struct worker *w, const char *vm, bool has_net, struct err *err)
{
    w->jail.qemu_pidfd = w->jail.init_pidfd = w->net.sock = -1;
    w->qmp.sock = w->words.pipe = w->words.log = w->oom.fd = w->oom.hits = -1;
    serial_init(w);
    recorder_init(w);
    split_init(w);
    memory_init(w);
    w->ending.wstatus = SIGKILL;
    daemon_init(w);
    keep_memory_small();
    if (!take_fds(w, has_net, err) || !harden(err) || !take_signals(w, err) ||
        !setup(w, vm, WORKER_FD_RUN, err))
        return false;
    close(WORKER_FD_RUN);
    daemon_add(w, WORKER_FD_MAIN);
    return true;
}

int main(int argc, char **argv)
{
    struct err err = {0};
    struct uuid vm;
    const bool has_net = argc == 3 && str_eq(argv[2], "--net");

    log_init("vmmd-worker");
    if ((argc != 2 && !has_net) || !uuid_parse(argv[1], &vm))
        return 64;
    log_set_vm(argv[1]);
    if (!begin(&worker, argv[1], has_net, &err)) {
        log_error("%s", err.detail);
        return 70;
    }
    loop_run(&worker);
    setup_clear(&worker);
    return worker.phase == WORKER_EXITED || worker.phase == WORKER_IDLE ? 0 : 70;
}
