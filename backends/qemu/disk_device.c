/* A disk's nodes and device as JSON: see disk_device.h.
 *
 *   disk0 (qcow2, rw) ─file─► disk0-f  /dev/fdset/2, the O_RDWR descriptor
 *     └─backing─► disk0-b1 (read-only) ─file─► disk0-b1-f  /dev/fdset/1, O_RDONLY
 *
 * Backing nodes are always named explicitly: what an image's header says is never opened. A base's
 * node is read-only, its file node only auto-read-only: a merge can reopen it for writing once a
 * writable descriptor is added to its set; read-only on the file node would make that impossible.
 * Discards pass through every node. Zeroes that the guest writes are not looked for: that would
 * read all it writes, and a guest that wants space back says so. */
#include "backends/qemu/disk_device.h"

#include "backends/qemu/argv.h"
#include "core/base/str.h"

#include <stdio.h>

#define SERIAL_BYTES 20 /* what ATA, NVMe and virtio-blk have room for */

void disk_device_id(unsigned position, char out[DISK_ID_BYTES])
{
    snprintf(out, DISK_ID_BYTES, "diskdev%u", position);
}

void disk_bridge_id(unsigned position, char out[DISK_ID_BYTES])
{
    snprintf(out, DISK_ID_BYTES, "diskusb%u", position);
}

void file_node_name(const struct uuid *file, char out[NODE_BYTES])
{
    char text[UUID_TEXT];
    size_t n = 0;

    uuid_text(file, text);
    out[n++] = 'f';
    for (const char *p = text; *p && n < NODE_BYTES - 4; p++)
        if (*p != '-')
            out[n++] = *p;
    out[n] = 0;
}

/* Nodes are named after their files, which are what they were when the disk has others. */
void disk_node_name(const struct plan_disk *disk, size_t layer, char out[NODE_BYTES])
{
    if (disk->files)
        file_node_name(&disk->files[layer], out);
    else if (layer)
        snprintf(out, NODE_BYTES, "disk%u-b%zu", disk->position, layer);
    else
        snprintf(out, NODE_BYTES, "disk%u", disk->position);
}

static json_t *cache(bool direct)
{
    return json_pack("{s:b,s:b}", "direct", direct, "no-flush", 0);
}

static json_t *file_node(const char *name, unsigned set, bool base, bool direct)
{
    char node[40], path[32];

    snprintf(node, sizeof node, "%s-f", name);
    snprintf(path, sizeof path, "/dev/fdset/%u", set);
    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:b,s:o}", "driver", "file", "node-name", node,
                     "filename", path, "locking", base ? "off" : "on", "discard", "unmap",
                     "auto-read-only", base, "cache", cache(direct));
}

const char *disk_driver(const struct plan_disk *disk, size_t layer)
{
    int format = layer == 0           ? disk->format
                 : disk->base_formats ? disk->base_formats[layer - 1]
                                      : DISK_QCOW2;

    return disk_drivers[format];
}

json_t *disk_layer_json(const char *name, const char *driver, unsigned set, bool base, bool direct,
                        json_t *backing)
{
    json_t *node = json_pack("{s:s,s:s,s:b,s:s,s:o,s:o}", "driver", driver, "node-name", name,
                             "read-only", base, "discard", "unmap", "cache", cache(direct), "file",
                             file_node(name, set, base, direct));

    /* An explicit null keeps QEMU from following the header's backing name. */
    if (backing || str_eq(driver, "qcow2") || str_eq(driver, "vmdk"))
        json_put(node, "backing", backing);
    return node;
}

/* Built from the bottom up, since a node holds its backing node. */
json_t *disk_chain_json(const struct plan_disk *disk, const unsigned *sets, bool direct)
{
    json_t *below = NULL;

    for (size_t layer = disk->n_fds; layer-- > 0;) {
        char name[NODE_BYTES];
        disk_node_name(disk, layer, name);
        below =
            disk_layer_json(name, disk_driver(disk, layer), sets[layer], layer > 0, direct, below);
        if (disk->base_bytes && layer && layer == disk->n_fds - 1)
            json_put_u64(below, "size", disk->base_bytes);
    }
    return below;
}

bool disk_is_on_pci(int bus)
{
    return bus == DISK_BUS_VIRTIO || bus == DISK_BUS_NVME;
}

/* A write error pauses the guest instead of reaching it: a full disk can be made room on. NVMe
 * knows no such thing. */
json_t *disk_device_json(const struct plan_disk *disk)
{
    static const char *const drivers[] = {"virtio-blk-pci", "scsi-hd", "ide-hd", "scsi-hd", "nvme"};
    char node[NODE_BYTES], id[DISK_ID_BYTES], bus[DISK_ID_BYTES + 4], serial[UUID_TEXT];
    json_t *device;

    uuid_text(&disk->id, serial);
    serial[SERIAL_BYTES] = 0;
    disk_node_name(disk, 0, node);
    disk_device_id(disk->position, id);
    device = json_pack("{s:s,s:s,s:s,s:s}", "driver", drivers[disk->bus], "id", id, "drive", node,
                       "serial", serial);
    if (disk->bus != DISK_BUS_NVME) {
        json_put_text(device, "werror", "stop");
        json_put_text(device, "rerror", "report");
    }
    if (disk->bus == DISK_BUS_SCSI) {
        json_put_text(device, "bus", "scsi0.0");
        json_put_u64(device, "scsi-id", disk->position);
    } else if (disk->bus == DISK_BUS_USB) {
        disk_bridge_id(disk->position, id);
        snprintf(bus, sizeof bus, "%s.0", id);
        json_put_text(device, "bus", bus);
        json_put_u64(device, "scsi-id", 0);
    }
    return device;
}

/* A SCSI disk behind it, rather than QEMU's usb-storage: it is a disk like the others then, with an
 * id of its own by which it is limited and taken away. */
json_t *disk_bridge_json(const struct plan_disk *disk)
{
    char id[DISK_ID_BYTES];

    if (disk->bus != DISK_BUS_USB)
        return NULL;
    disk_bridge_id(disk->position, id);
    return json_pack("{s:s,s:s,s:s}", "driver", "usb-bot", "id", id, "bus", "usb0.0");
}
