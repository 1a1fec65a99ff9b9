/* Disks of a living machine: see disks.h. Called by core through backend_qemu.
 *
 *   add     lend the files ─► their nodes ─► (a controller, when its bus has none) ─► (a bridge) ─►
 *           the device
 *   unplug  device_del, and nothing more: when the guest lets go is its own business
 *   grow    block_resize of whatever the disk writes to, and what QEMU says then
 *   limit   by the device, not by a node: nodes come and go under it with snapshots and moves
 *
 * A board of PCI Express takes devices into root ports that are there from its start; which are
 * free is asked of QEMU each time. */
#include "backends/qemu/disks.h"

#include "backends/qemu/argv.h"
#include "backends/qemu/disk_device.h"
#include "backends/qemu/machine.h"
#include "backends/qemu/plan.h"
#include "core/base/failpoint.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <stdio.h>
#include <string.h>

#define PORTS_MAX 64

static bool qmp(struct machine *m, const char *command, json_t *arguments, struct err *err)
{
    return link_qmp(m->link, command, arguments, NULL, 0, QMP_MS, NULL, err);
}

static bool list(struct machine *m, const char *path, json_t **out, struct err *err)
{
    return link_qmp(m->link, "qom-list", json_pack("{s:s}", "path", path), NULL, 0, QMP_MS, out,
                    err);
}

/* A device with this id is plugged in, or about to go. */
static bool has_device(struct machine *m, const char *id, bool *yes, struct err *err)
{
    CLEANUP(json_decrefp) json_t *all = NULL;
    const json_t *one;
    size_t i;

    *yes = false;
    if (!list(m, "/machine/peripheral", &all, err))
        return false;
    json_array_foreach (all, i, one)
        *yes |= str_eq(json_get_text(one, "name"), id);
    return true;
}

bool machine_disk_is_there(struct machine *m, unsigned disk, bool *yes, struct err *err)
{
    char id[DISK_ID_BYTES];

    disk_device_id(disk, id);
    return has_device(m, id, yes, err);
}

/* ---- where it goes ---- */

/* The first root port with nothing in it; false when there is no such port. */
static bool port_is_free(struct machine *m, unsigned port, bool *is_free, struct err *err)
{
    CLEANUP(json_decrefp) json_t *all = NULL;
    const json_t *one;
    char path[48];
    size_t i;

    snprintf(path, sizeof path, "/machine/peripheral/rp%u/rp%u", port, port);
    if (!list(m, path, &all, err))
        return false;
    *is_free = true;
    json_array_foreach (all, i, one) {
        const char *name = json_get_text(one, "name");
        *is_free &= !(name && str_starts(name, "child["));
    }
    return true;
}

static bool put_on_pci(struct machine *m, json_t *device, struct err *err)
{
    char bus[16];

    for (unsigned port = 0; port < PORTS_MAX; port++) {
        struct err none = {0};
        bool is_free;
        if (!port_is_free(m, port, &is_free, &none)) {
            if (none.code != ERR_HYPERVISOR) {
                *err = none;
                return false;
            }
            if (port) /* that was the last one */
                break;
            json_put_text(device, "bus", "pci.0");
            return true;
        }
        if (!is_free)
            continue;
        snprintf(bus, sizeof bus, "rp%u", port);
        json_put_text(device, "bus", bus);
        return true;
    }
    return err_set(err, ERR_UNSUPPORTED,
                   "the running VM has no free slot for another device: stop it and try again, it "
                   "has new ones at its next start");
}

static bool plug(struct machine *m, json_t *device, bool on_pci, struct err *err)
{
    if (on_pci && !put_on_pci(m, device, err)) {
        json_decref(device);
        return false;
    }
    return FAILPOINT_AROUND("qemu.disk.plug", qmp(m, "device_add", device, err), err);
}

/* SCSI and USB disks need one; a machine that has none gets it as it gets disks. */
static bool add_controller(struct machine *m, int bus, struct err *err)
{
    const char *driver = bus == DISK_BUS_SCSI ? "virtio-scsi-pci" : "qemu-xhci";
    const char *id = bus == DISK_BUS_SCSI ? "scsi0" : "usb0";
    bool there;

    if (bus != DISK_BUS_SCSI && bus != DISK_BUS_USB)
        return true;
    return has_device(m, id, &there, err) &&
           (there || plug(m, json_pack("{s:s,s:s}", "driver", driver, "id", id), true, err));
}

