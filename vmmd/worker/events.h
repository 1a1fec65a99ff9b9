/* The last events of QEMU and of the worker itself, numbered, for a daemon that was away. */
#pragma once
#include "backends/qemu/worker_wire.h"

#include <jansson.h>

struct worker;

struct events {
    uint64_t last;              /* number of the newest; 0: none yet */
    char *texts[WORKER_EVENTS]; /* event n lies at n % WORKER_EVENTS */
};

/* Keeps an event and tells the daemon. 'data' is borrowed and may be NULL; it is left out (and
 * "truncated" says so) when it is larger than any event of QEMU has reason to be. */
void events_add(struct worker *w, const char *name, const json_t *data);
/* Tells the daemon again all kept events after 'after'. */
void events_replay(struct worker *w, uint64_t after);
