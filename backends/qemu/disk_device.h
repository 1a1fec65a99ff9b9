/* What QEMU is told of a disk: the block nodes of its files and the device the guest sees. The same
 * when it starts with the disk (argv_disk.c) and when the disk is plugged in (disks.c). Pure; for
 * this folder only. */
#pragma once
#include "core/base/json.h"
#include "core/port/backend.h"

#define DISK_ID_BYTES 24

/* The device's id, and that of the bridge between it and the USB controller. */
void disk_device_id(unsigned position, char out[DISK_ID_BYTES]);
void disk_bridge_id(unsigned position, char out[DISK_ID_BYTES]);
/* The block node of a file of the disk: 0 is the leaf. */
void disk_node_name(const struct plan_disk *disk, size_t layer, char out[32]);
/* The driver of one of its layers. */
const char *disk_driver(const struct plan_disk *disk, size_t layer);
/* The node of one image file, with that of the plain file below it. 'backing' (taken) is a node, or
 * the name of one; NULL: the file lies on nothing. */
json_t *disk_layer_json(const char *name, const char *driver, unsigned set, bool base, bool direct,
                        json_t *backing);
/* The disk's chain of nodes, each file behind the descriptor set of its number; 'direct' when their
 * file system takes O_DIRECT. */
json_t *disk_chain_json(const struct plan_disk *disk, const unsigned *sets, bool direct);
/* The device without its place on a PCI bus. */
json_t *disk_device_json(const struct plan_disk *disk);
/* The bridge of a USB disk; NULL with any other bus. */
json_t *disk_bridge_json(const struct plan_disk *disk);
/* Sits on a PCI bus itself. */
bool disk_is_on_pci(int bus);
