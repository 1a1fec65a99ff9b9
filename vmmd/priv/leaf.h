/* A worker's cgroup: the leaf vm-<slot>-<uuid> below one base in the v2 hierarchy. It holds the
 * worker, the jail and all its processes, so that they can be counted and killed together. Limits
 * are not set here; v2 needs no controllers for this. No heap. */
#pragma once
#include "core/base/err.h"
#include "core/base/id.h"

#include <sys/types.h>

#define LEAF_NAME 64

struct leaf {
    char name[LEAF_NAME];
    struct uuid vm;
    uint32_t slot;
    bool populated; /* processes live in it */
};

/* The base: 'configured' below the v2 mount, or (NULL) a name made from 'run_dir'. -1 when there is
 * no v2 mount that this process can make leaves in; then *err says why. Forks once to try. */
int leaf_base_open(const char *configured, const char *run_dir, struct err *err) MUST_USE;
/* Removes the base if no worker's leaf is left in it, and closes it; -1 is fine. For one that vmmd
 * named itself. */
void leaf_base_remove(int base);

/* Visits every leaf below 'base' until 'visit' returns false. */
bool leaf_each(int base, bool (*visit)(const struct leaf *leaf, void *arg), void *arg,
               struct err *err) MUST_USE;
/* Makes the leaf for a new worker and opens it. BUSY: this VM or this slot still has processes;
 * empty leaves that are in the way are removed. -1 on failure. */
int leaf_make(int base, const struct uuid *vm, uint32_t slot, struct err *err) MUST_USE;
/* fork(), with the child born in the leaf: moving a process there costs 10 ms and more, since the
 * kernel waits for all processors. -1 on failure. */
pid_t leaf_fork(int leaf, struct err *err) MUST_USE;
/* Kills all processes of the VM's leaves, waits until the last is gone (5 s, then TIMEOUT), removes
 * the leaves. No leaf is success. */
bool leaf_kill(int base, const struct uuid *vm, struct err *err) MUST_USE;
