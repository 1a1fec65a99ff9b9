/* Checks of time and chance: the clock guests are set by, and the source of their randomness. */
#include "core/inspect/check.h"

#include "core/base/str.h"
#include "core/inspect/sysfs.h"

#define SOURCE "sys/devices/system/clocksource/clocksource0"

static enum severity look_source(struct sight *s)
{
    static const char *const fast[] = {"tsc", "kvm-clock", "hyperv_clocksource_tsc_page"};
    char name[64];

    if (!sys_text(s->facts->root, name, sizeof name, SOURCE "/current_clocksource"))
        return SEVERITY_NONE;
    for (size_t i = 0; i < ARRAY_LEN(fast); i++)
        if (str_eq(name, fast[i]))
            return saw(s, SEVERITY_OK, "%s", name);
    return saw(s, SEVERITY_WARNING, "%s: reading the clock is slow, and guests cannot use the TSC",
               name);
}

static enum severity look_sync(struct sight *s)
{
    if (s->facts->clock_synced < 0)
        return SEVERITY_NONE;
    if (s->facts->clock_synced)
        return saw(s, SEVERITY_OK, "the kernel's clock is disciplined (adjtimex)");
    return saw(s, SEVERITY_INFO,
               "nothing keeps the kernel's clock right (adjtimex: unsynchronized)");
}

static enum severity look_entropy(struct sight *s)
{
    uint64_t bits;
    char rng[64];

    if (!sys_u64(s->facts->root, &bits, "proc/sys/kernel/random/entropy_avail"))
        return SEVERITY_NONE;
    if (!sys_text(s->facts->root, rng, sizeof rng, "sys/class/misc/hw_random/rng_current"))
        str_copy(rng, sizeof rng, "none");
    return saw(s, bits < 128 ? SEVERITY_WARNING : SEVERITY_OK,
               "%llu bits in the kernel's pool; hardware generator: %s", (unsigned long long)bits,
               rng);
}

static const struct check checks[] = {
    {"clock-source", "Clock source", look_source,
     "boot without clocksource= and notsc; look for tsc messages in the kernel's log"},
    {"clock-sync", "Clock kept right", look_sync,
     "run chrony or systemd-timesyncd: guests take their time from the host when they start"},
    {"entropy", "Randomness", look_entropy, "install the package rng-tools or haveged"},
};
const struct check_topic checks_clock = {"clock", checks, ARRAY_LEN(checks)};
