/* VMs that stand still since a pool was full go on once there is space: see docs/storage.md,
 * "Space". For core's own files. */
#pragma once
#include "core/core/parts.h"

/* Resumes, by an operation of vmmd's own, each VM that is paused(no-space) while the file systems
 * of all its leaves have room for a guest to write (space_lets_guests_write()). Those that an
 * operation holds, or that a client paused, are left alone. Looks at files and begins operations:
 * no lock may be held. The janitor calls it every few seconds. */
void refill_look(struct core *core);
