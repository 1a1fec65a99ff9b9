/* QEMU's arguments for the disks: a descriptor set a file, one chain of block nodes a disk, one
 * device. Part of argv.c's work and called by it only.
 *
 *   disk0 (qcow2, rw) ─file─► disk0-f  /dev/fdset/2, the O_RDWR descriptor
 *     └─backing─► disk0-b1 (read-only) ─file─► disk0-b1-f  /dev/fdset/1, O_RDONLY
 *
 * Backing nodes are always named explicitly: what an image's header says is never opened. A base's
 * node is read-only, its file node only auto-read-only: a merge can reopen it for writing once a
 * writable descriptor is added to its set; read-only on the file node would make that impossible.
 */
#include "backends/qemu/builder.h"

#include "core/base/str.h"
#include "core/model/rules.h"

#include <stdio.h>

#define SERIAL_BYTES 20 /* what ATA and virtio-blk have room for */

static bool disks_want_scsi(const struct machine_plan *plan)
{
    for (size_t i = 0; i < plan->n_disks; i++)
        if (plan->disks[i].bus == DISK_BUS_SCSI)
            return true;
    return false;
}

unsigned disks_pci_slots(const struct machine_plan *plan)
{
    unsigned n = disks_want_scsi(plan);

    for (size_t i = 0; i < plan->n_disks; i++)
        n += plan->disks[i].bus == DISK_BUS_VIRTIO;
    return n;
}

unsigned disks_on_ide(const struct machine_plan *plan)
{
    unsigned n = 0;

    for (size_t i = 0; i < plan->n_disks; i++)
        n += plan->disks[i].bus == DISK_BUS_IDE;
    return n;
}

static json_t *cache(bool direct)
{
    return json_pack("{s:b,s:b}", "direct", direct, "no-flush", 0);
}

/* The file node that reads 'fd' through a set of its own. */
static json_t *file_node(struct builder *b, const char *name, int fd, bool base, bool direct)
{
    unsigned set = name[0] == 'f' ? launch_set_named(b, fd, name) : launch_set(b, fd);
    char node[40], path[32];

    snprintf(node, sizeof node, "%s-f", name);
    snprintf(path, sizeof path, "/dev/fdset/%u", set);
    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:b,s:o}", "driver", "file", "node-name", node,
                     "filename", path, "locking", "on", "discard", "unmap", "auto-read-only", base,
                     "cache", cache(direct));
}

static const char *driver_of(const struct plan_disk *disk, size_t layer)
{
    int format = layer == 0           ? disk->format
                 : disk->base_formats ? disk->base_formats[layer - 1]
                                      : DISK_QCOW2;

    return disk_format_names[format];
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
static void layer_node(const struct plan_disk *disk, size_t index, size_t layer,
                       char out[NODE_BYTES])
{
    if (disk->files)
        file_node_name(&disk->files[layer], out);
    else if (layer)
        snprintf(out, NODE_BYTES, "disk%zu-b%zu", index, layer);
    else
        snprintf(out, NODE_BYTES, "disk%zu", index);
}

/* The chain from 'layer' down to its last base. Built from the bottom up, since a node holds its
 * backing node. */
static json_t *chain(struct builder *b, size_t index)
{
    const struct plan_disk *disk = &b->plan->disks[index];
    bool direct = b->facts->direct[index];
    json_t *below = NULL;

    for (size_t layer = disk->n_fds; layer-- > 0;) {
        char name[NODE_BYTES];
        json_t *node;
        layer_node(disk, index, layer, name);
        node = json_pack("{s:s,s:s,s:b,s:s,s:o,s:o}", "driver", driver_of(disk, layer), "node-name",
                         name, "read-only", layer > 0, "discard", "unmap", "cache", cache(direct),
                         "file", file_node(b, name, disk->fds[layer], layer > 0, direct));
        /* An explicit null keeps QEMU from following the header's backing name. */
        if (below || str_eq(driver_of(disk, layer), "qcow2"))
            json_put(node, "backing", below);
        below = node;
    }
    return below;
}

bool place_on_ide(const struct builder *b, json_t *device, unsigned n, const char *field,
                  struct err *err)
{
    unsigned room = vm_spec_ide_room(b->plan->spec);
    char bus[16];

    if (n >= room)
        return err_field(err, ERR_INVALID, field,
                         "the %s board has room for %u IDE disks and CD drives",
                         vm_machine_names[b->plan->spec->machine], room);
    snprintf(bus, sizeof bus, "ide.%u", is_q35(b) ? n : n / 2);
    json_put_text(device, "bus", bus);
    json_put_u64(device, "unit", is_q35(b) ? 0 : n % 2);
    return true;
}

/* Counts how many disks before 'index' sit on the same bus. */
static unsigned place_number(const struct machine_plan *plan, size_t index)
{
    unsigned n = 0;

    for (size_t i = 0; i < index; i++)
        n += plan->disks[i].bus == plan->disks[index].bus;
    return n;
}

static bool place(struct builder *b, json_t *device, size_t index, struct err *err)
{
    unsigned n = place_number(b->plan, index);
    char field[32];

    switch (b->plan->disks[index].bus) {
    case DISK_BUS_SCSI:
        json_put_text(device, "bus", "scsi0.0");
        json_put_u64(device, "scsi-id", n);
        return true;
    case DISK_BUS_IDE:
        snprintf(field, sizeof field, "/disks/%zu/bus", index);
        return place_on_ide(b, device, n, field, err);
    default:
        place_on_pci(b, device);
        return true;
    }
}

static bool disk_add(struct builder *b, size_t index, struct err *err)
{
    static const char *const drivers[] = {"virtio-blk-pci", "scsi-hd", "ide-hd"};
    const struct plan_disk *disk = &b->plan->disks[index];
    char node[NODE_BYTES], id[32], serial[UUID_TEXT];
    json_t *device;

    uuid_text(&disk->id, serial);
    serial[SERIAL_BYTES] = 0;
    layer_node(disk, index, 0, node);
    snprintf(id, sizeof id, "diskdev%zu", index);
    arg_json(b, "-blockdev", chain(b, index));
    /* A write error pauses the guest instead of reaching it: a full disk can be made room on. */
    device = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "driver", drivers[disk->bus], "id", id, "drive",
                       node, "serial", serial, "werror", "stop", "rerror", "report");
    boot_place(b, device, BOOT_DISK, index);
    if (!place(b, device, index, err)) {
        json_decref(device);
        return false;
    }
    arg_json(b, "-device", device);
    return true;
}

bool disks_add(struct builder *b, struct err *err)
{
    if (disks_want_scsi(b->plan)) {
        json_t *scsi = json_pack("{s:s,s:s}", "driver", "virtio-scsi-pci", "id", "scsi0");
        place_on_pci(b, scsi);
        arg_json(b, "-device", scsi);
    }
    for (size_t i = 0; i < b->plan->n_disks; i++)
        if (!disk_add(b, i, err))
            return false;
    return true;
}
