/* The files of running disks: see layers.h. Called by core through backend_qemu, and by
 * block_jobs.c.
 *
 *   snapshot   lend each overlay's descriptor ─► its node, lying on nothing ─► one transaction puts
 *              them all on top of the disks' nodes: guest writes go there from then on
 *
 * Nodes are named after their files, so what QEMU has is found again by whoever asks next. A VM
 * that an older vmmd started has other names: it is told to be started again. */
#include "backends/qemu/layers.h"

#include "backends/qemu/argv.h"
#include "backends/qemu/disk_device.h"
#include "backends/qemu/machine.h"
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <stdio.h>
#include <string.h>

bool layers_qmp(struct machine *m, const char *command, json_t *arguments, struct err *err)
{
    return link_qmp(m->link, command, arguments, NULL, 0, QMP_MS, NULL, err);
}

/* ---- which node a disk writes to ---- */

/* A device's name, or a path with it: "/machine/peripheral/diskdev0/virtio-backend". */
static bool is_device(const char *qdev, const char *id)
{
    const char *at = qdev ? strstr(qdev, id) : NULL;

    return at && (at == qdev || at[-1] == '/') && (!at[strlen(id)] || at[strlen(id)] == '/');
}

bool layers_top(struct machine *m, unsigned disk, struct top *out, struct err *err)
{
    CLEANUP(json_decrefp) json_t *all = NULL;
    const json_t *one;
    char id[32];
    size_t i;

    snprintf(id, sizeof id, "diskdev%u", disk);
    if (!link_qmp(m->link, "query-block", NULL, NULL, 0, QMP_MS, &all, err))
        return false;
    json_array_foreach (all, i, one) {
        const json_t *inserted = json_object_get(one, "inserted");
        const char *node = json_get_text(inserted, "node-name");
        const char *qdev = json_get_text(one, "qdev");
        const char *driver = json_get_text(inserted, "drv");
        if (!node || strlen(node) >= sizeof out->node || !is_device(qdev, id))
            continue;
        str_copy(out->node, sizeof out->node, node);
        str_copy(out->driver, sizeof out->driver, driver ? driver : "");
        out->alone = json_get_u64(inserted, "backing_file_depth", 1) == 0;
        out->direct = json_get_bool(json_object_get(inserted, "cache"), "direct", false);
        return true;
    }
    return err_set(err, ERR_HYPERVISOR, "QEMU does not know disk %u", disk);
}

bool machine_is_leaf(struct machine *m, unsigned disk, const struct uuid *file, bool *yes,
                     struct err *err)
{
    char node[NODE_BYTES];
    struct top top;

    file_node_name(file, node);
    if (!layers_top(m, disk, &top, err))
        return false;
    *yes = str_eq(top.node, node);
    return true;
}

/* ---- letting go ---- */

void layers_drop(struct machine *m, const char *node)
{
    struct err err = {0};

    err_ignore(layers_qmp(m, "blockdev-del", json_pack("{s:s}", "node-name", node), &err), &err);
    fdset_take_back_all(m, node);
}

bool machine_drop_file(struct machine *m, const struct uuid *file, struct err *err)
{
    char node[NODE_BYTES];

    file_node_name(file, node);
    lock_take(&m->changing);
    layers_drop(m, node);
    lock_drop(&m->changing);
    return true;
}

/* ---- snapshot ---- */

/* What an attempt that was cut off left goes first. */
bool layers_plug(struct machine *m, const struct machine_overlay *overlay, struct top *top,
                 struct err *err)
{
    char node[NODE_BYTES];
    unsigned set;

    file_node_name(&overlay->file, node);
    layers_drop(m, node);
    return machine_may_write(m, overlay->fd, err) && layers_top(m, overlay->disk, top, err) &&
           fdset_lend(m, overlay->fd, node, &set, err) && FAILPOINT("qemu.snapshot.node", err) &&
           layers_qmp(m, "blockdev-add",
                      disk_layer_json(node, "qcow2", set, false, top->direct, NULL), err);
}

static bool add_overlay(struct machine *m, const struct machine_overlay *overlay, json_t *actions,
                        struct err *err)
{
    char node[NODE_BYTES];
    struct top top;

    if (!layers_plug(m, overlay, &top, err))
        return false;
    file_node_name(&overlay->file, node);
    json_array_append_new(actions, json_pack("{s:s,s:{s:s,s:s}}", "type", "blockdev-snapshot",
                                             "data", "node", top.node, "overlay", node));
    return true;
}

