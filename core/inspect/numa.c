/* NUMA nodes from sysfs: see numa.h. */
#include "core/inspect/numa.h"

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/inspect/sysfs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODES "sys/devices/system/node"

/* "Node 0 MemTotal:       16316412 kB" */
static uint64_t memory_of(int root, const char *node, const char *key)
{
    CLEANUP(mem_freep) char *text = sys_whole(root, 16384, NODES "/%s/meminfo", node);
    const char *at = text ? strstr(text, key) : NULL;
    uint64_t kib = 0;

    if (at && sscanf(at + strlen(key), ": %" SCNu64, &kib) != 1)
        kib = 0;
    return kib * 1024;
}

static json_t *distances_of(int root, const char *node)
{
    json_t *list = json_array();
    char text[512], *rest = text, *word;

    sys_text(root, text, sizeof text, NODES "/%s/distance", node);
    while ((word = strsep(&rest, " "))) {
        uint64_t n;
        if (str_to_u64(word, &n) && n < 256)
            json_array_append_new(list, json_integer((json_int_t)n));
    }
    return list;
}

json_t *numa_inventory(int root)
{
    CLEANUP(sys_names_clear) struct sys_names names = sys_list(root, NODES);
    json_t *list = json_array();
    char cpus[256];
    uint64_t id;

    for (size_t i = 0; i < names.n; i++) {
        const char *node = names.name[i];
        json_t *v;
        if (!str_starts(node, "node") || !str_to_u64(node + 4, &id))
            continue;
        v = json_object();
        sys_text(root, cpus, sizeof cpus, NODES "/%s/cpulist", node);
        json_put_u64(v, "id", id);
        json_put_text(v, "cpus", cpus);
        json_put_u64(v, "memory_bytes", memory_of(root, node, "MemTotal"));
        json_put_u64(v, "free_bytes", memory_of(root, node, "MemFree"));
        json_put(v, "distances", distances_of(root, node));
        json_array_append_new(list, v);
    }
    return list;
}
