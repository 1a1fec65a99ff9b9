/* Which request main may make, when, and how often: the one table, beside PRIV_OPS of proto.h. An
 * operation without a row here does not compile (permit.c). A main that was taken over can ask for
 * no more than this; one that is well never comes near it: a hundred VMs that start at once are 100
 * spawns and kills, 200 opens. Pure. */
#pragma once
#include "core/base/err.h"
#include "vmmd/priv/proto.h"

#include <stdbool.h>

/* Of the life of one main: READY ends the first. */
enum permit_phase { PERMIT_STARTING = 1, PERMIT_READY = 2, PERMIT_ANY = 3 };

/* X(name, phases, at once, then so many a second) */
#define PRIV_PERMITS(X)                                                                            \
    X(READY, PERMIT_STARTING, 1, 0)                                                                \
    X(FACTS, PERMIT_ANY, 64, 1)            /* forks, and makes namespaces */                       \
    X(ROOT_OPEN, PERMIT_ANY, 256, 16)      /* each of 32 at a start, and when it came back */      \
    X(BOOT_OPEN, PERMIT_ANY, 1024, 128)    /* kernel and initrd of a start */                      \
    X(KVM_OPEN, PERMIT_ANY, 64, 4)         /* the self-test, a doctor's look */                    \
    X(UFFD_OPEN, PERMIT_ANY, 1024, 64)     /* one a start */                                       \
    X(WORKER_SPAWN, PERMIT_ANY, 1024, 64)  /* also before READY: jobs are taken up */              \
    X(WORKER_LIMIT, PERMIT_ANY, 1024, 128) /* edits, in bulk */                                    \
    X(WORKER_KILL, PERMIT_ANY, 16384, 256) /* a look at each of 10,000 VMs after the boot */       \
    X(WORKER_LIST, PERMIT_ANY, 2048, 128)

/* What one main has used of one row; starts zeroed. */
struct permit_use {
    uint64_t debt_milli; /* thousandths of a request, not yet paid off by time */
    int64_t at_ms;       /* of the last request, monotonic */
};

/* Takes one. False with WRONG_STATE outside its phase, or RATE_LIMITED. */
bool permit_take(enum priv_op op, enum permit_phase now, struct permit_use *use, int64_t now_ms,
                 struct err *err) MUST_USE;
