/* Limits of guests by the kernel's controllers: which of them this host has, and writing them.
 *
 * Each controller is looked for by itself: in the v2 leaf of a worker (leaf.h), else in the v1
 * hierarchy that has it, where a VM gets a folder of its own below one of ours. What no hierarchy
 * has is not limited, and main is told so. No heap but in limits_open(). */
#pragma once
#include "core/base/err.h"
#include "core/base/id.h"
#include "vmmd/priv/proto.h"

struct limits {
    enum priv_limit_way way[PRIV_LIMITS];
    int v1[PRIV_LIMITS]; /* our folder in that hierarchy; -1 */
};

/* How a process gets into the folders of v1: it writes to these itself. -1: not needed. */
struct limits_entry {
    int tasks[PRIV_LIMITS];
};

/* Finds out what there is. 'base' is that of the leaves, or -1; 'name' its path below a mount.
 * Switches the controllers of v2 on for the leaves where that is allowed. */
void limits_open(struct limits *l, int base, const char *mounts, const char *name);
/* Closes the folders, and removes them when 'remove' says so and no VM has one in them. */
void limits_close(struct limits *l, bool remove);
/* INVALID when one is out of its range. */
bool limits_check(const struct priv_limits *wanted, struct err *err) MUST_USE;
/* Before a leaf gets its first process: lets the controllers of v2 reach its parts. */
bool limits_reach(const struct limits *l, int leaf, struct err *err) MUST_USE;
/* Makes the VM's folders of v1; what an earlier run left of them goes first. BUSY while processes
 * live in one. */
bool limits_make(const struct limits *l, const struct uuid *vm, struct limits_entry *entry,
                 struct err *err) MUST_USE;
void limits_entry_close(struct limits_entry *entry);
/* The calling process, which has one thread, lives in the folders from now on. Quick, since it
 * moves itself alone: the kernel has to wait for nobody. */
bool limits_enter(const struct limits_entry *entry, struct err *err) MUST_USE;
/* Writes all that the host has, but no memory_bytes of 0: a new group has no limit of it, and one
 * that lives keeps its own. 'guest' is the guest's part of the leaf, or -1. */
bool limits_set(const struct limits *l, int guest, const struct uuid *vm,
                const struct priv_limits *wanted, struct err *err) MUST_USE;
/* Removes the VM's folders of v1, all of whose processes are gone. */
void limits_remove(const struct limits *l, const struct uuid *vm);
/* Of dead daemons: the folders in v1 whose base in v2 is no more. Says how many. */
unsigned limits_sweep_dead(const struct limits *l, const char *mounts, const char *own);
