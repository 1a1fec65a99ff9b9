/* Files that no snapshot has any more and that something lies on: they take over what lies on them.
 * For deleting snapshots. */
#pragma once
#include "core/snap/merge.h"

/* Whether the one file that lies on 'file' may go down into it, and is the smaller of the two: no
 * other snapshot has 'file', nothing else lies on it, and a running VM uses both. */
bool down_is_better(struct core *core, struct vm *vm, const struct file *file)
    REQUIRES(core->registry.lock);
/* There is one that can be merged now. */
bool down_is_due(struct core *core, struct vm *vm);
/* Merges all such files of the VM that can be. Blocks; forward only: what was begun and cut off is
 * taken up where it was. Errors of merge_commit(). */
bool down_all(struct core *core, struct vm *vm, struct pace *pace, struct err *err) MUST_USE;