static bool switch_all(struct machine *m, const struct machine_overlay *overlays, size_t n,
                       struct err *err)
{
    json_t *actions = json_array();
    bool ok = true;

    for (size_t i = 0; ok && i < n; i++)
        ok = add_overlay(m, &overlays[i], actions, err);
    if (!ok) {
        json_decref(actions);
        return false;
    }
    return FAILPOINT_AROUND(
        "qemu.snapshot", layers_qmp(m, "transaction", json_pack("{s:o}", "actions", actions), err),
        err);
}

bool machine_snapshot(struct machine *m, const struct machine_overlay *overlays, size_t n,
                      struct err *err)
{
    bool ok;

    lock_take(&m->changing);
    ok = switch_all(m, overlays, n, err);
    lock_drop(&m->changing);
    for (size_t i = 0; i < n; i++) {
        int fd = overlays[i].fd;
        closep(&fd);
    }
    return ok;
}

/* ---- what is open ---- */

/* The set through which QEMU reads a file in the middle of a chain. */
bool layers_set_of(struct machine *m, const char *node, unsigned *set, struct err *err)
{
    CLEANUP(json_decrefp) json_t *all = NULL;
    char file[NODE_BYTES + 2];
    const json_t *one;
    size_t i;

    snprintf(file, sizeof file, "%s-f", node);
    if (!link_qmp(m->link, "query-named-block-nodes", json_pack("{s:b}", "flat", 1), NULL, 0,
                  QMP_MS, &all, err))
        return false;
    json_array_foreach (all, i, one) {
        const char *path = json_get_text(one, "file");
        if (str_eq(json_get_text(one, "node-name"), file) && path &&
            sscanf(path, "/dev/fdset/%u", set) == 1)
            return true;
    }
    return err_set(err, ERR_WRONG_STATE,
                   "the running VM does not use that file: it lies on another branch, or an older "
                   "vmmd started the VM; stop the VM and try again");
}

/* QEMU opens the file for writing as soon as a writable descriptor is in its set. */
bool layers_make_writable(struct machine *m, const char *node, int fd, struct err *err)
{
    unsigned set;

    return fd < 0 || (machine_may_write(m, fd, err) && layers_set_of(m, node, &set, err) &&
                      link_qmp(m->link, "add-fd",
                               json_pack("{s:i,s:s}", "fdset-id", (int)set, "opaque", node), &fd, 1,
                               QMP_MS, NULL, err));
}

/* How a node is open; it is there. */
struct node {
    bool read_only, direct;
    char driver[16];
};

static bool look_at(struct machine *m, const char *name, struct node *out, struct err *err)
{
    CLEANUP(json_decrefp) json_t *all = NULL;
    const json_t *one;
    size_t i;

    if (!link_qmp(m->link, "query-named-block-nodes", json_pack("{s:b}", "flat", 1), NULL, 0,
                  QMP_MS, &all, err))
        return false;
    json_array_foreach (all, i, one) {
        const char *driver = json_get_text(one, "drv");
        if (!str_eq(json_get_text(one, "node-name"), name))
            continue;
        str_copy(out->driver, sizeof out->driver, driver ? driver : "");
        out->read_only = json_get_bool(one, "ro", false);
        out->direct = json_get_bool(json_object_get(one, "cache"), "direct", false);
        return true;
    }
    return err_set(err, ERR_HYPERVISOR, "QEMU does not know the file any more");
}

/* There is no command that flushes. To open a node again with the options it has does, and says
 * when it could not; a file in the middle of a chain was opened again as it became read-only. */
bool machine_flush(struct machine *m, const struct uuid *file, const struct uuid *base,
                   struct err *err)
{
    char name[NODE_BYTES], below[NODE_BYTES], protocol[NODE_BYTES + 2];
    struct node node;
    json_t *options;

    file_node_name(file, name);
    snprintf(protocol, sizeof protocol, "%s-f", name);
    if (!look_at(m, name, &node, err))
        return false;
    if (node.read_only)
        return true;
    options =
        json_pack("{s:s,s:s,s:s,s:s,s:{s:b,s:b}}", "driver", node.driver, "node-name", name, "file",
                  protocol, "discard", "unmap", "cache", "direct", node.direct, "no-flush", 0);
    file_node_name(base, below);
    if (str_eq(node.driver, "qcow2"))
        json_put(options, "backing", uuid_is_zero(base) ? NULL : json_string(below));
    return FAILPOINT_AROUND(
        "qemu.flush",
        layers_qmp(m, "blockdev-reopen", json_pack("{s:[o]}", "options", options), err), err);
}
