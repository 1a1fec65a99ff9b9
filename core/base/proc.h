/* What the kernel tells of a process in /proc/PID. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct proc_facts {
    uint64_t cpu_ms;      /* of all threads, user and system */
    uint64_t rss_bytes;   /* resident */
    uint64_t start_ticks; /* when it began, since boot: with the pid it names the process */
    uint64_t age_ms;      /* since then */
    unsigned threads;
    bool ended; /* waits to be looked for by its parent, or for a thread that cannot end yet */
    unsigned open_fds; /* of oneself only */
};

/* False when there is no such process or the host hides it (hidepid=, ProtectProc=). Any user may
 * ask about any process otherwise. */
bool proc_read(pid_t pid, struct proc_facts *out);
bool proc_read_self(struct proc_facts *out);
/* The text of /proc/PID/stat; pure. */
bool proc_parse_stat(const char *text, struct proc_facts *out);
