/* What QEMU's events mean for the end of a VM: when QEMU is to quit, and why it ended. Pure. */
#pragma once
#include "backends/qemu/worker_wire.h"

#include <jansson.h>

enum worker_cause {
    CAUSE_NONE,
#define X(name, slug) CAUSE_##name,
    WORKER_CAUSES(X)
#undef X
};

/* What has been seen so far; starts zeroed. */
struct policy {
    bool held;              /* a storage job runs: keep QEMU after a power-off */
    bool guest_off;         /* the guest powered off; QEMU stands still and waits to be quit */
    bool panicked;          /* the guest panicked; QEMU stands still */
    bool stop_explained;    /* why the guest stands still was told since it ran last */
    bool killed;            /* WORKER_KILL came */
    bool quit;              /* QMP quit was asked for by main */
    bool launch_failed;     /* QEMU never became ready */
    const char *distrusted; /* why the worker has ended it by itself; NULL: it has not */
    bool no_memory;    /* the kernel ended somebody in QEMU's memory cgroup for want of memory */
    bool memory_limit; /* ... because that reached its limit */
};

/* Takes an event of QEMU in. */
void policy_event(struct policy *p, const char *name, const json_t *data);
/* True when QEMU is to be quit now. */
bool policy_wants_quit(const struct policy *p);
/* QEMU's run state after an event, as far as the event says it; 'now' when it says nothing. */
const char *policy_status(const char *name, const char *now);
/* True for the events by which main's picture of the machine changes: at a host's word or for a
 * reason that stops it, so there are few of them: of the errors of a disk, which QEMU tells of each
 * request that is under way, the first alone. Asked before policy_event() takes the event in. */
bool policy_is_state(const struct policy *p, const char *name, const json_t *data);
/* True for events after which QEMU is to be asked for its run state: only it knows the reason. */
bool policy_changes_status(const char *name);
/* Why QEMU ended with 'wstatus' (as wait(2) gives it). The guest's own power-off counts before all
 * that was done to QEMU afterwards. */
enum worker_cause policy_cause(const struct policy *p, int wstatus);
const char *policy_cause_slug(enum worker_cause cause);
