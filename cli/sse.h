/* Server-sent events (WHATWG HTML, "9.2 Server-sent events"): a parser that takes the stream in
 * pieces of any size. Not a client: event.c reconnects. */
#pragma once
#include "core/base/str.h"

#define SSE_MAX_EVENT (1u << 20) /* bytes of one event; a longer one fails the stream */

struct sse_event {
    const char *id;   /* its own or the last one before it, "" before the first */
    const char *type; /* "message" when the stream names none */
    const char *data; /* lines joined by \n */
};

/* Starts zeroed but for the callback. */
struct sse {
    bool (*on_event)(void *arg, const struct sse_event *event); /* false stops the stream */
    void *arg;
    struct strbuf line, data, type;
    char id[64];      /* of the last whole event: behind it a new connection goes on */
    char next_id[64]; /* of the event that is being read */
    bool has_data;
    bool after_cr; /* a following \n belongs to the line that ended already */
    bool started;  /* the byte order mark may stand before the first line only */
};

/* False when the callback said so or the stream is no event stream (an event without end). */
bool sse_feed(struct sse *sse, const char *bytes, size_t len) MUST_USE;
/* A connection ended: what was not complete is dropped with its id, 'id' stays. */
void sse_restart(struct sse *sse);
void sse_clear(struct sse *sse);
