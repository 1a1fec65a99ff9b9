/* Collecting what the services count: see measure.h. */
#include "core/core/measure.h"

#include "core/core/parts.h"
#include "core/job/measure.h"
#include "core/port/host.h"
#include "core/vm/measure.h"

#include <stdlib.h>

void core_measure(struct core *core, struct core_measures *out)
{
    *out = (struct core_measures){0};
    event_facts(core, &out->events);
    store_facts(core->store, &out->store);
    host_worker_starts(&out->worker_starts);
    jobs_measure(core->jobs, out);
    vms_measure(core, out);
}

void core_measures_clear(struct core_measures *m)
{
    free(m->ends);
    free(m->kinds);
    free(m->vms);
    *m = (struct core_measures){0};
}
