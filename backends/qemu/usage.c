/* What a QEMU process has used. From /proc, which any user may read unless the host hides
 * processes; then nothing is told. The cgroup of the VM would count the helpers besides, but main
 * has no descriptor of it, and this needs no right. */
#include "backends/qemu/machine.h"
#include "core/base/proc.h"

/* A number that was given to another process meanwhile began at another time. */
static bool is_same(struct machine *m, uint64_t start_ticks)
{
    uint_least64_t first = 0;

    return atomic_compare_exchange_strong(&m->qemu_start_ticks, &first, start_ticks) ||
           first == start_ticks;
}

bool machine_usage_read(struct machine *m, struct machine_usage *out)
{
    struct proc_facts facts;

    if (m->qemu_pid <= 0 || !proc_read(m->qemu_pid, &facts) || !is_same(m, facts.start_ticks))
        return false;
    *out = (struct machine_usage){
        .cpu_ms = facts.cpu_ms, .rss_bytes = facts.rss_bytes, .uptime_ms = facts.age_ms};
    return true;
}
