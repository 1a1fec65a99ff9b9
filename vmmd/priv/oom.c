/* The order in which the kernel ends processes: see oom.h and proc(5), oom_score_adj. */
#include "vmmd/priv/oom.h"

#include "core/base/fs.h"
#include "core/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST 1000

static int open_of(pid_t pid, int flags)
{
    char path[40] = "/proc/self/oom_score_adj";

    if (pid)
        snprintf(path, sizeof path, "/proc/%d/oom_score_adj", (int)pid);
    return open(path, flags | O_CLOEXEC);
}

static int current(void)
{
    CLEANUP(closep) int fd = open_of(0, O_RDONLY);
    char text[16] = "";

    return fd >= 0 && read(fd, text, sizeof text - 1) > 0 ? (int)strtol(text, NULL, 10) : 0;
}

void oom_rank_set(pid_t pid, enum oom_rank rank)
{
    int now = current(), wanted = rank;
    CLEANUP(closep) int fd = open_of(pid, O_WRONLY);
    char text[16];
    int n;

    if (rank == OOM_GUEST && now > 0)
        wanted = now + rank > MOST ? MOST : now + rank;
    n = snprintf(text, sizeof text, "%d", wanted);
    if (fd >= 0 && write(fd, text, (size_t)n) == n)
        return;
    if (wanted < now && errno == EACCES)
        log_debug("oom_score_adj stays %d, %d needs CAP_SYS_RESOURCE", now, wanted);
    else
        log_warn("oom_score_adj cannot be set to %d: %s", wanted, strerror(errno));
}
