/* The network interfaces of the host, from sysfs. */
#pragma once
#include "core/base/json.h"

/* List of Nic of openapi.yaml in natural order; loopback is left out. 'root': see sysfs.h; the
 * kernel shows the interfaces of the network namespace that mounted sysfs. */
json_t *nic_inventory(int root);
/* ethernet, wifi, wwan, bridge, bond, vlan, tap, virtual or other. */
const char *nic_kind(int root, const char *nic);