/* ---- add ---- */

static void drop_nodes(struct machine *m, const struct plan_disk *disk)
{
    for (size_t layer = 0; layer < disk->n_fds; layer++) {
        char node[NODE_BYTES];
        struct err ignored = {0};
        disk_node_name(disk, layer, node);
        err_ignore(qmp(m, "blockdev-del", json_pack("{s:s}", "node-name", node), &ignored),
                   &ignored);
        fdset_take_back_all(m, node);
    }
}

static bool add_nodes(struct machine *m, const struct plan_disk *disk, struct err *err)
{
    CLEANUP(mem_freep) unsigned *sets = mem_array(disk->n_fds + 1, sizeof *sets);

    for (size_t layer = 0; layer < disk->n_fds; layer++) {
        char node[NODE_BYTES];
        disk_node_name(disk, layer, node);
        if (!fdset_lend(m, disk->fds[layer], node, &sets[layer], err))
            return false;
    }
    return FAILPOINT_AROUND(
        "qemu.disk.node",
        qmp(m, "blockdev-add", disk_chain_json(disk, sets, plan_is_direct(disk)), err), err);
}

static void unplug_bridge(struct machine *m, unsigned disk)
{
    struct err ignored = {0};
    char id[DISK_ID_BYTES];

    disk_bridge_id(disk, id);
    err_ignore(qmp(m, "device_del", json_pack("{s:s}", "id", id), &ignored), &ignored);
}

/* The guest sees a bridge when what is behind it is complete. */
static bool add_behind_bridge(struct machine *m, const struct plan_disk *disk, json_t *bridge,
                              struct err *err)
{
    char path[64], id[DISK_ID_BYTES];

    disk_bridge_id(disk->position, id);
    snprintf(path, sizeof path, "/machine/peripheral/%s", id);
    if (!plug(m, bridge, false, err))
        return false;
    if (plug(m, disk_device_json(disk), false, err) &&
        qmp(m, "qom-set",
            json_pack("{s:s,s:s,s:b}", "path", path, "property", "attached", "value", 1), err))
        return true;
    unplug_bridge(m, disk->position);
    return false;
}

static bool add_device(struct machine *m, const struct plan_disk *disk, struct err *err)
{
    json_t *bridge;

    if (!add_controller(m, disk->bus, err))
        return false;
    bridge = disk_bridge_json(disk);
    return bridge ? add_behind_bridge(m, disk, bridge, err)
                  : plug(m, disk_device_json(disk), disk_is_on_pci(disk->bus), err);
}

static bool add(struct machine *m, const struct plan_disk *disk, struct err *err)
{
    bool there;

    if (disk->bus == DISK_BUS_IDE)
        return err_set(err, ERR_UNSUPPORTED,
                       "IDE disks cannot be plugged in while the VM runs: stop it first, or choose "
                       "the bus virtio, scsi, usb or nvme");
    if (!machine_disk_is_there(m, disk->position, &there, err) || there)
        return there;
    if (!machine_may_write(m, disk->fds[0], err))
        return false;
    drop_nodes(m, disk); /* of an attempt that was cut off */
    if (add_nodes(m, disk, err) && add_device(m, disk, err))
        return true;
    drop_nodes(m, disk);
    return false;
}

bool machine_disk_add(struct machine *m, const struct plan_disk *disk, struct err *err)
{
    bool ok;

    lock_take(&m->changing);
    ok = add(m, disk, err);
    lock_drop(&m->changing);
    plan_close_disk(disk);
    return ok;
}

/* ---- unplug ---- */

/* A second request while the guest still thinks about the first is none. */
static bool unplug(struct machine *m, const char *id, struct err *err)
{
    struct err refused = {0};

    if (FAILPOINT_AROUND("qemu.disk.unplug",
                         qmp(m, "device_del", json_pack("{s:s}", "id", id), &refused), &refused))
        return true;
    if (refused.code == ERR_HYPERVISOR && strstr(refused.detail, "in the process of unplug"))
        return true;
    *err = refused;
    return false;
}

