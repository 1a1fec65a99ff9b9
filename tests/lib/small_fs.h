/* A small file system of its own for one of a rig's pools: an ext4 on a loop device, which can be
 * filled, frozen (who writes to it waits) and broken (what lies beyond some place cannot be read or
 * written). For struct rig's 'before' and 'after': the pool "second" lies on it. Mounted in a mount
 * namespace of the test's own, so nothing of it outlives the program. */
#pragma once
#include "tests/lib/rig.h"

/* False when it cannot be made here (then 'why' says so). Enters the namespace. */
bool small_fs_possible(const char **why);
void small_fs_mount(struct rig *r);
void small_fs_unmount(struct rig *r);
char *small_fs_path(struct rig *r, const char *name); /* below its root; the caller's */

void small_fs_fill(struct rig *r);                  /* whatever is free, to the last block */
void small_fs_leave(struct rig *r, uint64_t bytes); /* fills it but for so many */
void small_fs_free_again(struct rig *r);

void small_fs_freeze(struct rig *r);
void small_fs_thaw(struct rig *r); /* if it is frozen */

/* From now on nothing that lies behind these bytes of this file, and behind everything that
 * 'keep' has (NULL: nothing is to be kept), can be read or written. Fails when the file lies in
 * front of that. Nothing is lost. */
void small_fs_break(struct rig *r, const char *path, uint64_t from, const char *keep);
void small_fs_mend(struct rig *r);
