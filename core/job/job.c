/* Jobs at work: see job.h.
 *
 * Theory of operation. A job is a row before it is anything else: job_submit() commits the row, the
 * idempotency key, the event and the caller's own rows in one transaction, and only then queues it.
 * Then it waits in its lane (lane.c) for a thread. At the end the row gets its final
 * state and the event in one transaction; then the job leaves memory and is read from the store.
 * A daemon that dies leaves open rows; jobs_load() and jobs_resume() enter their run() again. */
#include "core/core/parts.h"
#include "core/event/audit.h"

#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/job/inside.h"

#include <stdlib.h>
#include <string.h>

struct jobs *jobs_new(struct core *core, struct err *err)
{
    struct jobs *jobs = mem_alloc(sizeof *jobs);

    jobs->core = core;
    jobs->counts = job_counts_new();
    lock_init(&jobs->lock);
    cond_init(&jobs->changed);
    for (unsigned i = 0; i < JOB_LANE_COUNT; i++)
        jobs->lanes[i].jobs = jobs;
    return jobs;
}

void job_free(struct job *job)
{
    json_decref(job->args);
    json_decref(job->result);
    free(job->principal);
    free(job->request_id);
    free(job->object_name);
    free(job->step);
    free(job);
}

NO_TSA void jobs_free(struct jobs *jobs)
{
    struct job *job, *next;

    HASH_ITER (hh, jobs->open, job, next) {
        HASH_DELETE(hh, jobs->open, job);
        job_free(job);
    }
    cond_clear(&jobs->changed);
    lock_clear(&jobs->lock);
    free(jobs->counts);
    free(jobs);
}

void jobs_wake(struct jobs *jobs)
{
    lock_take(&jobs->lock);
    cond_wake_all(&jobs->changed);
    lock_drop(&jobs->lock);
}

void jobs_stop(struct jobs *jobs)
{
    lock_take(&jobs->lock);
    jobs->stopping = true;
    cond_wake_all(&jobs->changed);
    while (jobs->running)
        cond_wait(&jobs->changed, &jobs->lock);
    lock_drop(&jobs->lock);
}

bool job_is_open(struct core *core, const struct uuid *id)
{
    struct jobs *jobs = core->jobs;
    struct job *job;

    lock_take(&jobs->lock);
    HASH_FIND(hh, jobs->open, id, sizeof *id, job);
    lock_drop(&jobs->lock);
    return job != NULL;
}

const struct job_kind *job_kind_find(const char *name)
{
    for (unsigned i = 0; job_kinds[i]; i++)
        if (strcmp(job_kinds[i]->name, name) == 0)
            return job_kinds[i];
    return NULL;
}

/* ---- rows ---- */

/* What was said later stands beside what was said first. */
static char *args_text(const struct job *job)
{
    CLEANUP(json_decrefp) json_t *args = NULL;

    if (!job->limited)
        return json_write(job->args);
    args = json_copy(job->args);
    json_put_u64(args, "bandwidth", job->limit);
    return json_write(args);
}

static void job_record_fill(struct job *job, struct job_record *record, char **args, char **result)
{
    *args = args_text(job);
    *result = job->result ? json_write(job->result) : NULL;
    *record = (struct job_record){
        .id = job->id,
        .kind = job->kind->name,
        .object_type = job->object_type,
        .object = job->object,
        .object_name = job->object_name,
        .principal = job->principal,
        .request_id = job->request_id,
        .args = *args,
        .state = job_state_texts[job->state],
        .step = job->step,
        .result = *result,
        .error_code = job->error.code ? err_slug(job->error.code) : NULL,
        .error_field = job->error.code ? job->error.field : NULL,
        .error_detail = job->error.code ? job->error.detail : NULL,
        .done = job->done,
        .total = job->total,
        .created_ms = job->created_ms,
        .started_ms = job->started_ms,
        .ended_ms = job->ended_ms,
    };
}

