/* vmmd-net: the process that a guest's passt runs under. It is pid 1 of a namespace of its own, has
 * a uid that no other VM has and no right at all, and sees next to no file (vmmd/priv/view.h). It
 * starts passt when its worker says with which words, and stays for two things: to say how passt
 * has ended, and to take it along when the worker is gone. No word of the guest's comes here.
 *
 * Of the worker it believes nothing: the words are looked for in net/passt.c's table again. Once
 * passt runs it is locked in (room.h), since a passt that was taken over has the same uid.
 *
 * Usage: vmmd-net      descriptors: enum net_fd. Executed by the helper (docs/processes.md). */
#include "core/base/frame.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "net/passt.h"
#include "vmmd/net/child.h"
#include "vmmd/net/proto.h"
#include "vmmd/net/room.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static bool harden(struct err *err)
{
    struct rlimit none = {0, 0};

    signal(SIGPIPE, SIG_IGN);
    if (setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_errno(err, errno, "limit vmmd-net");
#ifndef VMMD_FAILPOINTS /* sanitizers and debuggers of test builds need it */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return err_errno(err, errno, "limit vmmd-net");
#endif
    if (fcntl(NET_FD_WORKER, F_SETFD, FD_CLOEXEC) < 0 || close_range(NET_FD_WORKER + 1, ~0u, 0) < 0)
        return err_errno(err, errno, "keep the worker's socket alone");
    return true;
}

/* The words lie behind one another. */
static bool read_words(const struct frame *f, const char *words[PASST_MAX_OPTIONS], unsigned *n,
                       struct err *err)
{
    const char *end = f->payload + f->head.length;

    if (f->head.type != NET_RUN || f->head.n_fds != NET_ATTACHED ||
        (f->head.length && end[-1] != 0))
        return err_set(err, ERR_INVALID, "what the worker asks makes no sense");
    *n = 0;
    for (const char *at = f->payload; at < end; at += strlen(at) + 1) {
        if (*n == PASST_MAX_OPTIONS)
            return err_set(err, ERR_INVALID, "more than %d words for passt", PASST_MAX_OPTIONS);
        words[(*n)++] = at;
    }
    return true;
}

static bool run_passt(struct frame *f, struct err *err)
{
    const char *words[PASST_MAX_OPTIONS], *argv[PASST_MAX_ARGS];
    CLEANUP(closep) int pidfd = -1;
    unsigned n;

    if (!read_words(f, words, &n, err) || !passt_argv(words, n, argv, err))
        return false;
    pidfd = net_child_start(argv, f->fds[NET_SOCK], f->fds[NET_MESSAGES], err);
    if (pidfd < 0)
        return false;
    frame_close_fds(f); /* the guest's socket is passt's alone */
    if (pidfd == NET_FD_PASST) {
        pidfd = -1; /* it is where it belongs */
        return true;
    }
    return dup2(pidfd, NET_FD_PASST) == NET_FD_PASST || err_errno(err, errno, "hold passt");
}

/* False: the worker went before it asked for anything. */
static bool begin(struct err *err)
{
    struct frame_reader in = {.sock = NET_FD_WORKER, .max_payload = NET_MAX_PAYLOAD};
    struct frame f;
    bool ok = frame_read(&in, &f, err);

    if (ok) {
        ok = run_passt(&f, err);
        frame_close_fds(&f);
    }
    frame_reader_clear(&in);
    return ok && net_lock(err);
}

/* Until passt or the worker goes; from here on only what the room has. */
static int stay(void)
{
    struct pollfd p[] = {{.fd = NET_FD_WORKER, .events = POLLIN},
                         {.fd = NET_FD_PASST, .events = POLLIN}};
    int status = 0;

    while (ppoll(p, ARRAY_LEN(p), NULL, NULL) < 0)
        if (errno != EINTR)
            return 70;
    if (!p[0].revents && wait4(-1, &status, 0, NULL) > 0 &&
        write(NET_FD_WORKER, &(int32_t){status}, sizeof(int32_t)) < 0)
        return 70;
    return 0;
}

int main(int argc, char **argv)
{
    struct err err = {0};

    (void)argv;
    prctl(PR_SET_NAME, "vmmd-net", 0, 0, 0); /* executed by descriptor, it would be called "9" */
    log_init("vmmd-net");
    if (argc != 1)
        return 64;
    if (!harden(&err) || !begin(&err)) {
        if (err.code != ERR_UNAVAILABLE)
            log_error("%s", err.detail);
        _exit(err.code == ERR_UNAVAILABLE ? 0 : 70);
    }
    /* Not even _exit(): what hangs on it makes calls that the room does not have. */
    return (int)syscall(SYS_exit_group, stay());
}
