/* The pivot: see pivot.h.
 *
 *   STOPPING ─► COMPLETING ──all pending──► RECORDING ──durable──► FINALIZING ──all concluded──┐
 *      │            │ 200 ms, an error          │ failed: nobody knows what the disk has       │
 *      │            ▼                           ▼                                              │
 *      │        CANCELLING ◄────────────────────┘                                              │
 *      │            │ no job left                                                              │
 *      │            ├─ no record was tried ───────────────► cancelled ──────► RESUMING ◄───────┘
 *      └────────────┘ tainted ─► UNDOING ─durable─────────► cancelled ─────────┘  committed
 *                                   └─ failed ─► unknown: the guest stays stopped, "cont" is
 * refused
 *
 * The guest is stopped for it, not only its writes held: QEMU 7.2 lets a write that was held go on
 * while the disk's new file is not yet open for writing, and ends in an assertion. Its STOP and
 * RESUME are not passed on: for everybody else it runs.
 *
 * QEMU's events drive it. What it does not tell in time is asked: query-jobs says which jobs are
 * left, and nothing else is believed about their end. A job that failed after the commit point
 * leaves its disk with the wrong file: then QEMU is ended.
 *
 * Whatever QEMU says or does not say, only its own VM can be hurt; when it is gone, the log alone
 * says what is true. */
#include "vmmd/worker/pivot.h"

#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "vmmd/worker/worker.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LOOK_MS 500 /* when no event came */

/* ---- the end ---- */

static json_t *describe(const struct pivot *p, const char *outcome)
{
    json_t *body = json_object();

    json_put_text(body, "outcome", outcome);
    json_put_u64(body, "pause_us", p->since_us ? (uint64_t)(clock_mono_us() - p->since_us) : 0);
    json_put_text(body, "detail", p->detail);
    json_put_text(body, "job", UUID_STR(&p->ask->job));
    return body;
}

static void forget(struct pivot *p)
{
    bool doubt = p->doubt;

    pivot_ask_freep(&p->ask);
    *p = (struct pivot){.doubt = doubt};
}

/* The event first: who has read the answer knows that it is over. */
static void finish(struct worker *w, const char *outcome)
{
    struct pivot *p = &w->pivot;
    CLEANUP(json_decrefp) json_t *body = NULL;
    CLEANUP(mem_freep) char *text = NULL;
    struct request from = p->from;

    if (p->hidden && w->qmp.sock >= 0) { /* it is told after all */
        p->hidden = false;
        ending_qemu_event(w, "STOP", NULL);
    }
    body = describe(p, outcome);
    text = json_write(body);
    log_info("the disks' switch: %s after %llu us %s", outcome,
             (unsigned long long)json_get_u64(body, "pause_us", 0), p->detail);
    forget(p);
    events_add(w, "WORKER_PIVOTED", body);
    daemon_reply(w, &from, text);
}

static void say(struct pivot *p, const char *fmt, ...) PRINTF(2, 3);
static void say(struct pivot *p, const char *fmt, ...)
{
    va_list args;

    if (p->detail[0])
        return; /* the first reason is the one */
    va_start(args, fmt);
    vsnprintf(p->detail, sizeof p->detail, fmt, args);
    va_end(args);
}

/* ---- commands to QEMU ---- */

static void tell_job(struct worker *w, const char *command, unsigned job, qmp_done *done)
{
    json_t *arguments = json_pack("{s:s}", "id", w->pivot.ask->jobs[job]);
    struct err err = {0};

    err_ignore(qmp_execute(w, command, arguments, done, &err), &err);
}

static void ignore_answer(struct worker *w, const struct request *from, const json_t *answer)
{
}

static bool is_ok(const json_t *answer)
{
    return json_object_get(answer, "return") != NULL;
}

static bool all_are(const struct pivot *p, enum pivot_job state)
{
    for (unsigned i = 0; i < p->ask->n; i++)
        if (p->jobs[i] != state)
            return false;
    return true;
}

/* ---- the guest ---- */

static void resumed(struct worker *w, const struct request *from, const json_t *answer)
{
    if (w->pivot.step == PIVOT_RESUMING)
        finish(w, w->pivot.outcome);
}

