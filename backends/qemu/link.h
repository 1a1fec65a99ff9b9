/* main's side of a conversation with a worker: requests from many threads over one socket, replies
 * handed to their callers by id, events in order to one sink. Knows frames, numbers and deadlines;
 * what a request or an event means is its users' business. */
#pragma once
#include "backends/qemu/worker_wire.h"
#include "core/base/json.h"

#include <stddef.h>
#include <stdint.h>

struct link;

/* Called on the watcher thread, one at a time, in order; none after 'gone' or link_free(). None of
 * them may call back into the link. */
struct link_sink {
    void (*event)(void *ctx, uint64_t seq, const json_t *event); /* payload of WORKER_EVENT */
    void (*serial)(void *ctx, unsigned port, uint64_t end_bytes);
    void (*gone)(void *ctx); /* the worker hung up or broke the framing */
    void *ctx;
};

/* Takes 'sock'. Until link_watch() there is no thread: calls read the socket themselves, and events
 * that come between are kept. */
struct link *link_new(int sock, uint32_t epoch);
/* Hangs up, fails what is pending, joins the watcher, frees. The caller sees to it that no new call
 * comes; calls under way are waited for. */
void link_free(struct link *link);

/* Sends HELLO and returns the reply. Events numbered up to 'events_after' were seen before: they
 * are not asked for and dropped if they come; NULL: all that the reply counts are dropped. Before
 * link_watch(). UNAVAILABLE, TIMEOUT, BUSY (a newer daemon holds the worker). */
json_t *link_hello(struct link *link, const uint64_t *events_after, int64_t wait_ms,
                   struct err *err) MUST_USE;

/* Starts the watcher: first the events kept, then the live ones. 'sink' is copied. */
bool link_watch(struct link *link, const struct link_sink *sink, struct err *err) MUST_USE;

/* One request and its reply. 'fds' stay the caller's. '*reply' (may be NULL) is owned by the
 * caller. TIMEOUT after 'wait_ms' (a later reply is dropped); UNAVAILABLE when the worker is gone;
 * else the error that the worker answered. */
bool link_call(struct link *link, enum worker_type type, const void *payload, size_t len,
               const int *fds, unsigned n_fds, int64_t wait_ms, json_t **reply,
               struct err *err) MUST_USE;

/* A QMP command through the worker; takes 'arguments' (NULL: none). */
bool link_qmp(struct link *link, const char *command, json_t *arguments, const int *fds,
              unsigned n_fds, int64_t wait_ms, json_t **reply, struct err *err) MUST_USE;

/* True once link_free() has begun: a sink that waits for something gives up. */
bool link_closing(const struct link *link);
