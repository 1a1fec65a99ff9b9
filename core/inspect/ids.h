/* Names for the numbers of PCI and USB devices: the tables pci.ids and usb.ids, which distributions
 * install apart (Debian: pci.ids, usb.ids). Without them devices have no names. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct ids {
    char *text; /* NULL: not installed */
};
/* 'file' is "pci.ids" or "usb.ids", looked for in the places where distributions put it. */
void ids_open(int root, const char *file, struct ids *out);
void ids_close(struct ids *ids); /* for CLEANUP(ids_close) */

/* The names of a vendor and its device, all "" when unknown. */
void ids_device(const struct ids *ids, unsigned vendor, unsigned device, char vendor_name[96],
                char device_name[96]);
/* The name of a class (two digits) and, where the table knows it, subclass. */
void ids_class(const struct ids *ids, unsigned class_id, unsigned subclass, char name[96]);
