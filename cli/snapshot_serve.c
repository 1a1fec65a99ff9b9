/* vmmctl snapshot serve: a disk of a snapshot for programs on this machine that speak NBD.
 *
 *   program ─► unix socket of ours ─► a thread ─► a connection to the service (cli/tunnel.h)
 *
 * Each connection has its own. Ctrl-C ends them all. */
#include "cli/snapshot.h"

#include "cli/interrupt.h"
#include "cli/tunnel.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/base/thread.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

const struct flag snapshot_serve_flags[] = {
    {"disk", 0, "N", "which of the VM's disks, from 0 on (default 0)"},
    {"listen", 0, "PATH", "the unix socket to make (default VM-SNAPSHOT.sock here)"},
    {0},
};

struct server {
    struct cli *cli;
    char *path; /* of the request */
    struct sockaddr_un at;
    int listening;
    struct lock lock;
    struct cond changed;
    unsigned clients GUARDED_BY(lock);
};

struct client {
    struct server *server;
    int fd;
};

static void *client_main(void *arg)
{
    struct client *c = arg;
    struct server *s = c->server;
    struct fault fault = {0};

    if (!tunnel_run(&s->cli->connection, s->path, "nbd", c->fd, interrupt_fd(), &fault)) {
        lock_take(&s->lock);
        cli_say(s->cli, "a connection was not served: %s", fault.detail);
        lock_drop(&s->lock);
    }
    closep(&c->fd);
    free(c);
    lock_take(&s->lock);
    s->clients--;
    cond_wake_all(&s->changed);
    lock_drop(&s->lock);
    return NULL;
}

static void begin_client(struct server *s, int fd)
{
    struct client *c = mem_alloc(sizeof *c);
    struct err err = {0};

    *c = (struct client){s, fd};
    lock_take(&s->lock);
    s->clients++;
    lock_drop(&s->lock);
    if (thread_start_detached("nbd", client_main, c, &err))
        return;
    cli_say(s->cli, "a connection was not served: %s", err.detail);
    closep(&c->fd);
    free(c);
    lock_take(&s->lock);
    s->clients--;
    lock_drop(&s->lock);
}

static bool listen_at(struct server *s, const char *path, struct fault *fault)
{
    mode_t before;
    bool ok;

    s->at.sun_family = AF_UNIX;
    if (strlen(path) >= sizeof s->at.sun_path)
        return fault_set(fault, CLI_USAGE, "the path of a socket has %zu characters at most",
                         sizeof s->at.sun_path - 1);
    str_copy(s->at.sun_path, sizeof s->at.sun_path, path);
    s->listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    before = umask(0177); /* for this user alone */
    ok = s->listening >= 0 && bind(s->listening, (struct sockaddr *)&s->at, sizeof s->at) == 0;
    umask(before);
    return (ok && listen(s->listening, 8) == 0) ||
           fault_set(fault, CLI_FAILED, "%.100s: %s", path, strerror(errno));
}

/* Until a signal comes. */
static void serve(struct server *s)
{
    while (interrupt_or_input(s->listening)) {
        int fd = accept4(s->listening, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            begin_client(s, fd);
    }
    lock_take(&s->lock);
    while (s->clients)
        cond_wait(&s->changed, &s->lock);
    lock_drop(&s->lock);
}

static char *request_path(struct cli *cli, struct fault *fault)
{
    const char *disk = args_text(cli->args, "disk");
    CLEANUP(mem_freep) char *found = NULL;

    if (disk && (!*disk || strspn(disk, "0123456789") != strlen(disk) || strlen(disk) > 3)) {
        fault_set(fault, CLI_USAGE, "--disk takes a number");
        return NULL;
    }
    found = snapshot_path(cli, fault);
    return found ? str_format("%s/nbd?disk=%s", found, disk ? disk : "0") : NULL;
}

bool snapshot_serve_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep)
    char *usual = str_format("%s-%s.sock", cli_word(cli, 0), cli_word(cli, 1));
    const char *path = args_text(cli->args, "listen") ? args_text(cli->args, "listen") : usual;
    CLEANUP(mem_freep) char *request = request_path(cli, fault);
    struct server s = {.cli = cli, .path = request, .listening = -1};
    bool ok = request && listen_at(&s, path, fault);

    if (ok) {
        lock_init(&s.lock);
        cond_init(&s.changed);
        cli_say(cli, "nbd+unix:///?socket=%s shows the disk, until Ctrl-C", path);
        serve(&s);
        (void)unlink(path);
        interrupt_clear(); /* that is how it is meant to end */
        cond_clear(&s.changed);
        lock_clear(&s.lock);
    }
    closep(&s.listening);
    return ok;
}
