/* Ending a worker by its pid file: see pidfile.h.
 *
 * A process id alone may belong to somebody else by now. So a pidfd is opened first, then the start
 * time of that id is compared, and the signal goes through the pidfd: if the id was reused in
 * between, the start time differs; if it is reused afterwards, the pidfd still means the dead one.
 */
#include "vmmd/priv/pidfile.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KILL_MS 5000

struct pid_record {
    pid_t pid;
    unsigned long long starttime;
};

static bool read_text(int dir, const char *path, char *out, size_t size)
{
    struct err miss = {0};
    CLEANUP(closep) int fd = fs_open(dir, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, &miss);
    struct stat st;
    ssize_t n;

    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return false;
    n = read(fd, out, size - 1);
    out[n > 0 ? n : 0] = 0;
    return n > 0;
}

static bool read_proc(const char *path, char *out, size_t size)
{
    CLEANUP(closep) int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);

    return proc >= 0 && read_text(proc, path, out, size);
}

/* "<pid> <starttime> <boot_id>", of this boot. */
static bool read_record(int dir, struct pid_record *record)
{
    char text[128], boot[64], recorded[40];
    int pid;

    if (!read_text(dir, "pid", text, sizeof text) ||
        !read_proc("sys/kernel/random/boot_id", boot, sizeof boot))
        return false;
    boot[strcspn(boot, "\n")] = 0;
    if (sscanf(text, "%d %llu %36s", &pid, &record->starttime, recorded) != 3 || pid <= 1)
        return false;
    record->pid = pid;
    return str_eq(boot, recorded);
}

/* Field 22 of /proc/PID/stat. The second field may hold blanks and brackets, so count from the last
 * bracket on. */
static bool same_start(const struct pid_record *record)
{
    char path[32], text[1024];
    unsigned long long starttime = 0;
    const char *p;

    snprintf(path, sizeof path, "%d/stat", record->pid);
    if (!read_proc(path, text, sizeof text) || !(p = strrchr(text, ')')))
        return false;
    for (int field = 2; p && field < 22; field++)
        p = (p = strchr(p, ' ')) ? p + 1 : NULL;
    return p && sscanf(p, "%llu", &starttime) == 1 && starttime == record->starttime;
}

static bool owner_matches(const struct host *h, pid_t pid)
{
    char path[32];
    struct stat st;

    snprintf(path, sizeof path, "/proc/%d", pid);
    return !h->root || (stat(path, &st) == 0 && st.st_uid == h->config->uid);
}

static bool kill_record(const struct host *h, const struct pid_record *record, struct err *err)
{
    CLEANUP(closep) int fd = (int)syscall(SYS_pidfd_open, record->pid, 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};

    if (fd < 0)
        return errno == ESRCH || err_errno(err, errno, "open a process");
    if (!same_start(record))
        return true; /* the id belongs to another process now: ours is gone */
    if (!owner_matches(h, record->pid))
        return err_set(err, ERR_FORBIDDEN, "the pid file names a process of another user");
    if (syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) < 0)
        return errno == ESRCH || err_errno(err, errno, "kill a worker");
    return poll(&p, 1, KILL_MS) == 1 ||
           err_set(err, ERR_TIMEOUT, "the worker did not end within %d s of SIGKILL",
                   KILL_MS / 1000);
}

/* The worker and its jail share one flock() on 'alive'. There is no event for its release. */
static bool wait_unlocked(int dir, struct err *err)
{
    struct err miss = {0};
    CLEANUP(closep) int fd = fs_open(dir, "alive", O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, &miss);
    int64_t deadline = clock_mono_ms() + KILL_MS;

    if (fd < 0)
        return true;
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return err_errno(err, errno, "lock a file");
        if (clock_left_ms(deadline) == 0)
            return err_set(err, ERR_TIMEOUT,
                           "processes of the virtual machine did not end within "
                           "%d s",
                           KILL_MS / 1000);
        poll(NULL, 0, 5);
    }
    return true;
}

bool pidfile_kill(const struct host *h, const struct uuid *vm, struct err *err)
{
    struct err miss = {0};
    char name[UUID_TEXT];
    CLEANUP(closep) int dir = -1;
    struct pid_record record;

    uuid_text(vm, name);
    dir = fs_open(h->vm_dir, name, O_RDONLY | O_DIRECTORY, 0, &miss);
    if (dir < 0 && miss.code == ERR_NOT_FOUND)
        return true;
    if (dir < 0)
        return err_set(err, miss.code, "%s", miss.detail);
    if (read_record(dir, &record) && !kill_record(h, &record, err))
        return false;
    return wait_unlocked(dir, err);
}
