/* The ring of events: see events.h. */
#include "vmmd/worker/events.h"

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "vmmd/worker/worker.h"

#include <stdlib.h>
#include <string.h>

#define EVENT_MAX                                                                                  \
    4096 /* bytes of one event's data: QEMU is not trusted with the worker's memory                \
          */

static char *compose(uint64_t seq, const char *name, const json_t *data)
{
    CLEANUP(json_decrefp) json_t *event = json_object();
    CLEANUP(mem_freep) char *inner = data ? json_write(data) : NULL;

    json_put_u64(event, "seq", seq);
    json_put_u64(event, "at", (uint64_t)clock_wall_ms());
    json_put_text(event, "event", name);
    if (inner && strlen(inner) <= EVENT_MAX)
        json_put(event, "data", json_incref((json_t *)data));
    else
        json_put(event, "data", json_object());
    if (inner && strlen(inner) > EVENT_MAX)
        json_put_bool(event, "truncated", true);
    return json_write(event);
}

void events_add(struct worker *w, const char *name, const json_t *data)
{
    char **place = &w->events.texts[++w->events.last % WORKER_EVENTS];

    free(*place);
    *place = compose(w->events.last, name, data);
    daemon_notify(w, WORKER_EVENT, *place, strlen(*place));
}

void events_replay(struct worker *w, uint64_t after)
{
    uint64_t oldest = w->events.last > WORKER_EVENTS ? w->events.last - WORKER_EVENTS : 0;

    for (uint64_t n = after > oldest ? after : oldest; n < w->events.last; n++) {
        const char *text = w->events.texts[(n + 1) % WORKER_EVENTS];
        daemon_notify(w, WORKER_EVENT, text, strlen(text));
    }
}