static void resume(struct worker *w, const char *outcome)
{
    struct pivot *p = &w->pivot;
    struct err err = {0};

    p->step = PIVOT_RESUMING;
    p->outcome = outcome;
    if (!p->ran || !qmp_execute(w, "cont", NULL, resumed, &err))
        finish(w, outcome);
}

/* ---- calling it off ---- */

static void look(struct worker *w);

static void cancel_all(struct worker *w)
{
    for (unsigned i = 0; i < w->pivot.ask->n; i++)
        if (w->pivot.jobs[i] != PIVOT_JOB_OVER)
            tell_job(w, "job-cancel", i, ignore_answer);
}

static void call_off(struct worker *w)
{
    w->pivot.step = PIVOT_CANCELLING;
    for (unsigned i = 0; i < w->pivot.ask->n; i++)
        w->pivot.jobs[i] = PIVOT_JOB_RUNS;
    cancel_all(w);
    look(w);
}

/* Nobody knows whether the record is on the disk. Both sides are equal now, and stay so until it is
 * certain: the guest stands still. */
static void doubt_record(struct worker *w, const struct err *why)
{
    struct pivot *p = &w->pivot;

    p->tainted = true;
    say(p, "the commit log could not be written: %.180s", why->detail);
    log_error("%s", p->detail);
    call_off(w);
}

static void undo_record(struct worker *w)
{
    CLEANUP(json_decrefp)
    json_t *record = json_pack("{s:s,s:b}", "job", UUID_STR(&w->pivot.ask->job), "undone", 1);
    CLEANUP(mem_freep) char *text = json_write(record);
    struct err err = {0};

    w->pivot.step = PIVOT_UNDOING;
    if (!FAILPOINT("worker.pivot.undo", &err) || !recorder_write(w, text, &err))
        pivot_recorded(w, false, &err);
}

static void called_off(struct worker *w)
{
    if (w->pivot.tainted)
        undo_record(w);
    else
        resume(w, "cancelled");
}

/* ---- forward ---- */

static void finalize_all(struct worker *w)
{
    for (unsigned i = 0; i < w->pivot.ask->n; i++)
        if (w->pivot.jobs[i] != PIVOT_JOB_OVER)
            tell_job(w, "job-finalize", i, ignore_answer);
}

static void record(struct worker *w)
{
    struct err err = {0};

    w->pivot.step = PIVOT_RECORDING;
    if (!FAILPOINT("worker.pivot.record", &err)) {
        say(&w->pivot, "%.200s", err.detail);
        call_off(w);
    } else if (!recorder_write(w, w->pivot.ask->record, &err)) {
        say(&w->pivot, "%.200s", err.detail); /* nothing was written */
        call_off(w);
    }
}

static void go_on(struct worker *w)
{
    struct err err = {0};

    w->pivot.step = PIVOT_FINALIZING;
    w->pivot.look_ms = clock_mono_ms() + LOOK_MS;
    if (!FAILPOINT("worker.pivot.finalize", &err))
        log_debug("%s", err.detail); /* there is no way back */
    finalize_all(w);
}

void pivot_recorded(struct worker *w, bool ok, const struct err *err)
{
    struct pivot *p = &w->pivot;

    if (p->step == PIVOT_RECORDING && ok) {
        go_on(w);
    } else if (p->step == PIVOT_RECORDING) {
        doubt_record(w, err);
    } else if (p->step == PIVOT_UNDOING && ok) {
        resume(w, "cancelled");
    } else if (p->step == PIVOT_UNDOING) {
        p->doubt = true;
        events_add(w, "WORKER_LOG_FAILED", NULL); /* before the STOP that it is the reason of */
        finish(w, "unknown");
    }
}

/* ---- what QEMU has left ---- */

static const json_t *find_job(const json_t *jobs, const char *id)
{
    const json_t *one;
    size_t i;

    json_array_foreach (jobs, i, one)
        if (str_eq(json_get_text(one, "id"), id))
            return one;
    return NULL;
}

