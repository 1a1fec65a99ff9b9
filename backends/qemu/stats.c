/* What the guest asks of its disks, as QEMU counts it. For copies that must not slow it down. */
#include "backends/qemu/machine.h"
#include "core/base/json.h"

static void add(const json_t *one, struct machine_disk_stats *out)
{
    const json_t *stats = json_object_get(one, "stats");

    out->writes += json_get_u64(stats, "wr_operations", 0);
    out->write_ns += json_get_u64(stats, "wr_total_time_ns", 0);
    out->written_bytes += json_get_u64(stats, "wr_bytes", 0);
    out->flushes += json_get_u64(stats, "flush_operations", 0);
    out->flush_ns += json_get_u64(stats, "flush_total_time_ns", 0);
}

bool machine_disk_stats(struct machine *m, struct machine_disk_stats *out, struct err *err)
{
    CLEANUP(json_decrefp) json_t *all = NULL;
    const json_t *one;
    size_t i;

    *out = (struct machine_disk_stats){0};
    if (!link_qmp(m->link, "query-blockstats", NULL, NULL, 0, QMP_MS, &all, err))
        return false;
    json_array_foreach (all, i, one)
        add(one, out);
    return true;
}
