/* QEMU's arguments for CD drives. Part of argv.c's work and called by it only. A drive's device is
 * named cd0, cd1, …; the block node in it cd0-<descriptor set>, so that whoever changes the medium
 * later (media.c) knows which set goes with it. */
#include "backends/qemu/builder.h"
#include "backends/qemu/media.h"

#include <stdio.h>

static void add_medium(struct builder *b, unsigned drive, json_t *device, int fd)
{
    unsigned set = launch_set(b, fd);
    json_t *node = media_node(drive, set);

    json_put_text(device, "drive", json_string_value(json_object_get(node, "node-name")));
    arg_json(b, "-blockdev", node);
}

bool cdroms_add(struct builder *b, struct err *err)
{
    unsigned disks = disks_on_ide(b->plan);

    for (unsigned i = 0; i < b->plan->spec->n_cdroms; i++) {
        char id[16], field[32];
        json_t *device = json_pack("{s:s}", "driver", "ide-cd");
        snprintf(id, sizeof id, "cd%u", i);
        snprintf(field, sizeof field, "/cdroms/%u", i);
        json_put_text(device, "id", id);
        if (b->plan->media_fds[i] >= 0)
            add_medium(b, i, device, b->plan->media_fds[i]);
        boot_place(b, device, BOOT_CDROM, i);
        if (!place_on_ide(b, device, disks + i, field, err)) {
            json_decref(device);
            return false;
        }
        arg_json(b, "-device", device);
    }
    return true;
}
