/* A worker's cgroup: the leaf vm-<slot>-<uuid> below one base in the v2 hierarchy. Its two parts
 * hold the worker with its helpers, and the jail with all its processes, so that they can be
 * counted and killed together and the guest can be limited alone. Limits are set by limits.h; v2
 * needs no controllers for this. No heap but in the functions on the base. */
#pragma once
#include "core/base/err.h"
#include "core/base/id.h"

#include <sys/types.h>

#define LEAF_NAME      64
#define LEAF_BASE_NAME 256

enum leaf_part { LEAF_WORKER, LEAF_GUEST };

struct leaf {
    char name[LEAF_NAME];
    struct uuid vm;
    uint32_t slot;
    bool populated; /* processes live in it */
};

/* The base's path below a hierarchy's mount: 'configured', or (NULL) a name made from 'run_dir'. */
void leaf_base_name(const char *configured, const char *run_dir, char out[LEAF_BASE_NAME]);
/* The text of /proc/self/mountinfo, "" when it cannot be read; the caller's. */
char *leaf_mounts(void);
/* Makes, locks and opens the base. -1 when there is no v2 mount that this process can make leaves
 * in; then *err says why. Forks once to try. */
int leaf_base_open(const char *mounts, const char *name, struct err *err) MUST_USE;
/* Is it a name that vmmd makes up? */
bool leaf_is_self_named(const char *name);
/* Takes away the empty bases beside ours whose daemon is dead: they are named by vmmd, nobody has
 * them locked, and they are an hour old. Says how many. */
unsigned leaf_sweep_dead(const char *mounts, const char *own);
/* Removes the base if no worker's leaf is left in it, and closes it; -1 is fine. For one that vmmd
 * named itself. */
void leaf_base_remove(int base);

/* Visits every leaf below 'base' until 'visit' returns false. */
bool leaf_each(int base, bool (*visit)(const struct leaf *leaf, void *arg), void *arg,
               struct err *err) MUST_USE;
/* Makes the leaf for a new worker and opens it. BUSY: this VM or this slot still has processes;
 * empty leaves that are in the way are removed. -1 on failure. */
int leaf_make(int base, const struct uuid *vm, uint32_t slot, struct err *err) MUST_USE;
/* Makes and opens one of its parts. -1 on failure. */
int leaf_part(int leaf, enum leaf_part part, struct err *err) MUST_USE;
/* The guest's part of the leaf that the VM has; -1 with NOT_FOUND. */
int leaf_find(int base, const struct uuid *vm, struct err *err) MUST_USE;
/* fork(), with the child born in a part or leaf and in new 'namespaces' (CLONE_NEW...): moving a
 * process there costs 10 ms and more, since the kernel waits for all processors. -1 on failure. */
pid_t leaf_fork(int part, uint64_t namespaces, struct err *err) MUST_USE;
/* Kills all processes of the VM's leaves, waits until the last is gone (5 s, then TIMEOUT), removes
 * the leaves. No leaf is success. */
bool leaf_kill(int base, const struct uuid *vm, struct err *err) MUST_USE;