static bool put_row(struct store_txn *txn, struct job *job, struct err *err)
{
    CLEANUP(mem_freep) char *args = NULL;
    CLEANUP(mem_freep) char *result = NULL;
    CLEANUP(mem_freep) char *step = NULL;
    struct job_record record;

    lock_take(&job->jobs->lock);
    job_record_fill(job, &record, &args, &result);
    step =
        record.step ? str_dup(record.step) : NULL; /* the job goes on while its limit is written */
    record.step = step;
    lock_drop(&job->jobs->lock);
    return store_job_put(txn, &record, err);
}

bool job_write(struct job *job, struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(job->jobs->core->store, err);

    return txn && put_row(txn, job, err) && store_commit(&txn, err);
}

static bool add_event(struct store_txn *txn, const struct job *job, struct err *err)
{
    json_t *data = json_object();

    json_put_text(data, "kind", job->kind->name);
    json_put_text(data, "state", job_state_texts[job->state]);
    json_put_text(data, "target", uuid_is_zero(&job->object) ? NULL : UUID_STR(&job->object));
    json_put_text(data, "error", job->error.code ? err_slug(job->error.code) : NULL);
    return event_add(txn, "operation", "operation", &job->id, data, err);
}

/* ---- running ---- */

static bool write_end(struct job *job, struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(job->jobs->core->store, err);

    return txn && put_row(txn, job, err) && add_event(txn, job, err) && store_commit(&txn, err);
}

/* Writes the end until it is written: on a full disk that takes until somebody made room. False
 * when the daemon ends before that; the next one enters the job again. */
static bool record_end(struct job *job)
{
    struct jobs *jobs = job->jobs;
    int64_t pause_ms = 50;
    struct err err = {0};

    while (!write_end(job, &err)) {
        int64_t until = clock_mono_ms() + pause_ms;
        bool in_time = true;

        log_error("the end of the job is not recorded yet: %s", err.detail);
        if (store_is_poisoned(jobs->core->store))
            return false;
        lock_take(&jobs->lock);
        while (!jobs->stopping && in_time)
            in_time = cond_wait_until(&jobs->changed, &jobs->lock, until);
        lock_drop(&jobs->lock);
        if (in_time)
            return false;
        pause_ms = pause_ms < 5000 ? 2 * pause_ms : pause_ms;
    }
    return true;
}

static void finish(struct job *job, bool ok, const struct err *error)
{
    struct jobs *jobs = job->jobs;

    lock_take(&jobs->lock);
    job->state = ok ? JOB_SUCCEEDED : error->code == ERR_CANCELLED ? JOB_CANCELLED : JOB_FAILED;
    if (!ok)
        job->error = *error;
    job->ended_ms = clock_wall_ms();
    lock_drop(&jobs->lock);
    if (!record_end(job))
        return;
    lock_take(&jobs->lock);
    HASH_DELETE(hh, jobs->open, job);
    job_count_end(jobs, job);
    job->gone = true;
    cond_wake_all(&jobs->changed);
    lock_drop(&jobs->lock);
    events_ring(jobs->core);
}

void job_run(struct job *job)
{
    struct core *core = job->jobs->core;
    struct err err = {0};
    bool ok;

    log_set_job(UUID_STR(&job->id));
    log_set_request(job->request_id);
    log_info("%s %s starts", job->kind->name, job->object_name ? job->object_name : "");
    /* Of one that an earlier daemon may have begun, its kind alone can tell what is true by now. */
    ok = !job->taken_up && job_cancelled(job)
             ? err_set(&err, ERR_CANCELLED, "cancelled before it began")
             : job->kind->run(core, job, &err);
    /* A store that could not be flushed may or may not hold the last commit: only a new daemon that
     * reads it may settle anything. */
    if (!ok && (atomic_load(&core->closing) || store_is_poisoned(core->store))) {
        log_info("%s is left for the next daemon", job->kind->name);
    } else {
        if (!ok)
            log_warn("%s failed: %s: %s", job->kind->name, err_slug(err.code), err.detail);
        job->kind->settle(core, job, ok);
        finish(job, ok, &err);
    }
    log_set_job(NULL);
    log_set_request(NULL);
}

/* ---- submitting ---- */

