/* What stands between SQLite and the disk: a write that finds the disk full releases the reserve
 * and is tried once more, flushes are counted, and tests can let one fail. */
#pragma once
#include "store/reserve.h"

#include <stdint.h>

struct vfs;

/* Registers a VFS of its own name with SQLite. 'reserve' is borrowed until vfs_free(). */
struct vfs *vfs_new(struct reserve *reserve, struct err *err) MUST_USE;
void vfs_free(struct vfs *vfs); /* after the last connection was closed; NULL is fine */
const char *vfs_name(const struct vfs *vfs);
uint64_t vfs_syncs(const struct vfs *vfs); /* fsyncs of any file that succeeded */
