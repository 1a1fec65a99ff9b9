/* Pressure stall information: how long tasks waited for a resource (kernel documentation:
 * accounting/psi). */
#pragma once
#include "core/base/json.h"

#include <stdbool.h>

struct pressure {
    double some_10s, some_60s; /* % of the time in which some task waited */
    double full_10s, full_60s; /* ... in which all did; 0 where the kernel has no such line */
};
/* 'resource' is cpu, memory or io. False when the kernel does not tell. */
bool pressure_read(int root, const char *resource, struct pressure *out);
/* {cpu, memory, io}, each null when the kernel does not tell. */
json_t *pressure_view(int root);
