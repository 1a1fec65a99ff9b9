/* Stand-ins for the programs that vmmd starts: see standin.h. */
#include "tests/lib/standin.h"

#include "core/base/frame.h"
#include "core/base/fs.h"
#include "core/base/sock.h"
#include "core/base/str.h"
#include "vmmd/config/config.h"
#include "vmmd/front/proto.h"
#include "vmmd/priv/proto.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* "0 1 2 3" */
static void list_fds(char *out, size_t size)
{
    DIR *d = opendir("/proc/self/fd");
    size_t at = 0;
    bool have[256] = {false};

    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.' && atoi(e->d_name) != dirfd(d))
            have[atoi(e->d_name) & 255] = true;
    closedir(d);
    out[0] = 0;
    for (unsigned i = 0; i < ARRAY_LEN(have) && at + 5 < size; i++)
        if (have[i])
            at += (size_t)snprintf(out + at, size - at, at ? " %u" : "%u", i);
}

static void *echo_all(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char buffer[4096];
    struct err err = {0};
    ssize_t n;

    while ((n = read(fd, buffer, sizeof buffer)) > 0)
        if (!fs_write_all(fd, buffer, (size_t)n, &err))
            break;
    close(fd);
    return NULL;
}

/* Echoes what the clients of the front send. */
static void *serve_front(void *arg)
{
    struct front_conn conn;
    struct err err = {0};
    pthread_t thread;

    for (;;) {
        int fd = -1;
        if (sock_recv(MAIN_FD_FRONT, &conn, sizeof conn, &fd, 1, NULL, &err) != sizeof conn)
            return NULL;
        pthread_create(&thread, NULL, echo_all, (void *)(intptr_t)fd);
        pthread_detach(thread);
    }
}

static void answer(int client, const char *fds)
{
    static char reply[sizeof(struct priv_reply)];
    struct frame_reader in = {.sock = client};
    struct frame_header head = {0};
    struct frame f;
    struct err err = {0};
    unsigned n_fds = 0;
    int fd = -1;
    ssize_t n = 0;

    if (!frame_read(&in, &f, &err))
        return;
    if (f.head.type == ASK_EXIT)
        _exit(f.payload[0]);
    if (f.head.type == ASK_STUBBORN)
        signal(SIGTERM, SIG_IGN);
    if (f.head.type == ASK_FDS)
        n = (ssize_t)str_copy(reply, sizeof reply, fds);
    if (f.head.type == ASK_HELPER) {
        if (!sock_send(MAIN_FD_PRIV, f.payload, f.head.length, NULL, 0, &err))
            _exit(EXIT_INTERNAL);
        n = sock_recv(MAIN_FD_PRIV, reply, sizeof reply, &fd, 1, &n_fds, &err);
        if (n <= 0)
            _exit(EXIT_INTERNAL);
    }
    head.length = (uint32_t)n;
    head.n_fds = (uint16_t)n_fds;
    err_ignore(frame_send(client, &head, reply, &fd, &err), &err);
    closep(&fd);
    frame_reader_clear(&in);
}

static void say_ready(void)
{
    struct priv_request ready = {.version = PRIV_VERSION, .op = PRIV_READY};
    struct priv_reply reply;
    struct err err = {0};

    if (!sock_send(MAIN_FD_PRIV, &ready, sizeof ready, NULL, 0, &err) ||
        sock_recv(MAIN_FD_PRIV, &reply, sizeof reply, NULL, 0, NULL, &err) != sizeof reply ||
        reply.error)
        _exit(EXIT_INTERNAL);
}

/* $VMMD_FAILPOINT "main.exit=N": leaves with N at once. */
_Noreturn static void play_main(void)
{
    const char *wish = getenv("VMMD_FAILPOINT");
    char fds[256];
    pthread_t thread;

    list_fds(fds, sizeof fds);
    if (wish && str_starts(wish, "main.exit="))
        _exit(atoi(wish + 10));
    say_ready();
    pthread_create(&thread, NULL, serve_front, NULL);
    for (;;) {
        struct pollfd p[] = {{.fd = MAIN_FD_UNIX, .events = POLLIN},
                             {.fd = MAIN_FD_PRIV, .events = POLLIN}};
        poll(p, 2, -1);
        if (p[1].revents)
            _exit(EXIT_INTERNAL); /* nothing was asked: the parent is gone */
        CLEANUP(closep) int client = accept4(MAIN_FD_UNIX, NULL, NULL, SOCK_CLOEXEC);
        if (client >= 0)
            answer(client, fds);
    }
}

/* Leaves when the lifeline ends, as the real one does. Says what it found to the worker. */
_Noreturn static void play_jail(int argc, char **argv)
{
    struct pollfd p = {.fd = JAIL_FD_LIFELINE, .events = POLLIN};
    struct stat node = {0};
    char fds[256], text[1024];
    int n;

    list_fds(fds, sizeof fds);
    if (argc == 3)
        stat(argv[2], &node);
    n = snprintf(text, sizeof text, "fds %s\npid %d\nkvm %s %o %u %u\n", fds, getpid(),
                 argc == 3 ? argv[1] : "-", node.st_mode, node.st_uid, (unsigned)node.st_rdev);
    (void)!write(JAIL_FD_WORKER, text, (size_t)n);
    poll(&p, 1, -1);
    _exit(0);
}

static void write_run_dir(const char *vm)
{
    struct err err = {0};
    int dir = fs_dir(WORKER_FD_RUN, vm, 0700, &err);
    int alive = fs_open(dir, "alive", O_RDWR | O_CREAT, 0600, &err);
    char boot[64] = "", stat_text[1024], *p, line[200];
    unsigned long long start = 0;
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY);

    (void)!read(fd, boot, 36);
    close(fd);
    fd = open("/proc/self/stat", O_RDONLY);
    stat_text[read(fd, stat_text, sizeof stat_text - 1)] = 0;
    close(fd);
    p = strrchr(stat_text, ')') + 2;
    for (int i = 3; i < 22; i++)
        p = strchr(p, ' ') + 1;
    start = strtoull(p, NULL, 10);
    flock(alive, LOCK_EX);
    snprintf(line, sizeof line, "%d %llu %s\n", getpid(), start, boot);
    err_ignore(fs_publish(dir, "pid", line, strlen(line), 0600, &err), &err);
    close(dir); /* 'alive' stays open */
}

/* Tells main what it and its jail found, then lives until it is killed. */
_Noreturn static void play_worker(const char *vm)
{
    char fds[256], jail[1024], text[2048];
    ssize_t n;

    list_fds(fds, sizeof fds);
    n = read(WORKER_FD_JAIL, jail, sizeof jail - 1);
    jail[n > 0 ? n : 0] = 0;
    write_run_dir(vm);
    n = snprintf(text, sizeof text, "worker %d\nvm %s\nworker fds %s\njail %s", getpid(), vm, fds,
                 jail);
    signal(SIGPIPE, SIG_IGN);
    (void)!write(WORKER_FD_MAIN, text, (size_t)n);
    for (;;)
        pause();
}

void standin_play(int argc, char **argv)
{
    if (str_eq(argv[0], "vmmd-main"))
        play_main();
    if (str_eq(argv[0], "vmmd-worker"))
        play_worker(argv[1]);
    if (str_eq(argv[0], "vmmd-jail"))
        play_jail(argc, argv);
}
