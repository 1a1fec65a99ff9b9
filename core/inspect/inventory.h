/* What the machine is made of: processor, NUMA nodes, PCI and USB devices, network interfaces and
 * drives. Reads files only; needs no privilege and no daemon. */
#pragma once
#include "core/base/json.h"

/* HostInventory of openapi.yaml. 'root': see sysfs.h. Takes milliseconds, on a big server some
 * tens. */
json_t *inventory_read(int root);
