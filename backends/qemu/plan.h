/* A plan's descriptors: every backend's start() closes them all, whatever comes out. */
#pragma once
#include "core/port/backend.h"

/* Closes all of them, or all but the serial ports' logs and the commit log. */
void plan_close(const struct machine_plan *plan, bool but_kept);
void plan_close_disk(const struct plan_disk *disk);
/* Does a file of a disk lie in memory (tmpfs)? What is written to it counts as its writer's. */
bool plan_is_in_memory(const struct machine_plan *plan);
/* The file systems of all its files take O_DIRECT. */
bool plan_is_direct(const struct plan_disk *disk);
