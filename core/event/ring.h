/* The newest events, rendered, in memory: what readers who keep up are served from. Bounded in
 * number and in bytes; not thread-safe, the event log holds its lock around every call. */
#pragma once
#include "core/event/event.h"

#define EVENT_RING_LINES 2048
#define EVENT_RING_BYTES (1u << 20) /* of text */

struct event_ring {
    struct event_line *lines; /* a circle of EVENT_RING_LINES, numbers ascending from 'first' */
    unsigned first, n;
    size_t bytes;
    uint64_t newest; /* the number of the last one that was added, or where the ring began */
};

/* Begins behind 'newest': older events are not in it and never will be. */
void event_ring_init(struct event_ring *ring, uint64_t newest);
void event_ring_clear(struct event_ring *ring);
/* Takes '*line', whose number must be higher than 'newest'; the oldest make room. */
void event_ring_add(struct event_ring *ring, struct event_line *line);
/* True when every event after 'after' is in the ring (or there is none). */
bool event_ring_covers(const struct event_ring *ring, uint64_t after);
/* Copies up to 'cap' events after 'after'. */
unsigned event_ring_read(const struct event_ring *ring, uint64_t after, struct event_line *out,
                         unsigned cap);
