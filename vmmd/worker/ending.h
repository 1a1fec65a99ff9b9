/* How a VM ends: who decides, what is recorded, when the worker leaves. */
#pragma once
#include "vmmd/worker/daemon.h"

#include <jansson.h>

#define ENDING_MAX_WAITING 8

struct worker;

struct ending {
    int wstatus;         /* of QEMU; SIGKILL until the jail reports another */
    bool jail_closed;    /* the jail's init is leaving */
    int64_t force_by_ms; /* when QEMU gets SIGKILL; 0: not decided */
    int64_t cut_by_ms;   /* when the jail is cut off; 0: not decided */
    struct request waiting[ENDING_MAX_WAITING]; /* WORKER_KILL requests */
    unsigned n_waiting;
};

/* An event came from QEMU. */
void ending_qemu_event(struct worker *w, const char *name, const json_t *data);
/* QEMU must end by itself soon: its monitor closed, or it was told to quit. */
void ending_expect(struct worker *w);
/* SIGKILL now; the jail is cut off when that does not help. */
void ending_force(struct worker *w);
/* The same for a QEMU that cannot be believed any more; 'why' is a constant, a sentence for the one
 * whose VM it was. */
void ending_distrust(struct worker *w, const char *why);
/* WORKER_KILL: the answer comes when QEMU is gone. */
bool ending_kill(struct worker *w, const struct request *from, struct err *err) MUST_USE;
/* WORKER_HOLD. */
void ending_hold(struct worker *w, bool on);
/* What the jail says: QEMU's status, the end of the conversation, the end of its last process. */
void ending_status(struct worker *w, int wstatus);
void ending_jail_closed(struct worker *w);
void ending_init_gone(struct worker *w);
int64_t ending_tick(struct worker *w, int64_t now_ms);
