/* A minimal spawner of workers: see spawn.h. The real one is vmmd/priv. */
#include "tests/lib/spawn.h"
#include "vmmd/filter/filter.h"

#include "core/base/clock.h"
#include "core/base/str.h"
#include "tests/lib/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAMESPACES                                                                                 \
    (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |     \
     CLONE_NEWCGROUP)

/* In the child: any failure ends it with a word on stderr. */
#define NEED(ok)                                                                                   \
    do {                                                                                           \
        if (!(ok)) {                                                                               \
            dprintf(2, "spawn: %s: %s\n", #ok, strerror(errno));                                   \
            _exit(99);                                                                             \
        }                                                                                          \
    } while (0)

static int open_program(const char *name)
{
    const char *bin = getenv("VMMD_BIN");
    char *path = str_format("%s/%s", bin ? bin : ".", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        fail_msg("cannot open %s (is VMMD_BIN set?)", path);
    free(path);
    return fd;
}

/* Becomes the program 'exe' with fds[i] as descriptor 3 + i and nothing else above stderr. */
static void become(int exe, const char *name, const char *vm, const int *fds, int n)
{
    const char *argv[] = {name, vm, vm ? "--net" : NULL, NULL};
    int parked[8];

    exe = fcntl(exe, F_DUPFD_CLOEXEC, 100);
    NEED(exe >= 0);
    for (int i = 0; i < n; i++)
        NEED((parked[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 100)) >= 0);
    for (int i = 0; i < n; i++)
        NEED(dup2(parked[i], 3 + i) >= 0);
    NEED(close_range((unsigned)(3 + n), ~0u, CLOSE_RANGE_CLOEXEC) == 0);
    execveat(exe, "", (char *const *)argv, environ, AT_EMPTY_PATH);
    NEED(!"execveat");
}

static void write_file(pid_t pid, const char *name, const char *text)
{
    char path[64];
    int fd;

    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    NEED((fd = open(path, O_WRONLY | O_CLOEXEC)) >= 0);
    NEED(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

static void write_maps(pid_t jail, bool rootless)
{
    char map[32];

    snprintf(map, sizeof map, "0 %d %d", rootless ? SPAWN_ROOTLESS_UID : SPAWN_JAIL_UID,
             rootless ? 1 : 2);
    if (rootless)
        write_file(jail, "setgroups", "deny");
    write_file(jail, "uid_map", map);
    write_file(jail, "gid_map", map);
}

static void drop_to(uid_t uid)
{
    NEED(setgroups(0, NULL) == 0);
    NEED(setresgid(uid, uid, uid) == 0 && setresuid(uid, uid, uid) == 0);
    NEED(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0); /* its /proc files belong to it again */
}

static pid_t start_jail(int exe, int preload, int sock, int lifeline, bool rootless)
{
    int go[2];
    char byte = 0;
    pid_t jail;

    NEED(pipe2(go, O_CLOEXEC) == 0);
    jail = (pid_t)syscall(SYS_clone, NAMESPACES | SIGCHLD, 0, 0, 0, 0);
    NEED(jail >= 0);
    if (jail == 0) {
        int fds[3] = {sock, lifeline, preload};
        NEED(read(go[0], &byte, 1) == 1);
        /* Before exec: one that is not the namespace's root would lose its capabilities there. */
        NEED(setresgid(0, 0, 0) == 0 && setresuid(0, 0, 0) == 0);
        become(exe, "vmmd-jail", NULL, fds, 3);
    }
    write_maps(jail, rootless);
    NEED(write(go[1], &byte, 1) == 1);
    close(go[0]);
    close(go[1]);
    return jail;
}

/* Opened before anything is forked. */
struct programs {
    int worker, jail, preload, split, net;
};

/* Without the root of its own that the helper gives it: what it needs is a namespace to be the
 * first of. */
static void start_net(int exe, int sock, bool rootless)
{
    pid_t pid = (pid_t)syscall(SYS_clone, (rootless ? 0 : CLONE_NEWPID) | SIGCHLD, 0, 0, 0, 0);

    NEED(pid >= 0);
    if (pid)
        return;
    if (!rootless)
        drop_to(SPAWN_NET_UID);
    become(exe, "vmmd-net", NULL, (int[]){sock}, 1);
}

static void run_worker(const struct spawned *s, const struct programs *p, int run, int main_sock,
                       int tell)
{
    int pair[2], net[2], lifeline[2];
    struct err err = {0};
    pid_t pid;

    NEED(filter_refuse_rare(&err)); /* what vmmd has set for itself goes on to all of them */
    if (s->rootless)
        drop_to(SPAWN_ROOTLESS_UID);
    NEED(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    NEED(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, net) == 0);
    NEED(pipe2(lifeline, O_CLOEXEC) == 0);
    pid = start_jail(p->jail, p->preload, pair[1], lifeline[0], s->rootless);
    start_net(p->net, net[1], s->rootless);
    NEED(write(tell, &pid, sizeof pid) == sizeof pid);
    if (!s->rootless)
        drop_to(SPAWN_WORKER_UID);
    NEED(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0); /* a test that fails leaves nothing */
    become(p->worker, "vmmd-worker", s->vm,
           (int[]){main_sock, pair[0], lifeline[1], run, p->split, net[0]}, 6);
}

void spawn_again(struct spawned *s)
{
    struct programs p = {open_program("vmmd-worker"), open_program("vmmd-jail"),
                         open_program("vmmd-preload.so"), open_program("vmmd-split"),
                         open_program("vmmd-net")};
    int run = open(s->run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int pair[2], tell[2];

    assert_true(run >= 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(pipe2(tell, O_CLOEXEC), 0);
    s->worker = fork();
    if (s->worker == 0)
        run_worker(s, &p, run, pair[1], tell[1]);
    close(tell[1]);
    close(pair[1]);
    s->main = pair[0];
    if (read(tell[0], &s->jail, sizeof s->jail) != sizeof s->jail)
        fail_msg("the worker could not be started");
    close(tell[0]);
    close(p.worker);
    close(p.jail);
    close(p.preload);
    close(p.split);
    close(p.net);
    close(run);
}

void spawn_worker(struct spawned *s, bool rootless)
{
    struct uuid id = uuid_new();
    uid_t owner = rootless ? SPAWN_ROOTLESS_UID : SPAWN_WORKER_UID;

    *s = (struct spawned){.rootless = rootless, .run = tmp_dir_make()};
    uuid_text(&id, s->vm);
    if (chown(s->run, owner, owner) < 0)
        fail_msg("these tests need root");
    spawn_again(s);
}

int spawn_wait(struct spawned *s, int within_ms)
{
    int pidfd = pidfd_open(s->worker, 0), status = 0;
    struct pollfd p = {.fd = pidfd, .events = POLLIN};

    if (poll(&p, 1, within_ms) != 1)
        fail_msg("the worker does not end within %d ms", within_ms);
    close(pidfd);
    assert_int_equal(waitpid(s->worker, &status, 0), s->worker);
    s->worker = 0;
    close(s->main);
    s->main = -1;
    return status;
}

void spawn_clear(struct spawned *s)
{
    if (s->worker > 0) {
        kill(s->worker, SIGKILL);
        waitpid(s->worker, NULL, 0);
    }
    if (s->main >= 0)
        close(s->main);
    tmp_dir_remove(s->run);
}

char *spawn_path(const struct spawned *s, const char *name)
{
    return str_format("%s/%s/%s", s->run, s->vm, name);
}
