/* The ring of rendered events: see ring.h. */
#include "core/event/ring.h"

#include "core/base/mem.h"
#include "core/base/str.h"

#include <stdlib.h>
#include <string.h>

static struct event_line *at(const struct event_ring *ring, unsigned i)
{
    return &ring->lines[(ring->first + i) % EVENT_RING_LINES];
}

void event_ring_init(struct event_ring *ring, uint64_t newest)
{
    *ring = (struct event_ring){.newest = newest};
    ring->lines = mem_array(EVENT_RING_LINES, sizeof *ring->lines);
}

static void drop_oldest(struct event_ring *ring)
{
    struct event_line *oldest = at(ring, 0);

    ring->bytes -= strlen(oldest->json);
    event_line_clear(oldest);
    ring->first = (ring->first + 1) % EVENT_RING_LINES;
    ring->n--;
}

void event_ring_clear(struct event_ring *ring)
{
    while (ring->n)
        drop_oldest(ring);
    free(ring->lines);
    ring->lines = NULL;
}

void event_ring_add(struct event_ring *ring, struct event_line *line)
{
    size_t len = strlen(line->json);

    while (ring->n && (ring->n == EVENT_RING_LINES || ring->bytes + len > EVENT_RING_BYTES))
        drop_oldest(ring);
    *at(ring, ring->n) = *line;
    line->json = NULL;
    ring->n++;
    ring->bytes += len;
    ring->newest = at(ring, ring->n - 1)->seq;
}

bool event_ring_covers(const struct event_ring *ring, uint64_t after)
{
    return ring->n ? after + 1 >= at(ring, 0)->seq : after >= ring->newest;
}

/* The place of the first event after 'after', or n. */
static unsigned find(const struct event_ring *ring, uint64_t after)
{
    unsigned low = 0, high = ring->n;

    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (at(ring, middle)->seq > after)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

unsigned event_ring_read(const struct event_ring *ring, uint64_t after, struct event_line *out,
                         unsigned cap)
{
    unsigned i = find(ring, after), n = 0;

    for (; i < ring->n && n < cap; i++, n++) {
        const struct event_line *line = at(ring, i);

        out[n].seq = line->seq;
        str_copy(out[n].type, sizeof out[n].type, line->type);
        str_copy(out[n].about_type, sizeof out[n].about_type, line->about_type);
        out[n].about = line->about;
        out[n].json = str_dup(line->json);
    }
    return n;
}

void event_line_clear(struct event_line *line)
{
    free(line->json);
    line->json = NULL;
}
