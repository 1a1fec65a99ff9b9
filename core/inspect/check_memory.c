/* Checks of memory, and of how hard the host works. */
#include "core/inspect/check.h"

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/inspect/pressure.h"
#include "core/inspect/sysfs.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MIB (1024ull * 1024)

/* "MemTotal:  32768000 kB" as the number that stands there; false when the line is missing. */
static bool meminfo(int root, const char *key, uint64_t *out)
{
    CLEANUP(mem_freep) char *text = sys_whole(root, 16384, "proc/meminfo");
    size_t len = strlen(key);

    for (const char *line = text; line && *line;) {
        if (strncmp(line, key, len) == 0 && line[len] == ':')
            return sscanf(line + len + 1, "%" SCNu64, out) == 1;
        line = strchr(line, '\n');
        line += line != NULL;
    }
    return false;
}

static enum severity look_memory(struct sight *s)
{
    uint64_t total, available;

    if (!meminfo(s->facts->root, "MemTotal", &total) ||
        !meminfo(s->facts->root, "MemAvailable", &available))
        return saw(s, SEVERITY_WARNING, "/proc/meminfo cannot be read");
    return saw(s, available * 10 < total ? SEVERITY_WARNING : SEVERITY_OK,
               "%llu of %llu MiB are available", available * 1024 / MIB, total * 1024 / MIB);
}

static enum severity look_swap(struct sight *s)
{
    uint64_t total, left;

    if (!meminfo(s->facts->root, "SwapTotal", &total) ||
        !meminfo(s->facts->root, "SwapFree", &left) || total == 0)
        return saw(s, SEVERITY_INFO, "there is none");
    return saw(s, left * 5 < total ? SEVERITY_WARNING : SEVERITY_OK, "%llu of %llu MiB are free",
               left * 1024 / MIB, total * 1024 / MIB);
}

static enum severity look_huge(struct sight *s)
{
    uint64_t pages = 0, left = 0, kib = 0;
    char thp[64];

    if (!sys_text(s->facts->root, thp, sizeof thp, "sys/kernel/mm/transparent_hugepage/enabled"))
        str_copy(thp, sizeof thp, "not in this kernel");
    if (!meminfo(s->facts->root, "HugePages_Total", &pages) ||
        !meminfo(s->facts->root, "HugePages_Free", &left) ||
        !meminfo(s->facts->root, "Hugepagesize", &kib))
        pages = left = 0;
    return saw(s, strstr(thp, "[never]") ? SEVERITY_INFO : SEVERITY_OK,
               "transparent: %s; reserved: %llu of %llu KiB, %llu free", thp,
               (unsigned long long)pages, (unsigned long long)kib, (unsigned long long)left);
}

static enum severity look_ksm(struct sight *s)
{
    uint64_t run;

    if (!sys_u64(s->facts->root, &run, "sys/kernel/mm/ksm/run"))
        return SEVERITY_NONE;
    if (run != 1)
        return saw(s, SEVERITY_OK, "off (/sys/kernel/mm/ksm/run is %llu)", (unsigned long long)run);
    return saw(s, SEVERITY_INFO, "on (/sys/kernel/mm/ksm/run is 1): equal pages are shared");
}

static enum severity look_overcommit(struct sight *s)
{
    uint64_t mode;

    if (!sys_u64(s->facts->root, &mode, "proc/sys/vm/overcommit_memory"))
        return SEVERITY_NONE;
    return saw(s, mode == 2 ? SEVERITY_WARNING : SEVERITY_OK, "vm.overcommit_memory is %llu",
               (unsigned long long)mode);
}

/* 'limit': % of the last minute in which some task waited; above it stands 'bad'. */
static enum severity look_pressure(struct sight *s, const char *resource, double limit,
                                   enum severity bad)
{
    struct pressure p;

    if (!pressure_read(s->facts->root, resource, &p))
        return SEVERITY_NONE;
    return saw(s, p.some_60s >= limit ? bad : SEVERITY_OK,
               "tasks waited in %.1f %% of the last minute (/proc/pressure/%s)", p.some_60s,
               resource);
}

static enum severity look_cpu_pressure(struct sight *s)
{
    return look_pressure(s, "cpu", 60, SEVERITY_INFO); /* what a well used host looks like */
}

static enum severity look_memory_pressure(struct sight *s)
{
    return look_pressure(s, "memory", 10, SEVERITY_WARNING);
}

static enum severity look_io_pressure(struct sight *s)
{
    return look_pressure(s, "io", 40, SEVERITY_WARNING);
}

static const struct check checks[] = {
    {"memory", "Free memory", look_memory, "stop VMs or programs, or give the host more memory"},
    {"swap", "Swap space", look_swap,
     "a little swap lets the kernel put away what nobody uses: add some, a tenth of the memory"},
    {"hugepages", "Huge pages", look_huge,
     "VMs are faster with them: echo madvise >/sys/kernel/mm/transparent_hugepage/enabled"},
    {"ksm", "Sharing of equal pages (KSM)", look_ksm,
     "a guest can find out by time what pages others have: switch it off where guests do not trust "
     "each other (echo 2 >/sys/kernel/mm/ksm/run)"},
    {"overcommit", "Overcommitting memory", look_overcommit,
     "VMs reserve more than they use: set sysctl vm.overcommit_memory=0"},
    {"cpu-pressure", "Waiting for processors", look_cpu_pressure,
     "the host is busy: give VMs fewer vCPUs or move some away"},
    {"memory-pressure", "Waiting for memory", look_memory_pressure,
     "the host is short of memory: stop VMs or lower their memory"},
    {"io-pressure", "Waiting for disks", look_io_pressure,
     "the disks are busy: move VMs to another pool root or limit them"},
};
const struct check_topic checks_memory = {"memory", checks, ARRAY_LEN(checks)};