/* Notes which jobs are over. False when one has failed. */
static bool note_jobs(struct worker *w, const json_t *jobs)
{
    bool well = true;

    for (unsigned i = 0; i < w->pivot.ask->n; i++) {
        const json_t *job = find_job(jobs, w->pivot.ask->jobs[i]);
        if (job && !str_eq(json_get_text(job, "status"), "concluded"))
            continue;
        well &= !json_get_text(job, "error");
        w->pivot.jobs[i] = PIVOT_JOB_OVER;
        if (job)
            tell_job(w, "job-dismiss", i, ignore_answer);
    }
    return well;
}

static void looked(struct worker *w, const struct request *from, const json_t *answer)
{
    struct pivot *p = &w->pivot;
    bool well;

    p->looking = false;
    if ((p->step != PIVOT_FINALIZING && p->step != PIVOT_CANCELLING) || !is_ok(answer))
        return;
    well = note_jobs(w, json_object_get(answer, "return"));
    if (p->step == PIVOT_FINALIZING && !well) {
        ending_distrust(w, "QEMU did not take the disks' new files, which are recorded already");
    } else if (!all_are(p, PIVOT_JOB_OVER)) {
        return;
    } else if (p->step == PIVOT_CANCELLING) {
        called_off(w);
    } else {
        resume(w, "committed");
    }
}

/* Asks again after a while until it is over. */
static void look(struct worker *w)
{
    struct err err = {0};

    w->pivot.look_ms = clock_mono_ms() + LOOK_MS;
    if (!w->pivot.looking)
        w->pivot.looking = qmp_execute(w, "query-jobs", NULL, looked, &err);
}

/* ---- events ---- */

static void job_pending(struct worker *w, unsigned job)
{
    struct pivot *p = &w->pivot;

    if (p->step != PIVOT_COMPLETING)
        return;
    p->jobs[job] = PIVOT_JOB_PENDING;
    if (all_are(p, PIVOT_JOB_PENDING))
        record(w);
}

static void job_concluded(struct worker *w, unsigned job)
{
    struct pivot *p = &w->pivot;

    if (p->step == PIVOT_COMPLETING) {
        say(p, "a copy ended before the switch");
        call_off(w);
    } else if (p->step == PIVOT_CANCELLING) {
        look(w);
    } else if (p->step == PIVOT_FINALIZING) {
        p->jobs[job] = PIVOT_JOB_OVER;
        if (all_are(p, PIVOT_JOB_OVER))
            look(w);
    }
}

static void job_event(struct worker *w, const json_t *data)
{
    const char *id = json_get_text(data, "id"), *status = json_get_text(data, "status");

    for (unsigned i = 0; id && i < w->pivot.ask->n; i++) {
        if (!str_eq(w->pivot.ask->jobs[i], id))
            continue;
        if (str_eq(status, "pending"))
            job_pending(w, i);
        else if (str_eq(status, "concluded"))
            job_concluded(w, i);
        return;
    }
}

bool pivot_event(struct worker *w, const char *name, const json_t *data)
{
    struct pivot *p = &w->pivot;

    if (!p->ask)
        return false;
    if (str_eq(name, "JOB_STATUS_CHANGE")) {
        job_event(w, data);
    } else if (str_eq(name, "STOP") && p->ran && p->step != PIVOT_RESUMING) {
        p->hidden = true;
        return true;
    } else if (str_eq(name, "RESUME") && p->hidden) {
        p->hidden = false;
        return true;
    }
    return false;
}

/* ---- the request ---- */

static void completed(struct worker *w, const struct request *from, const json_t *answer)
{
    const char *why = json_get_text(json_object_get(answer, "error"), "desc");

    if (w->pivot.step != PIVOT_COMPLETING || is_ok(answer))
        return;
    say(&w->pivot, "QEMU cannot switch yet: %.180s", why ? why : "it does not say why");
    call_off(w);
}

static void complete_all(struct worker *w)
{
    w->pivot.step = PIVOT_COMPLETING;
    for (unsigned i = 0; i < w->pivot.ask->n; i++)
        tell_job(w, "job-complete", i, completed);
}

