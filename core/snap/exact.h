/* How much of a disk differs between two of its files, for diff.c. */
#pragma once
#include "core/core/parts.h"

/* In clusters of 64 KiB that were written or discarded on either side since the nearest file that
 * both lie on; without such a file, that hold anything on either. Files of the VM's that no disk
 * writes to; NULL: it had no such disk. QEMUs in jails of their own read their tables: blocks until
 * that is done. BUSY, TIMEOUT, HYPERVISOR, UNAVAILABLE. */
bool exact_difference(struct core *core, struct vm *vm, const struct uuid *from,
                      const struct uuid *to, uint64_t *bytes, struct err *err) MUST_USE;
