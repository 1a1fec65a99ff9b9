/* The event log: numbered, durable, readable from any number on. Schema Event. */
#pragma once
#include "core/base/id.h"
#include "core/core/core.h"

struct event_line {
    uint64_t seq;
    char type[48]; /* "vm.state" */
    char *json;    /* the whole event as one JSON line, owned */
    /* What decides who may see it: a VM, pool or template; "": nothing does. */
    char about_type[12];
    struct uuid about;
};

/* Waits up to 'wait_ms' for events after 'after', then fills up to 'cap'. '*gap' is true when
 * events after 'after' were trimmed already or 'after' lies in the future: the client must reload,
 * and goes on from '*newest'. Returns the count; -1 on failure (UNAVAILABLE after
 * core_interrupt()). */
ssize_t event_wait(struct core *core, uint64_t after, int64_t wait_ms, struct event_line *out,
                   unsigned cap, bool *gap, uint64_t *newest, struct err *err) MUST_USE;
void event_line_clear(struct event_line *line);
/* The number of the newest event that readers may have; reads the store only when it must. */
uint64_t event_newest(struct core *core);

struct event_facts {
    uint64_t newest;
    unsigned ring_lines; /* events kept in memory … */
    size_t ring_bytes;   /* … and their text */
    uint64_t looks;      /* into the store, for all readers together */
};
void event_facts(struct core *core, struct event_facts *out);
