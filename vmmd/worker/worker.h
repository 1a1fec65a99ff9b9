/* One worker: everything it knows, in one place, owned by one thread.
 *
 *   idle ──LAUNCH──► launching ──QMP answers, jail sealed──► ready ──QEMU gone──► exited
 *                        └── QEMU fails, WORKER_SEAL_MS pass ──────────────────────┘
 *
 * The parts call each other through the functions of their headers; none of them blocks. */
#pragma once
#include "backends/qemu/worker_wire.h"
#include "vmmd/worker/daemon.h"
#include "vmmd/worker/ending.h"
#include "vmmd/worker/events.h"
#include "vmmd/worker/flood.h"
#include "vmmd/worker/jail_link.h"
#include "vmmd/worker/launch.h"
#include "vmmd/worker/memory.h"
#include "vmmd/worker/net_link.h"
#include "vmmd/worker/oom.h"
#include "vmmd/worker/pivot.h"
#include "vmmd/worker/policy.h"
#include "vmmd/worker/qmp.h"
#include "vmmd/worker/recorder.h"
#include "vmmd/worker/requests.h"
#include "vmmd/worker/serial.h"
#include "vmmd/worker/split_link.h"
#include "vmmd/worker/words.h"

enum worker_phase { WORKER_IDLE, WORKER_LAUNCHING, WORKER_READY, WORKER_EXITED };

struct worker {
    const char *vm;   /* UUID as text */
    char boot_id[40]; /* of the kernel: records of an earlier boot mean nothing */
    int dir;          /* <run directory>/<uuid>, also the working directory */
    int alive;        /* flock()ed for our life, and by this description for the jail's */
    int listen;       /* worker.sock */
    int signals;      /* signalfd */
    enum worker_phase phase;
    char status[32]; /* QEMU's run state, as it said last; "" before it is up */
    bool from_image; /* QEMU began with a memory image */
    bool leave;      /* all is done: the loop ends */

    struct daemon daemon;
    struct events events;
    struct jail_link jail;
    struct net_link net;
    struct qmp qmp;
    struct serial serial[WORKER_SERIALS];
    struct words words;
    struct oom oom;
    struct policy policy;
    struct flood flood;
    struct launch launch;
    struct ending ending;
    struct recorder recorder;
    struct pivot pivot;
    struct split_link split;
    struct memory memory;
};

/* Makes the run directory, takes the lock, opens worker.sock (setup.c). 'dir' is the parent's. */
bool setup(struct worker *w, const char *vm, int dir, struct err *err) MUST_USE;
/* Takes away what means "a worker lives here"; the lock goes with the process. */
void setup_clear(struct worker *w);
/* Runs until w->leave (loop.c). */
void loop_run(struct worker *w);
/* Answers and events come in one stream, so that the last one read is right. */
void status_set(struct worker *w, const char *status);
/* Asks QEMU for its run state; w->status follows. */
void status_refresh(struct worker *w);
