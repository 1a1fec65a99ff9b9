/* QEMU's arguments for the disks: a descriptor set a file, one chain of block nodes a disk, one
 * device. Part of argv.c's work and called by it only; the nodes and devices themselves are those
 * of disk_device.c. */
#include "backends/qemu/builder.h"

#include "backends/qemu/disk_device.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/model/rules.h"

#include <stdio.h>

static unsigned disks_on(const struct machine_plan *plan, int bus)
{
    unsigned n = 0;

    for (size_t i = 0; i < plan->n_disks; i++)
        n += plan->disks[i].bus == bus;
    return n;
}

unsigned disks_pci_slots(const struct machine_plan *plan)
{
    return disks_on(plan, DISK_BUS_VIRTIO) + disks_on(plan, DISK_BUS_NVME) +
           (disks_on(plan, DISK_BUS_SCSI) > 0);
}

unsigned disks_on_ide(const struct machine_plan *plan)
{
    return disks_on(plan, DISK_BUS_IDE);
}

/* The disk's chain, each file read through a set of its own. */
static json_t *chain(struct builder *b, const struct plan_disk *disk, bool direct)
{
    CLEANUP(mem_freep) unsigned *sets = mem_array(disk->n_fds + 1, sizeof *sets);

    for (size_t layer = disk->n_fds; layer-- > 0;) {
        char name[NODE_BYTES];
        disk_node_name(disk, layer, name);
        sets[layer] = disk->files ? launch_set_named(b, disk->fds[layer], name)
                                  : launch_set(b, disk->fds[layer]);
    }
    return disk_chain_json(disk, sets, direct);
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
    int bus = b->plan->disks[index].bus;
    char field[32];

    if (disk_is_on_pci(bus))
        place_on_pci(b, device);
    if (bus != DISK_BUS_IDE)
        return true;
    snprintf(field, sizeof field, "/disks/%zu/bus", index);
    return place_on_ide(b, device, place_number(b->plan, index), field, err);
}

static bool disk_add(struct builder *b, size_t index, struct err *err)
{
    const struct plan_disk *disk = &b->plan->disks[index];
    json_t *bridge = disk_bridge_json(disk), *device;

    arg_json(b, "-blockdev", chain(b, disk, b->facts->direct[index]));
    if (bridge) {
        place_on_usb(b, bridge);
        arg_json(b, "-device", bridge);
    }
    device = disk_device_json(disk);
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
    if (disks_on(b->plan, DISK_BUS_SCSI)) {
        json_t *scsi = json_pack("{s:s,s:s}", "driver", "virtio-scsi-pci", "id", "scsi0");
        place_on_pci(b, scsi);
        arg_json(b, "-device", scsi);
    }
    if (disks_on(b->plan, DISK_BUS_USB))
        usb_add(b, true);
    for (size_t i = 0; i < b->plan->n_disks; i++)
        if (!disk_add(b, i, err))
            return false;
    return true;
}
