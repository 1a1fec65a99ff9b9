/* What the core counts and measures of itself, for whoever watches it. Read now and then (every 15
 * s or so), so it may walk all VMs; what is counted on the way costs an addition. */
#pragma once
#include "core/base/histogram.h"
#include "core/core/core.h"
#include "core/event/event.h"
#include "core/port/backend.h"
#include "core/port/store.h"

struct measured_vm {
    struct uuid id;
    char name[64];
    const char *state; /* the derived word; static text */
    const char *backend, *accel;
    uint64_t vcpus;
    uint64_t memory_bytes;
    bool has_usage; /* the host told */
    struct machine_usage usage;
};

/* A job kind and a final state: how many ended so since the daemon started. */
struct measured_end {
    const char *kind, *state;
    uint64_t ended;
};

struct measured_kind {
    const char *kind;
    struct histogram_seen seconds; /* from the start to the end, histogram_operations */
};

struct core_measures {
    struct event_facts events;
    struct store_facts store;
    struct histogram_seen worker_starts; /* until a worker and its jail run, histogram_flushes */
    unsigned jobs_queued, jobs_running;
    struct measured_end *ends;
    size_t n_ends;
    struct measured_kind *kinds;
    size_t n_kinds;
    struct measured_vm *vms;
    size_t n_vms;
};

/* Blocks for a look into /proc for each running VM. */
void core_measure(struct core *core, struct core_measures *out);
void core_measures_clear(struct core_measures *m); /* for CLEANUP */
