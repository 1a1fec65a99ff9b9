/* What a worker puts into its run directory: the lock, its pid, its socket. */
#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "vmmd/worker/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PID_FILE "pid" /* "<pid> <start time> <boot id>": for whoever must end us by force */
#define LOCK_MS  2000  /* who looks whether we live holds the lock for a moment */

static bool read_text(const char *path, char *out, size_t size, struct err *err)
{
    CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);

    if (n < 0)
        return err_errno(err, errno, "read %s", path);
    out[n] = 0;
    out[strcspn(out, "\n")] = 0;
    return true;
}

/* Field 22 of /proc/self/stat, counted behind the name, which may hold anything. */
static bool start_time(char out[24], struct err *err)
{
    char text[1024], *field;

    if (!read_text("/proc/self/stat", text, sizeof text, err))
        return false;
    field = strrchr(text, ')');
    for (int n = 2; field && n < 22; n++)
        field = strchr(field + 1, ' ');
    if (!field)
        return err_set(err, ERR_INTERNAL, "/proc/self/stat has another form than expected");
    field[1 + strcspn(field + 1, " ")] = 0;
    str_copy(out, 24, field + 1);
    return true;
}

static bool take_lock(struct worker *w, struct err *err)
{
    int64_t until = clock_mono_ms() + LOCK_MS;

    w->alive = fs_open(w->dir, WORKER_ALIVE, O_RDWR | O_CREAT, 0600, err);
    if (w->alive < 0)
        return false;
    while (flock(w->alive, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return err_errno(err, errno, "lock the worker's directory");
        if (clock_left_ms(until) == 0)
            return err_set(err, ERR_BUSY, "another worker of this VM is alive");
        poll(NULL, 0, 10);
    }
    return true;
}

static bool write_pid(struct worker *w, struct err *err)
{
    CLEANUP(mem_freep) char *text = NULL;
    char started[24];

    if (!start_time(started, err))
        return false;
    text = str_format("%d %s %s\n", (int)getpid(), started, w->boot_id);
    return fs_publish(w->dir, PID_FILE, text, strlen(text), 0600, err);
}

/* Bound by a relative name: the run directory's path may be longer than a socket address. */
static bool open_socket(struct worker *w, struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = WORKER_SOCK};

    w->listen = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (w->listen < 0)
        return err_errno(err, errno, "make the worker's socket");
    if (unlink(WORKER_SOCK) < 0 && errno != ENOENT)
        return err_errno(err, errno, "remove an old socket");
    if (bind(w->listen, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(w->listen, 16) < 0)
        return err_errno(err, errno, "listen on the worker's socket");
    return true;
}

bool setup(struct worker *w, const char *vm, int dir, struct err *err)
{
    w->vm = vm;
    w->dir = fs_dir(dir, vm, 0700, err);
    if (w->dir < 0)
        return false;
    if (fchdir(w->dir) < 0)
        return err_errno(err, errno, "enter the worker's directory");
    return read_text("/proc/sys/kernel/random/boot_id", w->boot_id, sizeof w->boot_id, err) &&
           FAILPOINT("worker.lock", err) && take_lock(w, err) &&
           fs_remove(w->dir, WORKER_EXIT, err) &&
           FAILPOINT_AROUND("worker.pid", write_pid(w, err), err) && open_socket(w, err);
}

/* A record that still hangs in its disk keeps this process and its descriptors; the jail is gone,
 * and the lock must not say otherwise. */
static void unlock(struct worker *w)
{
    struct err err = {0};

    if (w->phase == WORKER_EXITED && w->recorder.busy && flock(w->alive, LOCK_UN) < 0)
        err_ignore(err_errno(&err, errno, "unlock the worker's directory"), &err);
}

void setup_clear(struct worker *w)
{
    unlinkat(w->dir, WORKER_SOCK, 0);
    unlinkat(w->dir, PID_FILE, 0);
    unlock(w);
}
