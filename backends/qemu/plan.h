/* A plan's descriptors: every backend's start() closes them all, whatever comes out. */
#pragma once
#include "core/port/backend.h"

/* Closes all of them but 'keep' (-1: none). */
void plan_close(const struct machine_plan *plan, int keep);
