/* From LAUNCH to a sealed jail with a QEMU that answers. See worker.h for the phases. */
#pragma once
#include "core/base/frame.h"
#include "vmmd/worker/daemon.h"

struct worker;

struct launch {
    struct request from;      /* who asked; answered once */
    int64_t deadline_ms;      /* monotonic */
    struct err why;           /* set when it was aborted */
    struct passt_plan *passt; /* to be started once QMP answers; NULL when there is none */
};

/* Starts. The frame's descriptors are used and closed; the answer comes when the jail is sealed or
 * QEMU is gone. A refusal here leaves the worker idle. */
bool launch_begin(struct worker *w, const struct request *from, struct frame *f,
                  struct err *err) MUST_USE;
void launch_qmp_is_up(struct worker *w);
void launch_sealed(struct worker *w);
/* Gives up: the jail is ended, and its end answers the request with 'why'. */
void launch_abort(struct worker *w, const struct err *why);
/* Answers the request after QEMU's end, if it still waits. */
void launch_answer_failure(struct worker *w);
/* Looks at the time limit; returns it, INT64_MAX when none runs. */
int64_t launch_tick(struct worker *w, int64_t now_ms);