static struct job *job_new(struct jobs *jobs, struct job_order *order, const struct origin *origin)
{
    struct job *job = mem_alloc(sizeof *job);

    job->jobs = jobs;
    job->kind = order->kind;
    job->id = order->id;
    job->object_type = order->object_type;
    job->object = order->object;
    job->object_name = str_dup(order->object_name);
    job->principal = str_dup(origin->principal);
    job->request_id = str_dup(origin->request_id);
    job->args = order->args ? TAKE(order->args) : json_object();
    job->limited = job->kind->limitable && json_object_get(job->args, "bandwidth");
    job->limit = json_get_u64(job->args, "bandwidth", 0);
    job->created_ms = clock_wall_ms();
    return job;
}

static bool write_new(struct core *core, struct job *job, const struct job_order *order,
                      const struct origin *origin, struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(core->store, err);

    audit_job(&job->id, job->object_type, &job->object);
    return txn && put_row(txn, job, err) && idem_add(txn, origin, "operation", &job->id, err) &&
           (!order->also || order->also(txn, order->ctx, err)) && add_event(txn, job, err) &&
           store_commit(&txn, err);
}

/* Durable by now. */
static void let_run(struct jobs *jobs, struct job *job)
{
    lock_take(&jobs->lock);
    HASH_ADD(hh, jobs->open, id, sizeof job->id, job);
    lock_drop(&jobs->lock);
    lane_enqueue(jobs, job);
}

bool job_submit(struct core *core, struct job_order *order, const struct origin *origin,
                struct err *err)
{
    struct job *job = job_new(core->jobs, order, origin);

    if (!write_new(core, job, order, origin, err)) {
        job_free(job);
        return false;
    }
    let_run(core->jobs, job);
    events_ring(core);
    return true;
}

bool job_done_at_once(struct core *core, struct job_order *order, const struct origin *origin,
                      struct err *err)
{
    struct job *job = job_new(core->jobs, order, origin);
    bool ok;

    job->state = JOB_SUCCEEDED;
    job->started_ms = job->ended_ms = job->created_ms;
    ok = write_new(core, job, order, origin, err);
    if (ok) {
        lock_take(&core->jobs->lock);
        job_count_end(core->jobs, job);
        lock_drop(&core->jobs->lock);
    }
    job_free(job);
    return ok;
}

static bool write_batch(struct core *core, struct job **jobs, const struct job_order *orders,
                        size_t n, const json_t *note, const struct origin *origin, struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(core->store, err);
    bool ok = txn && idem_add_batch(txn, origin, note, err);

    audit_batch((unsigned)n);
    for (size_t i = 0; ok && i < n; i++)
        ok = put_row(txn, jobs[i], err) &&
             (!orders[i].also || orders[i].also(txn, orders[i].ctx, err)) &&
             add_event(txn, jobs[i], err);
    return ok && FAILPOINT("job.batch", err) && store_commit(&txn, err);
}

bool job_submit_all(struct core *core, struct job_order *orders, size_t n, const json_t *note,
                    const struct origin *origin, struct err *err)
{
    CLEANUP(mem_freep) struct job **jobs = mem_array(n, sizeof(struct job *));
    bool ok;

    for (size_t i = 0; i < n; i++)
        jobs[i] = job_new(core->jobs, &orders[i], origin);
    ok = write_batch(core, jobs, orders, n, note, origin, err);
    for (size_t i = 0; i < n; i++) {
        if (ok)
            let_run(core->jobs, jobs[i]);
        else
            job_free(jobs[i]);
    }
    if (ok)
        events_ring(core);
    return ok;
}

/* ---- recovery ---- */

