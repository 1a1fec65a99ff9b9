/* The block devices of the host: see drive.h. */
#include "core/inspect/drive.h"

#include "core/base/str.h"
#include "core/inspect/sysfs.h"

#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#define BLOCK "sys/block"

static const char *kind_of(const char *name)
{
    static const struct {
        const char *prefix, *kind;
    } kinds[] = {{"nvme", "nvme"},  {"sd", "scsi"},           {"vd", "virtio"}, {"xvd", "xen"},
                 {"mmcblk", "mmc"}, {"dm-", "device-mapper"}, {"md", "raid"},   {"sr", "optical"},
                 {"nbd", "nbd"},    {"zd", "zvol"},           {"drbd", "drbd"}};

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (str_starts(name, kinds[i].prefix))
            return kinds[i].kind;
    return "other";
}

static void put_text(json_t *v, const char *key, int root, const char *name, const char *file)
{
    char text[96];

    json_put_text(v, key,
                  sys_text(root, text, sizeof text, BLOCK "/%s/%s", name, file) && text[0] ? text
                                                                                           : NULL);
}

static uint64_t number_of(int root, const char *name, const char *file, uint64_t or_else)
{
    uint64_t n;

    return sys_u64(root, &n, BLOCK "/%s/%s", name, file) ? n : or_else;
}

static json_t *drive_of(int root, const char *name, uint64_t sectors)
{
    json_t *v = json_object();

    json_put_text(v, "name", name);
    json_put_text(v, "kind", kind_of(name));
    put_text(v, "vendor", root, name, "device/vendor");
    put_text(v, "model", root, name, "device/model");
    json_put_u64(v, "size_bytes", sectors * 512);
    json_put_u64(v, "logical_block_bytes", number_of(root, name, "queue/logical_block_size", 512));
    json_put_u64(v, "physical_block_bytes",
                 number_of(root, name, "queue/physical_block_size", 512));
    json_put_bool(v, "rotational", number_of(root, name, "queue/rotational", 0) == 1);
    json_put_bool(v, "removable", number_of(root, name, "removable", 0) == 1);
    json_put_bool(v, "read_only", number_of(root, name, "ro", 0) == 1);
    json_put_bool(v, "discard", number_of(root, name, "queue/discard_max_bytes", 0) > 0);
    put_text(v, "write_cache", root, name, "queue/write_cache");
    return v;
}

json_t *drive_inventory(int root)
{
    CLEANUP(sys_names_clear) struct sys_names names = sys_list(root, BLOCK);
    json_t *list = json_array();

    for (size_t i = 0; i < names.n; i++) {
        const char *name = names.name[i];
        uint64_t sectors = number_of(root, name, "size", 0);
        if (sectors && sectors < INT64_MAX / 512 && !str_starts(name, "loop") &&
            !str_starts(name, "ram") && !str_starts(name, "zram"))
            json_array_append_new(list, drive_of(root, name, sectors));
    }
    return list;
}

int drive_discards(int root, dev_t device)
{
    uint64_t bytes;
    unsigned ma = major(device), mi = minor(device);

    /* A partition has no queue of its own: its parent's counts. */
    if (sys_u64(root, &bytes, "sys/dev/block/%u:%u/queue/discard_max_bytes", ma, mi) ||
        sys_u64(root, &bytes, "sys/dev/block/%u:%u/../queue/discard_max_bytes", ma, mi))
        return bytes > 0;
    return -1;
}
