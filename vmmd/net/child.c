/* passt from fork to exec: see child.h. */
#include "vmmd/net/child.h"

#include "core/base/fs.h"
#include "net/passt.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define ASIDE 10 /* out of the way of the numbers that it finds its descriptors under */

/* What it needs is far below: it is one process, it writes to sockets and a pipe alone, and opens a
 * socket for each connection of its guest. */
static const struct {
    int resource;
    rlim_t most;
} limits[] = {
    {RLIMIT_FSIZE, 0},
    {RLIMIT_CORE, 0},
    {RLIMIT_NPROC, 1},
    {RLIMIT_NOFILE, 65536},
};

/* A limit that is lower already stays. */
static bool limit_all(void)
{
    struct rlimit now;

    for (unsigned i = 0; i < ARRAY_LEN(limits); i++) {
        if (getrlimit(limits[i].resource, &now) < 0)
            return false;
        now.rlim_max = now.rlim_max < limits[i].most ? now.rlim_max : limits[i].most;
        now.rlim_cur = now.rlim_cur < now.rlim_max ? now.rlim_cur : now.rlim_max;
        if (setrlimit(limits[i].resource, &now) < 0)
            return false;
    }
    return true;
}

static bool place_fds(int sock, int messages)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    messages = fcntl(messages, F_DUPFD_CLOEXEC, ASIDE);
    sock = fcntl(sock, F_DUPFD_CLOEXEC, ASIDE);
    null = fcntl(null, F_DUPFD_CLOEXEC, ASIDE);
    return messages >= 0 && sock >= 0 && null >= 0 && dup2(null, 0) == 0 && dup2(null, 1) == 1 &&
           dup2(messages, 2) == 2 && dup2(sock, PASST_FD) == PASST_FD &&
           close_range(PASST_FD + 1, ~0u, 0) == 0;
}

/* Between fork and exec: only what is safe there. 'parent' notices a parent that died meanwhile. */
static _Noreturn void run(const char *const *argv, int sock, int messages, pid_t parent)
{
    static char *const environment[] = {"PATH=/usr/bin", "LC_ALL=C", NULL};
    sigset_t none;

    sigemptyset(&none);
    for (int s = 1; s < NSIG; s++)
        signal(s, SIG_DFL);
    if (sigprocmask(SIG_SETMASK, &none, NULL) < 0 ||
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent ||
        !place_fds(sock, messages) || !limit_all())
        _exit(1);
    execve(argv[0], (char *const *)argv, environment);
    _exit(127);
}

int net_child_start(const char *const *argv, int sock, int messages, struct err *err)
{
    const pid_t self = getpid(), pid = fork();
    int pidfd;

    if (pid == 0)
        run(argv, sock, messages, self);
    if (pid < 0) {
        err_errno(err, errno, "start passt");
        return -1;
    }
    pidfd = pidfd_open(pid, 0);
    if (pidfd < 0) {
        err_errno(err, errno, "hold passt's process");
        kill(pid, SIGKILL); /* not reaped yet by anybody else: the number is still its own */
    }
    return pidfd;
}
