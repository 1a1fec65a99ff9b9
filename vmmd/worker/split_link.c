/* The worker's end of vmmd-split: see split_link.h.
 *
 * It is executed with its three descriptors, the null device on those below, an empty environment
 * and no way to get at more. Its report comes over a pipe; the pipe's end is its end, whatever the
 * reason. It dies with the worker, which holds the stream's reading end as well: QEMU does not
 * notice that a splitter is gone before it is known what becomes of the rest. */
#include "vmmd/worker/split_link.h"

#include "core/base/fs.h"
#include "core/base/sock.h"
#include "vmmd/worker/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ASIDE 10 /* out of the way of the numbers that it finds its descriptors under */

#ifndef VMMD_FAILPOINTS /* sanitizers of test builds need more */
#define MEMORY_BYTES (64u << 20)
#endif

void split_init(struct worker *w)
{
    w->split.program = w->split.pidfd = w->split.report = w->split.again = -1;
}

static bool limit(int resource, rlim_t most)
{
    const struct rlimit both = {most, most};

    return setrlimit(resource, &both) == 0;
}

static bool limit_all(void)
{
#ifdef MEMORY_BYTES
    if (!limit(RLIMIT_AS, MEMORY_BYTES))
        return false;
#endif
    return limit(RLIMIT_CORE, 0);
}

/* Puts fds[i] under the number 'at' + i. */
static bool arrange(const int *fds, unsigned n, int at)
{
    for (unsigned i = 0; i < n; i++)
        if (dup2(fds[i], at + (int)i) < 0)
            return false;
    return true;
}

/* Between fork and exec: only what is safe there. 'parent' notices a parent that died meanwhile. */
static _Noreturn void run(int program, const int *given, char *const *argv, pid_t parent)
{
    static char *const environment[] = {NULL};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC), fds[6];
    sigset_t none;

    sigemptyset(&none);
    for (int s = 1; s < NSIG; s++)
        signal(s, SIG_DFL);
    if (null < 0 || sigprocmask(SIG_SETMASK, &none, NULL) < 0 ||
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent)
        _exit(1);
    program = fcntl(program, F_DUPFD_CLOEXEC, ASIDE);
    for (unsigned i = 0; i < 6; i++) {
        fds[i] = fcntl(i < 3 ? null : given[i - 3], F_DUPFD_CLOEXEC, ASIDE);
        if (fds[i] < 0)
            _exit(1);
    }
#ifdef VMMD_FAILPOINTS
    fds[2] = 2; /* where sanitizers of test builds say what they found */
#endif
    if (program < 0 || !arrange(fds, 6, 0) ||
        close_range(SPLIT_FD_REPORT + 1, ~0u, CLOSE_RANGE_CLOEXEC) < 0 || !limit_all())
        _exit(1);
    syscall(SYS_execveat, program, "", argv, environment, AT_EMPTY_PATH);
    _exit(127);
}

static bool fork_it(struct worker *w, const int *given, uint64_t ram_bytes, struct err *err)
{
    char size[24], name[] = "vmmd-split";
    char *const argv[] = {name, size, NULL};
    pid_t self = getpid(), pid;

    snprintf(size, sizeof size, "%" PRIu64, ram_bytes);
    pid = fork();
    if (pid == 0)
        run(w->split.program, given, argv, self);
    if (pid < 0)
        return err_errno(err, errno, "start vmmd-split");
    w->split.pidfd = pidfd_open(pid, 0);
    if (w->split.pidfd >= 0)
        return true;
    err_errno(err, errno, "hold vmmd-split");
    kill(pid, SIGKILL); /* not reaped yet by anybody else: the number is still its own */
    return false;
}

bool split_start(struct worker *w, int image, uint64_t ram_bytes, int *stream, struct err *err)
{
    int pair[2], pipe_fds[2];

    if (w->split.program < 0)
        return err_set(err, ERR_UNSUPPORTED, "the VM was started without vmmd-split");
    if (!sock_pair(SOCK_STREAM, pair, err))
        return false;
    CLEANUP(closep) int qemus = pair[0];
    CLEANUP(closep) int its = pair[1];
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return err_errno(err, errno, "make a pipe");
    CLEANUP(closep) int ours = pipe_fds[0];
    CLEANUP(closep) int words = pipe_fds[1];
    const int given[] = {its, image, words};
    if (fcntl(ours, F_SETFL, O_RDONLY | O_NONBLOCK) < 0)
        return err_errno(err, errno, "make a pipe non-blocking");
    if (!fork_it(w, given, ram_bytes, err))
        return false;
    w->split.report = TAKE_FD(ours);
    w->split.again = TAKE_FD(its);
    w->split.n_said = 0;
    *stream = TAKE_FD(qemus);
    return true;
}

/* NULL: it has said nothing that can be believed. */
static const struct split_report *checked(struct split_link *s)
{
    s->said.detail[sizeof s->said.detail - 1] = 0;
    return s->n_said == sizeof s->said && s->said.version == 1 ? &s->said : NULL;
}

void split_ready(struct worker *w)
{
    struct split_link *s = &w->split;
    ssize_t n = read(s->report, (char *)&s->said + s->n_said, sizeof s->said - s->n_said);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    s->n_said += n > 0 ? (size_t)n : 0;
    if (n > 0 && s->n_said < sizeof s->said)
        return;
    closep(&s->report);
    memory_split_over(w, checked(s));
}

static void end_process(struct split_link *s)
{
    if (s->pidfd >= 0)
        pidfd_send_signal(s->pidfd, SIGKILL, NULL, 0);
    closep(&s->pidfd);
    closep(&s->report);
}

bool split_drop(struct worker *w, struct err *err)
{
    const int given[] = {w->split.again, w->split.again, w->split.again};

    end_process(&w->split);
    return w->split.again >= 0 ? fork_it(w, given, 0, err)
                               : err_set(err, ERR_INTERNAL, "there is no stream to drop");
}

void split_kill(struct worker *w)
{
    end_process(&w->split);
    closep(&w->split.again);
}
