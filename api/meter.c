/* Counting requests: see meter.h. */
#include "api/meter.h"

#include "core/base/mem.h"

#include <stdlib.h>

const char *const meter_refusal_labels[] = {
#define X(name, label) label,
    METER_REFUSALS(X)
#undef X
};

void meter_init(struct meter *meter, size_t n_routes)
{
    meter->n_routes = n_routes;
    meter->requests = mem_array(n_routes + 1, sizeof *meter->requests);
}

void meter_clear(struct meter *meter)
{
    free(meter->requests);
}

void meter_request(struct meter *meter, size_t route, unsigned status, int64_t us)
{
    unsigned class = status >= 100 && status < 600 ? status / 100 - 1 : METER_CLASSES - 1;

    histogram_note(&meter->requests[route][class], &histogram_requests, us);
}