static bool take_up(void *ctx, const struct job_record *r)
{
    struct jobs *jobs = ctx;
    const struct job_kind *kind = job_kind_find(r->kind);
    struct origin origin = {.principal = r->principal, .request_id = r->request_id};
    struct job_order order = {.kind = kind,
                              .object_type = uuid_is_zero(&r->object) ? NULL : "vm",
                              .object = r->object,
                              .object_name = r->object_name,
                              .id = r->id,
                              .args = json_loads(r->args, 0, NULL)};
    struct job *job;

    if (!kind) {
        log_error("the job %s is of the unknown kind %s", UUID_STR(&r->id), r->kind);
        json_decref(order.args);
        return true;
    }
    job = job_new(jobs, &order, &origin);
    job->created_ms = r->created_ms;
    job->started_ms = r->started_ms;
    job->step = str_dup(r->step);
    job->taken_up = true;
    job->state = strcmp(r->state, "cancelling") == 0 ? JOB_CANCELLING : JOB_QUEUED;
    lock_take(&jobs->lock);
    HASH_ADD(hh, jobs->open, id, sizeof job->id, job);
    job->next = jobs->recovered;
    jobs->recovered = job;
    lock_drop(&jobs->lock);
    if (kind->adopt)
        kind->adopt(jobs->core, job);
    return true;
}

bool jobs_load(struct core *core, struct err *err)
{
    const struct job_filter filter = {.open_only = true, .limit = 100000};

    return store_job_each(core->store, &filter, take_up, core->jobs, err);
}

void jobs_resume(struct core *core)
{
    struct jobs *jobs = core->jobs;
    struct job *list;

    lock_take(&jobs->lock);
    list = jobs->recovered; /* newest came first, so this list has the oldest in front */
    jobs->recovered = NULL;
    lock_drop(&jobs->lock);
    for (struct job *job = list, *next; job; job = next) {
        next = job->next;
        job->next = NULL;
        log_info("taking up %s %s", job->kind->name, UUID_STR(&job->id));
        lane_enqueue(jobs, job);
    }
}

/* ---- for the kinds ---- */

bool job_cancelled(struct job *job)
{
    bool yes;

    lock_take(&job->jobs->lock);
    yes = job->state == JOB_CANCELLING || job->jobs->stopping;
    lock_drop(&job->jobs->lock);
    return yes;
}

bool job_step(struct job *job, const char *step, struct err *err)
{
    lock_take(&job->jobs->lock);
    free(job->step);
    job->step = str_dup(step);
    lock_drop(&job->jobs->lock);
    return job_write(job, err);
}

void job_progress(struct job *job, uint64_t done, uint64_t total)
{
    lock_take(&job->jobs->lock);
    job_look_at_rate(job, done);
    job->done = done;
    job->total = total;
    lock_drop(&job->jobs->lock);
}

const struct uuid *job_id(const struct job *job)
{
    return &job->id;
}

const char *job_kind_name(const struct job *job)
{
    return job->kind->name;
}

const struct uuid *job_object(const struct job *job)
{
    return &job->object;
}

const json_t *job_args(const struct job *job)
{
    return job->args;
}

const char *job_step_reached(const struct job *job)
{
    return job->step;
}

void job_set_result(struct job *job, json_t *result)
{
    lock_take(&job->jobs->lock);
    json_decref(job->result);
    job->result = result;
    lock_drop(&job->jobs->lock);
}

void job_ask_cancel(struct core *core, const struct uuid *id)
{
    struct jobs *jobs = core->jobs;
    struct job *job;

    lock_take(&jobs->lock);
    HASH_FIND(hh, jobs->open, id, sizeof *id, job);
    if (job && job->state < JOB_CANCELLING)
        job->state = JOB_CANCELLING;
    if (job && !job->step)
        lane_hurry(jobs, job);
    cond_wake_all(&jobs->changed);
    lock_drop(&jobs->lock);
    lock_take(&core->registry.lock);
    cond_wake_all(&core->registry.changed); /* jobs wait there for their VM */
    lock_drop(&core->registry.lock);
}

bool job_any(struct core *core, const struct job_kind *kind,
             bool (*is)(const json_t *args, void *ctx), void *ctx)
{
    struct jobs *jobs = core->jobs;
    struct job *job, *next;
    bool found = false;

    lock_take(&jobs->lock);
    HASH_ITER (hh, jobs->open, job, next)
        found = found || (job->kind == kind && is(job->args, ctx));
    lock_drop(&jobs->lock);
    return found;
}
