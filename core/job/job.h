/* Jobs: long work that survives the daemon. In the API they are "operations" (schema Operation).
 *
 * A kind has a linear run(), which may be entered again after a restart and then asks the world
 * what is done already, and an idempotent settle(), which makes the outcome true whatever happened.
 */
#pragma once
#include "core/base/str.h"
#include "core/core/core.h"
#include "core/model/query.h"

struct job;

enum job_lane { JOB_LANE_LIFECYCLE, JOB_LANE_COPY, JOB_LANE_COUNT };

struct job_kind {
    const char *name;   /* "vm.start" */
    enum job_lane lane; /* ... or that of copies, when the arguments say "copies": true */
    bool cancellable;
    bool limitable; /* job_limit() may say how many bytes a second it moves */
    bool shares;    /* others may pause and resume its VM meanwhile */
    bool (*run)(struct core *core, struct job *job, struct err *err);
    /* Called once after run(), with what came out of it: release claims, trash leftovers. */
    void (*settle)(struct core *core, struct job *job, bool ok);
    /* Called for a job that an earlier daemon left open, before anything else runs: take the claims
     * again. May be NULL. */
    void (*adopt)(struct core *core, struct job *job);
};

/* ---- for the API ---- */
json_t *job_show(struct core *core, const struct uuid *id, struct err *err) MUST_USE;
bool job_missing_fail(const char *ref, struct err *err);
/* As job_show(), but waits up to 'wait_ms' for the end. */
json_t *job_wait(struct core *core, const struct uuid *id, int64_t wait_ms,
                 struct err *err) MUST_USE;
/* Appends {"items":[Operation…],"next_page_token":…} for a query of schema_operation; 'vm' (ref)
 * narrows when not NULL: NOT_FOUND. */
bool job_list(struct core *core, const char *vm, const struct query *query, struct strbuf *out,
              struct err *err) MUST_USE;
/* Asks a job to end; WRONG_STATE when it has ended or cannot be cancelled. */
bool job_cancel(struct core *core, const struct uuid *id, const struct origin *origin,
                struct err *err) MUST_USE;

/* Whether an operation of this kind has not ended whose arguments are those that 'is' wants. */
bool job_any(struct core *core, const struct job_kind *kind,
             bool (*is)(const json_t *args, void *ctx), void *ctx) MUST_USE;

/* How many bytes a second it may move from now on; 0: as many as it can. Durable. WRONG_STATE when
 * it has ended or has no such limit. */
bool job_limit(struct core *core, const struct uuid *id, uint64_t bytes_per_s,
               const struct origin *origin, struct err *err) MUST_USE;

/* ---- for the kinds' code, on the job's thread ---- */
bool job_cancelled(struct job *job);
/* False: nobody has said how fast it may be. */
bool job_bandwidth(struct job *job, uint64_t *bytes_per_s);
/* Marks a step: durable before the step's effect. */
bool job_step(struct job *job, const char *step, struct err *err) MUST_USE;
/* For settle(), before it takes back what a step would have gone on with after a restart: from then
 * on there is only back, and job_is_undone() says so to run(). False when it cannot be written: the
 * next daemon decides then. */
bool job_undo(struct job *job) MUST_USE;
/* With *err set. */
bool job_is_undone(const struct job *job, struct err *err) MUST_USE;
/* From two calls or more follow what Operation.progress says of rate and time left. */
void job_progress(struct job *job, uint64_t done, uint64_t total);
const struct uuid *job_id(const struct job *job);
const char *job_kind_name(const struct job *job); /* static text */
const struct uuid *job_object(const struct job *job);
const json_t *job_args(const struct job *job); /* borrowed */
const char *job_step_reached(
    const struct job *job); /* NULL before the first; set after a restart */
void job_set_result(struct job *job, json_t *result); /* takes it */