/* A guest that does not stop goes on, and the disks stay as they are. */
static void stopped(struct worker *w, const struct request *from, const json_t *answer)
{
    if (w->pivot.step != PIVOT_STOPPING)
        return;
    if (is_ok(answer)) {
        complete_all(w);
    } else {
        say(&w->pivot, "QEMU does not stop the guest");
        call_off(w);
    }
}

static void stop_guest(struct worker *w)
{
    struct pivot *p = &w->pivot;
    struct err err = {0};

    p->ran = str_eq(w->status, "running");
    p->since_us = clock_mono_us();
    if (!p->ran) {
        complete_all(w);
    } else if (!qmp_execute(w, "stop", NULL, stopped, &err)) {
        say(p, "%.200s", err.detail);
        call_off(w);
    }
}

bool pivot_begin(struct worker *w, const struct request *from, struct frame *f, struct err *err)
{
    struct pivot *p = &w->pivot;
    CLEANUP(pivot_ask_freep)
    struct pivot_ask *ask = pivot_ask_read(f->payload, f->head.length, err);

    if (!ask)
        return false;
    if (w->recorder.log < 0)
        return err_set(err, ERR_UNSUPPORTED, "the VM was started without a commit log");
    if (p->doubt)
        return err_set(err, ERR_WRONG_STATE, "the VM's commit log is in doubt");
    if (p->ask || w->recorder.busy)
        return err_set(err, ERR_BUSY, "the VM's disks are being switched already");
    if (memory_is_busy(w))
        return err_set(err, ERR_BUSY, "the VM's memory is being written: try again later");
    if (w->qmp.sock < 0)
        return err_set(err, ERR_UNAVAILABLE, "QEMU is ending");
    if (!FAILPOINT("worker.pivot", err))
        return false;
    *p = (struct pivot){.step = PIVOT_STOPPING,
                        .from = *from,
                        .ask = TAKE(ask),
                        .deadline_ms = clock_mono_ms() + PIVOT_PENDING_MS};
    stop_guest(w);
    return true;
}

bool pivot_allows(const struct worker *w, const char *command, struct err *err)
{
    const struct pivot *p = &w->pivot;

    if (p->doubt && str_eq(command, "cont"))
        return err_set(err, ERR_WRONG_STATE,
                       "the VM's commit log cannot be written, so what the guest writes could be "
                       "lost: stop the VM, see to the state directory's disk, start it again");
    if (p->ask && (str_starts(command, "job-") || str_starts(command, "block-job-") ||
                   str_eq(command, "cont") || str_eq(command, "stop")))
        return err_set(err, ERR_BUSY, "the VM's disks are being switched: try again in a moment");
    return true;
}

void pivot_qemu_gone(struct worker *w)
{
    struct pivot *p = &w->pivot;
    struct request from = p->from;
    struct err err = {0};

    if (!p->ask)
        return;
    say(p, "QEMU ended in the middle of it");
    p->hidden = false; /* it is over for the guest */
    if (p->step == PIVOT_RESUMING) {
        finish(w, p->outcome);
    } else if (p->step == PIVOT_FINALIZING) {
        finish(w, "committed");
    } else if (p->step == PIVOT_STOPPING || p->step == PIVOT_COMPLETING ||
               (p->step == PIVOT_CANCELLING && !p->tainted)) {
        finish(w, "cancelled");
    } else {
        err_set(&err, ERR_UNAVAILABLE, "QEMU ended while its files were being switched");
        forget(p);
        daemon_fail(w, &from, &err);
    }
}

int64_t pivot_tick(struct worker *w, int64_t now_ms)
{
    struct pivot *p = &w->pivot;

    if (p->step == PIVOT_STOPPING || p->step == PIVOT_COMPLETING) {
        if (now_ms < p->deadline_ms)
            return p->deadline_ms;
        say(p, "the disks did not stand still within %d ms", PIVOT_PENDING_MS);
        call_off(w);
    }
    if (p->step != PIVOT_FINALIZING && p->step != PIVOT_CANCELLING)
        return INT64_MAX;
    if (now_ms < p->look_ms)
        return p->look_ms;
    if (p->step == PIVOT_CANCELLING)
        cancel_all(w);
    else
        finalize_all(w);
    look(w);
    return p->look_ms;
}
