/* The PCI devices of the host, from sysfs. */
#pragma once
#include "core/base/json.h"

/* List of PciDevice of openapi.yaml in the order of their addresses. 'root': see sysfs.h. */
json_t *pci_inventory(int root);
