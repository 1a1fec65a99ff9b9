/* Facts about processes: see proc.h. */
#include "core/base/proc.h"

#include "core/base/fs.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SKIP_5 " %*s %*s %*s %*s %*s"

static bool read_file(pid_t pid, const char *name, char *out, size_t size)
{
    char path[48];
    CLEANUP(closep) int fd = -1;
    ssize_t n;

    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, out, size - 1);
    out[n > 0 ? n : 0] = 0;
    return n > 0;
}

static uint64_t ticks_ms(uint64_t ticks)
{
    return ticks * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
}

/* proc(5): behind the name in brackets, which may hold anything, field 3 is the state, 14 and 15
 * are the times of the user and of the system, 20 the threads, 22 when it began, in ticks. */
bool proc_parse_stat(const char *text, struct proc_facts *out)
{
    const char *p = strrchr(text, ')');
    unsigned long long user, system, start;
    char state;

    if (!p || sscanf(p + 1, " %c" SKIP_5 SKIP_5 " %llu %llu %*s %*s %*s %*s %u %*s %llu", &state,
                     &user, &system, &out->threads, &start) != 5)
        return false;
    out->ended = state == 'Z' || state == 'X';
    out->cpu_ms = ticks_ms(user + system);
    out->start_ticks = start;
    return true;
}

static uint64_t since_boot_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

bool proc_read(pid_t pid, struct proc_facts *out)
{
    uint64_t now = since_boot_ms(), began;
    unsigned long long pages;
    char text[1024];

    *out = (struct proc_facts){0};
    if (!read_file(pid, "stat", text, sizeof text) || !proc_parse_stat(text, out) ||
        !read_file(pid, "statm", text, sizeof text) || sscanf(text, "%*s %llu", &pages) != 1)
        return false;
    began = ticks_ms(out->start_ticks);
    out->age_ms = now > began ? now - began : 0;
    out->rss_bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE);
    return true;
}

static unsigned count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;

    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n > 3 ? n - 3 : 0; /* ".", ".." and the directory itself */
}

bool proc_read_self(struct proc_facts *out)
{
    if (!proc_read(getpid(), out))
        return false;
    out->open_fds = count_fds();
    return true;
}
