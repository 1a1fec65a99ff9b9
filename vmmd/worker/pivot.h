/* The pivot: a running guest's disks go on in other files, all at one moment, and the commit log
 * says so (docs/storage.md, "The pivot"). Done here and not by main, so that neither a dead nor a
 * slow daemon stalls the guest. */
#pragma once
#include "vmmd/worker/daemon.h"
#include "vmmd/worker/pivot_ask.h"

#include <jansson.h>

/* For all disks together to stand still. */
#ifdef VMMD_FAILPOINTS
#define PIVOT_PENDING_MS 2000 /* test builds have sanitizers, and neighbours */
#else
#define PIVOT_PENDING_MS 200
#endif

struct worker;

enum pivot_step {
    PIVOT_IDLE,
    PIVOT_STOPPING,   /* the guest: see pivot.c */
    PIVOT_COMPLETING, /* until all block jobs are pending: both sides are equal, and stay so */
    PIVOT_RECORDING,  /* the commit point: the record is being written */
    PIVOT_FINALIZING, /* until all have concluded: the disks have their new leaves */
    PIVOT_CANCELLING, /* until no block job is left */
    PIVOT_UNDOING,    /* the record that takes another one back is being written */
    PIVOT_RESUMING    /* the guest */
};

struct pivot {
    enum pivot_step step;
    struct request from;
    struct pivot_ask *ask; /* NULL when idle */
    enum pivot_job { PIVOT_JOB_RUNS, PIVOT_JOB_PENDING, PIVOT_JOB_OVER } jobs[WORKER_PIVOT_MAX];
    int64_t deadline_ms; /* STOPPING, COMPLETING */
    int64_t look_ms;     /* FINALIZING, CANCELLING: when QEMU is asked again */
    bool looking;        /* it has been asked and has not answered */
    int64_t since_us;    /* the guest was told to stop, or stands still anyway */
    bool ran;            /* the guest: it is to run again */
    bool hidden;         /* it has stopped, and nobody was told */
    bool tainted;        /* a record may be in the log that must not count */
    bool doubt;          /* and could not be taken back: the guest stays stopped. Stays set */
    const char *outcome; /* RESUMING */
    char detail[256];
};

/* WORKER_PIVOT: the answer comes when it is over. */
bool pivot_begin(struct worker *w, const struct request *from, struct frame *f,
                 struct err *err) MUST_USE;
/* False with WRONG_STATE or BUSY when main's command would come in between. */
bool pivot_allows(const struct worker *w, const char *command, struct err *err) MUST_USE;
/* An event came from QEMU: true when it is nobody's business but the pivot's. */
bool pivot_event(struct worker *w, const char *name, const json_t *data);
/* The recorder is through; QEMU is gone. */
void pivot_recorded(struct worker *w, bool ok, const struct err *err);
void pivot_qemu_gone(struct worker *w);
int64_t pivot_tick(struct worker *w, int64_t now_ms);
