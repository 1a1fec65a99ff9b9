/* Taking and deleting snapshots by the VMs' schedules: see schedule.c. For core's janitor. */
#pragma once
#include "core/core/parts.h"

/* Looks at all VMs: begins what is due at this moment of the wall clock, at most one operation a
 * VM. Does not wait for them. */
void schedules_look(struct core *core, int64_t now_ms);
/* The same by the wall clock; nothing once schedules_stop_clock() was called, by tests that have a
 * clock of their own. */
void schedules_tick(struct core *core);
void schedules_stop_clock(void);
