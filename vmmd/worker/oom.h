/* Was QEMU ended by the kernel because memory ran out? The memory cgroup that worker and QEMU live
 * in counts the processes the kernel killed for that, whether the group or the whole host had none
 * left. With cgroup v1 and without the memory controller in v2 the group may be shared with others:
 * what was counted before QEMU's life does not count, and only a QEMU that died of SIGKILL is
 * asked about. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct oom {
    int fd; /* the file with the counter; -1: the host has none */
    uint64_t before;
};

/* Finds the counter of this process's group and remembers what it says. Never fails: without one,
 * oom_struck() is false. */
void oom_watch(struct oom *o);
bool oom_struck(const struct oom *o);
void oom_close(struct oom *o);

/* Where the counter lies. */
struct oom_place {
    char top[256];    /* where the hierarchy is mounted */
    char group[1024]; /* the group's directory in it, "/…" or "" */
    const char *file; /* in the group's directory, or in the nearest above it that has one */
};
/* From the texts of /proc/self/cgroup and /proc/self/mountinfo. Pure. */
bool oom_find(const char *cgroup, const char *mountinfo, struct oom_place *out);
/* The counter in the text of that file; 0 when it has none. Pure. */
uint64_t oom_parse(const char *text);
