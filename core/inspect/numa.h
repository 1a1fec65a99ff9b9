/* NUMA nodes: which processors have which memory near. */
#pragma once
#include "core/base/json.h"

/* List of {id, cpus, memory_bytes, free_bytes, distances} in the order of their numbers; a host
 * whose kernel knows no NUMA has an empty one. 'distances' are to the nodes of this list, 10 is
 * near. 'root': see sysfs.h. */
json_t *numa_inventory(int root);
