/* The lock of the state directory, and who holds it. The file's text is the holder's process id and
 * when it began, since a lock can outlive its daemon, and whoever comes next has to know that from
 * another daemon that serves:
 *   - for a moment, by a child that a killed daemon had forked and that has not executed anything
 *     yet: this is waited for here;
 *   - for a moment, by a main whose parent was killed, and which sees that and leaves: so is this,
 *     and whoever comes second for good is turned away after that time;
 *   - as long as a thread of it waits in the kernel for storage that does not answer: a daemon that
 *     begins waits for that as long as it takes (store_waits_for()).
 * Called when a database is opened or rebuilt, and by a daemon that waits to begin. */
#include "store/db.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/proc.h"
#include "core/port/store_rebuild.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define LOCK        "lock"
#define HOLDER_TEXT 48

#define LEFT_OVER_MS 5000 /* much longer than from a fork to its exec, or to a main's end */
#define LOOK_MS      5

static bool name_holder(int fd, struct err *err)
{
    struct proc_facts self = {0};
    char text[HOLDER_TEXT];
    int n;

    if (!proc_read(getpid(), &self))
        return true; /* without /proc nobody could look for us either */
    n = snprintf(text, sizeof text, "%010d %020llu\n", (int)getpid(),
                 (unsigned long long)self.start_ticks);
    return pwrite(fd, text, (size_t)n, 0) == n ||
           err_errno(err, errno, "write into the state directory's lock");
}

enum holder { NOT_KNOWN, LIVES, HAS_ENDED /* and is not gone */, IS_GONE };

static enum holder look_at_holder(int fd, pid_t *pid)
{
    char text[HOLDER_TEXT] = "";
    struct proc_facts facts;
    unsigned long long began;
    int number;

    if (pread(fd, text, sizeof text - 1, 0) <= 0 || sscanf(text, "%d %llu", &number, &began) != 2 ||
        number <= 0)
        return NOT_KNOWN;
    *pid = (pid_t)number;
    if (!proc_read(*pid, &facts) || facts.start_ticks != began)
        return IS_GONE;
    return facts.ended ? HAS_ENDED : LIVES;
}

/* 0: not known, or it has not ended. */
static pid_t ended_holder(int fd)
{
    pid_t pid;

    return look_at_holder(fd, &pid) == HAS_ENDED ? pid : 0;
}

/* Whether the lock may be free soon; one that lives may have ended when it is looked at next. */
static bool is_passing(int fd, bool *seen_alive)
{
    pid_t pid = 0;
    enum holder holder = look_at_holder(fd, &pid);

    *seen_alive |= holder == LIVES;
    return pid != getpid() && (holder == IS_GONE || *seen_alive);
}

/* If need be from one that is no more, or about to be. */
static bool take(int fd, struct err *err)
{
    const int64_t deadline_ms = clock_mono_ms() + LEFT_OVER_MS;
    bool seen_alive = false;

    while (!fs_lock(fd, err)) {
        if (err->code != ERR_BUSY || !is_passing(fd, &seen_alive) ||
            clock_left_ms(deadline_ms) == 0)
            return false;
        (void)poll(NULL, 0, LOOK_MS);
    }
    *err = (struct err){0};
    return true;
}

static bool taken_fail(int fd, struct err *err)
{
    pid_t pid = ended_holder(fd);

    return pid ? err_set(
                     err, ERR_BUSY,
                     "vmmd-main (process %d) has ended but for a thread that waits for storage: "
                     "when that answers, or is taken off with 'umount -f', this works",
                     (int)pid)
               : err_set(err, ERR_BUSY,
                         "another vmmd uses this state directory: stop that one first");
}

int store_dir_lock(int dir, struct err *err)
{
    CLEANUP(closep) int fd = fs_open(dir, LOCK, O_RDWR | O_CREAT, 0600, err);

    if (fd < 0 || !take(fd, err)) {
        if (fd >= 0 && err->code == ERR_BUSY)
            (void)taken_fail(fd, err);
        return -1;
    }
    return name_holder(fd, err) ? TAKE_FD(fd) : -1;
}

pid_t store_waits_for(const char *path)
{
    CLEANUP(closep) int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct err ignored = {0};
    CLEANUP(closep) int fd = dir < 0 ? -1 : fs_open(dir, LOCK, O_RDWR, 0, &ignored);

    if (fd < 0 || fs_lock(fd, &ignored)) /* free: given back by closing */
        return 0;
    return ignored.code == ERR_BUSY ? ended_holder(fd) : 0;
}
