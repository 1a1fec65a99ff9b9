/* Processors that are plugged into a running machine. Called by core through backend_qemu.
 *
 * QEMU lists every place there is (query-hotpluggable-cpus), with its address in the topology and,
 * when it is taken, the processor's path. Places are filled from the lowest address on, one after
 * the other; the list is asked anew each time, so it does not matter who plugged in what before. */
#include "backends/qemu/machine.h"

#include "core/base/failpoint.h"

#include <stdio.h>

struct places {
    unsigned taken, all;
    const json_t *next; /* the lowest free one; NULL: none */
};

/* An address as one number: socket, die, core, thread, 16 bits each. */
static uint64_t rank(const json_t *place)
{
    static const char *const parts[] = {"socket-id", "die-id", "core-id", "thread-id"};
    const json_t *props = json_object_get(place, "props");
    uint64_t rank = 0;

    for (unsigned i = 0; i < ARRAY_LEN(parts); i++)
        rank = rank << 16 | (json_get_u64(props, parts[i], 0) & 0xffff);
    return rank;
}

static struct places count(const json_t *list)
{
    struct places p = {0};
    const json_t *place;
    size_t i;

    json_array_foreach (list, i, place) {
        unsigned n = (unsigned)json_get_u64(place, "vcpus-count", 1);
        p.all += n;
        if (json_object_get(place, "qom-path"))
            p.taken += n;
        else if (!p.next || rank(place) < rank(p.next))
            p.next = place;
    }
    return p;
}

static bool plug_in(struct machine *m, const json_t *place, struct err *err)
{
    json_t *arguments = json_copy(json_object_get(place, "props"));
    const char *driver = json_get_text(place, "type");
    char id[40];

    if (!arguments || !driver) {
        json_decref(arguments);
        return err_set(err, ERR_HYPERVISOR, "QEMU does not say how a processor is plugged in");
    }
    snprintf(id, sizeof id, "vcpu-%llx", (unsigned long long)rank(place));
    json_put_text(arguments, "driver", driver);
    json_put_text(arguments, "id", id);
    return FAILPOINT_AROUND(
        "qemu.vcpu", link_qmp(m->link, "device_add", arguments, NULL, 0, QMP_MS, NULL, err), err);
}

/* One step; '*more' says whether another one is needed. */
static bool step(struct machine *m, unsigned wanted, unsigned *now, bool *more, struct err *err)
{
    CLEANUP(json_decrefp) json_t *list = NULL;
    struct places p;

    if (!link_qmp(m->link, "query-hotpluggable-cpus", NULL, NULL, 0, QMP_MS, &list, err))
        return false;
    p = count(list);
    *now = p.taken;
    *more = p.taken < wanted;
    if (wanted < p.taken)
        return err_set(err, ERR_UNSUPPORTED,
                       "the VM has %u processors and they cannot be taken away while it runs: it "
                       "has %u at its next start",
                       p.taken, wanted);
    if (wanted > p.all)
        return err_set(err, ERR_UNSUPPORTED,
                       "the running VM has room for %u processors: raise cpu.max_vcpus and start "
                       "it anew",
                       p.all);
    return !*more || plug_in(m, p.next, err);
}

/* After a failure: whether the last one was plugged in nevertheless is QEMU's to say. */
static void recount(struct machine *m, unsigned *now)
{
    CLEANUP(json_decrefp) json_t *list = NULL;
    struct err ignored = {0};

    if (link_qmp(m->link, "query-hotpluggable-cpus", NULL, NULL, 0, QMP_MS, &list, &ignored))
        *now = count(list).taken;
}

bool machine_set_vcpus(struct machine *m, unsigned wanted, unsigned *now, struct err *err)
{
    bool ok = true, more = true;

    *now = 0;
    lock_take(&m->changing);
    for (unsigned steps = 0; ok && more; steps++) /* each plugs in one, if it is to be believed */
        ok = steps <= wanted ? step(m, wanted, now, &more, err)
                             : err_set(err, ERR_HYPERVISOR,
                                       "QEMU plugs processors in and does not have them then");
    if (!ok && more)
        recount(m, now);
    lock_drop(&m->changing);
    return ok;
}
