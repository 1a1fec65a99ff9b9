/* The pivot: a running guest's disks go on in other files, all at one moment, and the commit log
 * says so (docs/storage.md, "The pivot"). Done here and not by main, so that neither a dead nor a
 * slow daemon stalls the guest. */
#pragma once
#include "vmmd/worker/daemon.h"
#include "vmmd/worker/pivot_ask.h"

#include <jansson.h>

#define PIVOT_PENDING_MS 200 /* for all disks together to stand still */

struct worker;

enum pivot_step {
    PIVOT_IDLE,
    PIVOT_COMPLETING, /* until all block jobs are pending: the guest's writes wait */
    PIVOT_RECORDING,  /* the commit point: the record is being written */
    PIVOT_FINALIZING, /* until all have concluded: the guest writes to the new leaves */
    PIVOT_STOPPING,   /* the record failed: the guest must not write before it is undone */
    PIVOT_CANCELLING, /* until no block job is left */
    PIVOT_UNDOING     /* the record that takes the other one back is being written */
};

struct pivot {
    enum pivot_step step;
    struct request from;
    struct pivot_ask *ask; /* NULL when idle */
    enum pivot_job { PIVOT_JOB_RUNS, PIVOT_JOB_PENDING, PIVOT_JOB_OVER } jobs[WORKER_PIVOT_MAX];
    int64_t deadline_ms; /* COMPLETING */
    int64_t look_ms;     /* FINALIZING, CANCELLING: when QEMU is asked again */
    bool looking;        /* it has been asked and has not answered */
    int64_t pending_us;  /* when the first one was */
    uint64_t pause_us;
    bool tainted; /* a record may be in the log that must not count */
    bool ran;     /* the guest ran when the record failed */
    bool doubt;   /* and could not be taken back: the guest stays stopped. Stays set */
    char detail[256];
};

/* WORKER_PIVOT: the answer comes when it is over. */
bool pivot_begin(struct worker *w, const struct request *from, struct frame *f,
                 struct err *err) MUST_USE;
/* False with WRONG_STATE or BUSY when main's command would come in between. */
bool pivot_allows(const struct worker *w, const char *command, struct err *err) MUST_USE;
/* An event came from QEMU; the recorder is through; QEMU is gone. */
void pivot_event(struct worker *w, const char *name, const json_t *data);
void pivot_recorded(struct worker *w, bool ok, const struct err *err);
void pivot_qemu_gone(struct worker *w);
int64_t pivot_tick(struct worker *w, int64_t now_ms);
