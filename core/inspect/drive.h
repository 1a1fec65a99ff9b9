/* The block devices of the host, from sysfs: what storage pools may lie on. */
#pragma once
#include "core/base/json.h"

#include <sys/types.h>

/* List of Drive of openapi.yaml in natural order: whole devices that have a size, without loop and
 * RAM disks. 'root': see sysfs.h. */
json_t *drive_inventory(int root);
/* Whether the device below a file (st_dev) takes discards: 1 yes, 0 no, -1 not known (a file system
 * without one device, such as overlay, btrfs or NFS). */
int drive_discards(int root, dev_t device);
