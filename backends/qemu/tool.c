/* See tool.h. */
#include "backends/qemu/tool.h"

#include "core/base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#define FIRST_FD       3
#define OUT_OF_THE_WAY 16 /* of the numbers that a program has its descriptors at */

static bool spawn(const char *program, char *const argv[], const int *fds, size_t n, pid_t *pid,
                  struct err *err)
{
    char *env[] = {NULL};
    posix_spawn_file_actions_t actions;
    int e;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    for (size_t i = 0; i < n; i++)
        posix_spawn_file_actions_adddup2(&actions, fds[i], FIRST_FD + (int)i);
    e = program ? posix_spawn(pid, program, &actions, NULL, argv, env) : ENOENT;
    posix_spawn_file_actions_destroy(&actions);
    return e == 0 || err_errno(err, e, "start %s", argv[0]);
}

/* Copies with high numbers, of which none is in the way of another. */
static bool start(const char *program, char *const argv[], const int *given, size_t n, pid_t *pid,
                  struct err *err)
{
    int fds[TOOL_FDS_MAX];
    bool ok = true;

    for (size_t i = 0; i < n; i++) {
        fds[i] = fcntl(given[i], F_DUPFD_CLOEXEC, OUT_OF_THE_WAY);
        ok &= fds[i] >= 0;
    }
    ok = ok ? spawn(program, argv, fds, n, pid, err) : err_errno(err, errno, "start %s", argv[0]);
    for (size_t i = 0; i < n; i++)
        closep(&fds[i]);
    return ok;
}

bool tool_start(const char *program, char *const argv[], const int *given, size_t n, int *report,
                pid_t *pid, struct err *err)
{
    int all[TOOL_FDS_MAX], ends[2];
    bool ok;

    if (n >= TOOL_FDS_MAX)
        return err_set(err, ERR_INTERNAL, "%s cannot have that many descriptors", argv[0]);
    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_errno(err, errno, "make a pipe");
    for (size_t i = 0; i < n; i++)
        all[i] = given[i];
    all[n] = ends[1];
    ok = start(program, argv, all, n + 1, pid, err);
    closep(&ends[1]);
    if (ok)
        *report = ends[0];
    else
        closep(&ends[0]);
    return ok;
}

void tool_end(pid_t pid, bool now)
{
    int status;

    if (now)
        kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
}
