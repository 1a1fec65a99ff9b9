/* The database made anew of what a scan found. See docs/recovery.md. */
#pragma once
#include "core/rebuild/scan.h"

struct store;

/* The epoch above which the new database's has to be: that of the newest copy. */
uint32_t rebuild_epoch(const struct scan *scan);
/* Fills an empty database: pools, VMs that are taken, their files, disks, snapshots and memories,
 * templates, and all that nobody names as spared files. One transaction. */
bool rebuild_fill(const struct scan *scan, struct store *store, struct err *err) MUST_USE;
