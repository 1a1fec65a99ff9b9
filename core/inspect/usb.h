/* The USB devices of the host, from sysfs. */
#pragma once
#include "core/base/json.h"

/* List of UsbDevice of openapi.yaml by bus and port; root hubs are left out. 'root': see sysfs.h.
 */
json_t *usb_inventory(int root);
