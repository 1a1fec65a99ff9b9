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
    bool held;          /* a storage job runs: keep QEMU after a power-off */
    bool guest_off;     /* the guest powered off; QEMU stands still and waits to be quit */
    bool panicked;      /* the guest panicked; QEMU stands still */
    bool killed;        /* WORKER_KILL came */
    bool quit;          /* QMP quit was asked for by main */
    bool launch_failed; /* QEMU never became ready */
    bool no_memory;     /* the kernel ended somebody in QEMU's memory cgroup for want of memory */
};

/* Takes an event of QEMU in. */
void policy_event(struct policy *p, const char *name, const json_t *data);
/* True when QEMU is to be quit now. */
bool policy_wants_quit(const struct policy *p);
/* QEMU's run state after an event, as far as the event says it; 'now' when it says nothing. */
const char *policy_status(const char *name, const char *now);
/* True for events after which QEMU is to be asked for its run state: only it knows the reason. */
bool policy_changes_status(const char *name);
/* Why QEMU ended with 'wstatus' (as wait(2) gives it). The guest's own power-off counts before all
 * that was done to QEMU afterwards. */
enum worker_cause policy_cause(const struct policy *p, int wstatus);
const char *policy_cause_slug(enum worker_cause cause);
