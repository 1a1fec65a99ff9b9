/* Running a small program: see capture.h. */
#include "core/base/capture.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The first descriptor that is closed: 'fd' is 3 in the program. One that the program itself is
 * named by ("/proc/self/fd/7") must be open until it runs; it and those before it are the caller's
 * and close-on-exec. */
static int first_closed(const char *program, int fd)
{
    static const char by_fd[] = "/proc/self/fd/";
    uint64_t n;

    if (str_starts(program, by_fd) && str_to_u64(program + strlen(by_fd), &n) && n < INT32_MAX)
        return (int)n + 1;
    return fd >= 0 ? 4 : 3;
}

static void plumb(posix_spawn_file_actions_t *files, const char *program, int out, int fd)
{
    posix_spawn_file_actions_init(files);
    /* 'out' first: its own number may be 3. */
    posix_spawn_file_actions_adddup2(files, out, STDOUT_FILENO);
    if (fd >= 0)
        posix_spawn_file_actions_adddup2(files, fd, 3);
    posix_spawn_file_actions_addopen(files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addclosefrom_np(files, first_closed(program, fd));
}

static int spawn(pid_t *pid, char *const argv[], int out, int fd)
{
    static char *const env[] = {"PATH=/usr/bin:/bin", "LC_ALL=C", NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none, all;
    int e;

    sigemptyset(&none);
    sigfillset(&all);
    plumb(&files, argv[0], out, fd);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    e = posix_spawn(pid, argv[0], &files, &attr, argv, env);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&files);
    return e;
}

/* True when 'fd' has something to say before the deadline. */
static bool await(int fd, int64_t deadline_ms)
{
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int n = poll(&p, 1, (int)clock_left_ms(deadline_ms));
        if (n >= 0 || errno != EINTR)
            return n > 0;
    }
}

static void read_until_end(int fd, int64_t deadline_ms, struct capture *out)
{
    size_t have = 0;

    while (await(fd, deadline_ms)) {
        char drop[512];
        bool full = have == sizeof out->text - 1;
        ssize_t n = full ? read(fd, drop, sizeof drop)
                         : read(fd, out->text + have, sizeof out->text - 1 - have);
        if (n <= 0)
            break;
        if (!full)
            have += (size_t)n;
    }
    out->text[have] = 0;
}

static void reap(pid_t pid, int64_t deadline_ms, struct capture *out)
{
    CLEANUP(closep) int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

    if (pidfd < 0 || !await(pidfd, deadline_ms)) {
        out->timed_out = true;
        kill(pid, SIGKILL); /* not reaped yet: the number is still its own */
    }
    while (waitpid(pid, &out->wstatus, 0) < 0 && errno == EINTR)
        ;
}

bool capture_run(char *const argv[], int fd, int64_t limit_ms, struct capture *out, struct err *err)
{
    int64_t deadline_ms = clock_mono_ms() + limit_ms;
    int ends[2], e;
    pid_t pid;

    *out = (struct capture){0};
    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_errno(err, errno, "make a pipe");
    e = spawn(&pid, argv, ends[1], fd);
    close(ends[1]);
    if (e == 0) {
        read_until_end(ends[0], deadline_ms, out);
        reap(pid, deadline_ms, out);
    }
    close(ends[0]);
    if (e == 0)
        return true;
    err_errno(err, e, "run %s", argv[0]);
    if (e == ENOENT)
        err->code = ERR_NOT_FOUND;
    return false;
}