bool machine_disk_unplug(struct machine *m, unsigned disk, struct err *err)
{
    char id[DISK_ID_BYTES], bridge[DISK_ID_BYTES];
    bool there = false, bridged = false, ok;

    disk_device_id(disk, id);
    disk_bridge_id(disk, bridge);
    lock_take(&m->changing);
    ok = has_device(m, id, &there, err) && has_device(m, bridge, &bridged, err) &&
         (!(there || bridged) || unplug(m, bridged ? bridge : id, err));
    lock_drop(&m->changing);
    return ok;
}

/* ---- the disk as it is ---- */

struct seen {
    char node[64], qdev[128];
    uint64_t size_bytes;
};

/* A device's name, or a path with it: "/machine/peripheral/diskdev0/virtio-backend". */
static bool is_device(const char *qdev, const char *id)
{
    const char *at = qdev ? strstr(qdev, id) : NULL;

    return at && (at == qdev || at[-1] == '/') && (!at[strlen(id)] || at[strlen(id)] == '/');
}

static bool look(struct machine *m, unsigned disk, struct seen *out, struct err *err)
{
    CLEANUP(json_decrefp) json_t *all = NULL;
    char id[DISK_ID_BYTES];
    const json_t *one;
    size_t i;

    disk_device_id(disk, id);
    if (!link_qmp(m->link, "query-block", NULL, NULL, 0, QMP_MS, &all, err))
        return false;
    json_array_foreach (all, i, one) {
        const json_t *inserted = json_object_get(one, "inserted");
        const char *node = json_get_text(inserted, "node-name");
        const char *qdev = json_get_text(one, "qdev");
        if (!node || strlen(node) >= sizeof out->node || !is_device(qdev, id) ||
            strlen(qdev) >= sizeof out->qdev)
            continue;
        str_copy(out->node, sizeof out->node, node);
        str_copy(out->qdev, sizeof out->qdev, qdev);
        out->size_bytes = json_get_u64(json_object_get(inserted, "image"), "virtual-size", 0);
        return true;
    }
    return err_set(err, ERR_WRONG_STATE, "the running VM does not have disk %u", disk);
}

static bool grow(struct machine *m, unsigned disk, uint64_t size_bytes, struct err *err)
{
    struct seen now;

    if (!look(m, disk, &now, err))
        return false;
    return now.size_bytes >= size_bytes ||
           FAILPOINT_AROUND(
               "qemu.disk.grow",
               qmp(m, "block_resize",
                   json_pack("{s:s,s:I}", "node-name", now.node, "size", (json_int_t)size_bytes),
                   err),
               err);
}

bool machine_disk_grow(struct machine *m, unsigned disk, uint64_t size_bytes, uint64_t *now,
                       struct err *err)
{
    struct seen after = {0};
    bool ok;

    lock_take(&m->changing);
    ok = grow(m, disk, size_bytes, err) && look(m, disk, &after, err);
    lock_drop(&m->changing);
    *now = after.size_bytes;
    return ok;
}

/* ---- limits ---- */

static void put_limit(json_t *arguments, const char *name, uint64_t limit, uint64_t burst,
                      uint32_t burst_s)
{
    char max[32], length[40];

    json_put_u64(arguments, name, limit);
    if (!burst)
        return;
    snprintf(max, sizeof max, "%s_max", name);
    snprintf(length, sizeof length, "%s_max_length", name);
    json_put_u64(arguments, max, burst);
    json_put_u64(arguments, length, burst_s ? burst_s : 1);
}

bool machine_disk_limit(struct machine *m, unsigned disk, const struct disk_limits *l,
                        struct err *err)
{
    struct seen now;
    json_t *arguments;

    if (!look(m, disk, &now, err))
        return false;
    arguments = json_pack("{s:s}", "id", now.qdev);
    put_limit(arguments, "iops", l->iops, l->iops_burst, l->burst_s);
    put_limit(arguments, "iops_rd", l->iops_read, l->iops_read_burst, l->burst_s);
    put_limit(arguments, "iops_wr", l->iops_write, l->iops_write_burst, l->burst_s);
    put_limit(arguments, "bps", l->bytes, l->bytes_burst, l->burst_s);
    put_limit(arguments, "bps_rd", l->bytes_read, l->bytes_read_burst, l->burst_s);
    put_limit(arguments, "bps_wr", l->bytes_write, l->bytes_write_burst, l->burst_s);
    return FAILPOINT_AROUND("qemu.disk.limit", qmp(m, "block_set_io_throttle", arguments, err),
                            err);
}
