/* What a measurement makes of the limit: see pace.h. Pure. */
#include "core/disk/pace.h"

#define MIB     (1ull << 20)
#define SLOWEST (4 * MIB)
#define FASTEST (2048 * MIB)
#define IDLE_MS 300
#define SLOWER  1.25 /* times as long as before: the guest suffers */

void pace_rule_step(struct pace_rule *rule, const struct machine_disk_stats *since, unsigned ms)
{
    const uint64_t n = since->writes + since->flushes;
    const double each_ns = n ? (double)(since->write_ns + since->flush_ns) / (double)n : 0;

    if (!n) {
        rule->idle_ms += ms;
        if (rule->idle_ms >= IDLE_MS)
            rule->limit = 0;
        return;
    }
    rule->idle_ms = 0;
    if (!rule->limit)
        rule->limit = PACE_FIRST;
    else if (rule->before_ns && each_ns > SLOWER * rule->before_ns)
        rule->limit = rule->limit * 2 / 3;
    else
        rule->limit += rule->limit / 8;
    if (!rule->before_ns)
        rule->before_ns = each_ns;
    rule->limit = rule->limit < SLOWEST ? SLOWEST : rule->limit > FASTEST ? FASTEST : rule->limit;
}
