/* vmmd-pack, started for one memory image: see core/port/image.h and backends/qemu/pack_wire.h. */
#include "backends/qemu/pack_wire.h"
#include "backends/qemu/qemu.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/port/image.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define OUT_OF_THE_WAY 10 /* of the numbers that the program has its descriptors at */

static char *program; /* set before there are threads */

void image_pack_init(const char *path)
{
    free(program);
    program = str_dup(path);
}

static bool spawn(char *const argv[], const int fds[3], pid_t *pid, struct err *err)
{
    char *env[] = {NULL};
    posix_spawn_file_actions_t actions;
    int e;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    for (int i = 0; i < 3; i++)
        posix_spawn_file_actions_adddup2(&actions, fds[i], PACK_FD_FROM + i);
    e = program ? posix_spawn(pid, program, &actions, NULL, argv, env) : ENOENT;
    posix_spawn_file_actions_destroy(&actions);
    return e == 0 || err_errno(err, e, "start vmmd-pack");
}

/* Copies with high numbers, of which none is in the way of another. */
static bool start(char *const argv[], int from, int to, int report, pid_t *pid, struct err *err)
{
    const int given[3] = {from, to, report};
    int fds[3];
    bool ok = true;

    for (int i = 0; i < 3; i++) {
        fds[i] = fcntl(given[i], F_DUPFD_CLOEXEC, OUT_OF_THE_WAY);
        ok &= fds[i] >= 0;
    }
    ok = ok ? spawn(argv, fds, pid, err) : err_errno(err, errno, "start vmmd-pack");
    for (int i = 0; i < 3; i++)
        closep(&fds[i]);
    return ok;
}

static bool judge(const struct pack_report *r, struct err *err)
{
    switch (r->outcome) {
    case PACK_DONE:
        return true;
    case PACK_MALFORMED:
        return err_set(err, ERR_UNSUPPORTED, "%.150s", r->detail);
    case PACK_NO_SPACE:
        return err_set(err, ERR_NO_SPACE, "the pool is full");
    default:
        return err_set(err, ERR_INTERNAL, "%.150s", r->detail);
    }
}

/* Until it is over, or not wanted any more. */
static bool listen_to(int fd, image_tell *tell, void *ctx, struct err *err)
{
    struct pack_report r;

    for (;;) {
        ssize_t n = read(fd, &r, sizeof r);
        if (n < 0 && errno == EINTR)
            continue;
        if (n != (ssize_t)sizeof r || r.version != 1)
            return err_set(err, ERR_INTERNAL, "vmmd-pack ended before its work");
        r.detail[sizeof r.detail - 1] = 0;
        if (r.outcome != PACK_GOES_ON)
            return judge(&r, err);
        if (!tell(ctx, r.bytes, err))
            return false;
    }
}

static bool run(char *const argv[], int from, int to, image_tell *tell, void *ctx, struct err *err)
{
    CLEANUP(closep) int in = -1;
    CLEANUP(closep) int out = -1;
    int ends[2], status;
    pid_t pid;
    bool ok;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_errno(err, errno, "make a pipe");
    in = ends[0];
    out = ends[1];
    if (!start(argv, from, to, out, &pid, err))
        return false;
    closep(&out);
    ok = listen_to(in, tell, ctx, err);
    if (!ok)
        kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return ok;
}

bool image_pack(int from, int to, image_tell *tell, void *ctx, struct err *err)
{
    char *argv[] = {(char *)"vmmd-pack", (char *)"pack", NULL};

    return run(argv, from, to, tell, ctx, err);
}

bool image_unpack(int from, int to, uint64_t max_bytes, image_tell *tell, void *ctx,
                  struct err *err)
{
    CLEANUP(mem_freep) char *max = str_format("%llu", (unsigned long long)max_bytes);
    char *argv[] = {(char *)"vmmd-pack", (char *)"unpack", max, NULL};

    return run(argv, from, to, tell, ctx, err);
}
