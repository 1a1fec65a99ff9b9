/* Was QEMU ended by the kernel because memory ran out? The memory cgroup that QEMU lives in counts
 * the processes the kernel killed for that, whether the group or the whole host had none left.
 * Without a controller of memory the group may be shared with others: what was counted before
 * QEMU's life does not count, and only a QEMU that died of SIGKILL is asked about. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct oom {
    int fd; /* the file with the counter; -1: the host has none */
    uint64_t before;
    int hits; /* the file that says how often the VM's own limit was hit; -1: it has none */
    bool v1;
    bool limited; /* the VM has a limit of its own */
};

/* Finds the counter of the group of process 'pid' and remembers what it says. Never fails: without
 * one, oom_struck() is false. */
void oom_watch(struct oom *o, pid_t pid);
bool oom_struck(const struct oom *o);
/* Was it the limit of the VM itself, not the memory of the host or of what lies above? */
bool oom_was_limit(const struct oom *o);
void oom_close(struct oom *o);

/* Where the counter lies. */
struct oom_place {
    char top[256];    /* where the hierarchy is mounted */
    char group[1024]; /* the group's directory in it, "/…" or "" */
    bool v1;
    const char *file; /* in the group's directory, or in the nearest above it that has one */
};
/* From the texts of /proc/self/cgroup and /proc/self/mountinfo. Pure. */
bool oom_find(const char *cgroup, const char *mountinfo, struct oom_place *out);
/* Is that group a VM's own, with the limit that vmmd gave it? Else it is that of the daemon, of its
 * container, or of the host, and the VM has no limit. Pure. */
bool oom_is_own(const struct oom_place *place);
/* Is there a limit, by the text of the file that has it? Pure. */
bool oom_is_limit(const char *text);
/* What 'word' ("oom_kill") counts in the text of such a file; 0 when it is not there. Pure. */
uint64_t oom_parse(const char *text, const char *word);
