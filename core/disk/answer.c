/* See answer.h. A process of its own writes, since nobody can end a thread that waits for storage,
 * and a daemon with such a thread could not end either. The process does when the storage answers,
 * whether somebody waits for it still or not. */
#include "core/disk/answer.h"

#include "core/base/fs.h"
#include "core/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOK_MS 200

/* A copy of a process with many threads: it may do nothing but call the kernel. What else was open
 * is closed first, or locks of images would hang on it as well. */
static _Noreturn void write_to(int fd)
{
    if (dup2(fd, 0) < 0 || close_range(1, ~0u, 0) < 0)
        _exit(1);
    if (futimens(0, NULL) == 0)
        (void)fsync(0);
    _exit(0);
}

static bool has_ended(int pidfd)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};

    return poll(&p, 1, LOOK_MS) > 0;
}

bool answer_await(struct core *core, const struct layer *file, bool *did)
{
    struct err none = {0};
    CLEANUP(closep) int fd = layer_open(file, O_RDONLY, &none);
    CLEANUP(closep) int pidfd = -1;
    pid_t pid = fd < 0 ? -1 : fork();

    if (pid == 0)
        write_to(fd);
    *did = pid > 0;
    if (pid < 0)
        return true;
    pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    while (pidfd >= 0 && !has_ended(pidfd)) {
        if (!atomic_load(&core->closing))
            continue;
        log_warn("the storage of a file does not answer: leaving it to the next start");
        return false;
    }
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return true;
}
