/* See pace.h. */
#include "core/disk/pace.h"

#include "core/base/clock.h"
#include "core/vm/registry.h"

#define MEASURE_MS 300

/* ---- looking ---- */

static bool read_stats(struct pace *p, struct machine_disk_stats *out)
{
    const struct backend *backend;
    struct err err = {0};
    struct machine *machine = vm_machine_use(p->core, p->vm, &backend, &err);
    bool ok;

    if (!machine)
        return false;
    ok = backend->disk_stats && backend->disk_stats(machine, out, &err);
    vm_machine_done(p->core, p->vm);
    return ok;
}

static struct machine_disk_stats between(const struct machine_disk_stats *from,
                                         const struct machine_disk_stats *to)
{
    return (struct machine_disk_stats){.writes = to->writes - from->writes,
                                       .flushes = to->flushes - from->flushes,
                                       .write_ns = to->write_ns - from->write_ns,
                                       .flush_ns = to->flush_ns - from->flush_ns,
                                       .written_bytes = to->written_bytes - from->written_bytes};
}

static bool never(const struct vm *vm, void *ctx)
{
    return false;
}

static void rest(struct pace *p, int64_t until_ms)
{
    (void)vm_wait(p->core, p->vm, never, NULL, until_ms);
}

static double mean_ns(const struct machine_disk_stats *s)
{
    const uint64_t n = s->writes + s->flushes;

    return n ? (double)(s->write_ns + s->flush_ns) / (double)n : 0;
}

void pace_begin_at_once(struct pace *p, struct core *core, struct vm *vm, struct job *job)
{
    *p = (struct pace){.core = core, .vm = vm, .job = job};
    p->looked_ms = p->budget_ms = clock_mono_ms();
    p->known = read_stats(p, &p->last);
    if (p->known)
        p->rule.before_ns = mean_ns(&p->last);
}

void pace_begin(struct pace *p, struct core *core, struct vm *vm, struct job *job)
{
    struct machine_disk_stats now, since;
    uint64_t said;

    *p = (struct pace){.core = core, .vm = vm, .job = job};
    p->looked_ms = p->budget_ms = clock_mono_ms();
    if (job_bandwidth(job, &said))
        return; /* nobody asks what the guest does */
    p->known = read_stats(p, &p->last);
    if (p->known) {
        rest(p, clock_mono_ms() + MEASURE_MS);
        p->known = read_stats(p, &now);
    }
    p->looked_ms = p->budget_ms = clock_mono_ms();
    if (!p->known)
        return;
    since = between(&p->last, &now);
    p->last = now;
    if (since.writes + since.flushes) {
        p->rule.before_ns = mean_ns(&since);
        p->rule.limit = PACE_FIRST;
    }
}

static void look(struct pace *p)
{
    const int64_t now_ms = clock_mono_ms();
    struct machine_disk_stats now, since;

    if (now_ms - p->looked_ms < PACE_TICK_MS)
        return;
    if (read_stats(p, &now)) {
        since = between(&p->last, &now);
        if (p->known)
            pace_rule_step(&p->rule, &since, (unsigned)(now_ms - p->looked_ms));
        p->last = now;
        p->known = true;
    } else {
        p->known = false; /* no guest: nobody to be kind to */
        p->rule.limit = 0;
    }
    p->looked_ms = now_ms;
}

uint64_t pace_now(struct pace *p)
{
    uint64_t said;

    if (job_bandwidth(p->job, &said))
        return said;
    look(p);
    return p->rule.limit;
}

bool pace_wait(struct pace *p, uint64_t bytes, struct err *err)
{
    const int64_t begin_ms = clock_mono_ms();
    uint64_t limit = pace_now(p);

    if (p->budget_ms < begin_ms)
        p->budget_ms = begin_ms;
    if (limit)
        p->budget_ms += (int64_t)(bytes * 1000 / limit);
    /* a limit that is lifted meanwhile is lifted for what waits, too */
    while (limit && clock_left_ms(p->budget_ms) > PACE_TICK_MS / 4 && !job_cancelled(p->job)) {
        const int64_t tick_ms = clock_mono_ms() + PACE_TICK_MS;
        rest(p, tick_ms < p->budget_ms ? tick_ms : p->budget_ms);
        if (pace_now(p) != limit) {
            limit = pace_now(p);
            p->budget_ms = clock_mono_ms();
        }
    }
    if (atomic_load(&p->core->closing))
        return err_set(err, ERR_UNAVAILABLE, "the daemon ends; the copy is begun again");
    return !job_cancelled(p->job) || err_set(err, ERR_CANCELLED, "nothing was moved");
}
