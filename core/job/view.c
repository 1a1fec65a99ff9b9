/* Jobs as the API shows them: schema Operation. Open ones from memory, ended ones from the store.
 */
#include "core/job/inside.h"

#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/log.h"
#include "core/base/str.h"
#include "core/model/page.h"
#include "core/user/sight_inside.h"
#include "core/vm/registry.h"

#include <string.h>

const char *const job_state_texts[] = {"queued", "running",   "cancelling", "succeeded",
                                       "failed", "cancelled", "interrupted"};

static json_t *progress(uint64_t done, uint64_t total)
{
    json_t *p = json_object();

    json_put_u64(p, "done", done);
    json_put_u64(p, "total", total);
    json_put(p, "rate", NULL);
    json_put(p, "left_s", NULL);
    return p;
}

static json_t *object(const char *type, const struct uuid *id, const char *name)
{
    json_t *o;

    if (!type || uuid_is_zero(id))
        return NULL;
    o = json_object();
    json_put_text(o, "type", type);
    json_put_text(o, "id", UUID_STR(id));
    json_put_text(o, "name", name);
    return o;
}

static json_t *error(const char *code, const char *pointer, const char *detail)
{
    json_t *e;

    if (!code)
        return NULL;
    e = json_object();
    json_put_text(e, "code", code);
    json_put_text(e, "detail", detail);
    json_put_text(e, "pointer", pointer && *pointer ? pointer : NULL);
    return e;
}

static bool ended(const char *state)
{
    return !str_eq(state, "queued") && !str_eq(state, "running") && !str_eq(state, "cancelling");
}

static json_t *view_record(const struct job_record *r)
{
    const struct job_kind *kind = job_kind_find(r->kind);
    json_t *v = json_object();

    json_put_text(v, "id", UUID_STR(&r->id));
    json_put_text(v, "kind", r->kind);
    json_put(v, "object", object(r->object_type, &r->object, r->object_name));
    json_put_text(v, "state", r->state);
    json_put_text(v, "step", r->step);
    json_put(v, "progress", progress(r->done, r->total));
    json_put_bool(v, "cancellable", kind && kind->cancellable && !ended(r->state));
    json_put_bool(v, "limitable", false);
    json_put(v, "bandwidth", NULL);
    json_put_text(v, "created_by", r->principal);
    json_put_text(v, "request_id", r->request_id);
    json_put_time(v, "created_at", r->created_ms);
    json_put_time(v, "started_at", r->started_ms);
    json_put_time(v, "ended_at", r->ended_ms);
    json_put(v, "result", r->result ? json_loads(r->result, JSON_DECODE_ANY, NULL) : NULL);
    json_put(v, "error", error(r->error_code, r->error_field, r->error_detail));
    return v;
}

static void add_rate(const struct job *job, json_t *progress)
{
    if (job->rate < 1 || job->total <= job->done)
        return;
    json_put_u64(progress, "rate", (uint64_t)job->rate);
    json_put_u64(progress, "left_s", (uint64_t)((double)(job->total - job->done) / job->rate) + 1);
}

static json_t *view_open(const struct job *job)
{
    struct job_record r = {.id = job->id,
                           .kind = job->kind->name,
                           .object_type = job->object_type,
                           .object = job->object,
                           .object_name = job->object_name,
                           .principal = job->principal,
                           .request_id = job->request_id,
                           .state = job_state_texts[job->state],
                           .step = job->step,
                           .done = job->done,
                           .total = job->total,
                           .created_ms = job->created_ms,
                           .started_ms = job->started_ms,
                           .ended_ms = job->ended_ms,
                           .error_code = job->error.code ? err_slug(job->error.code) : NULL,
                           .error_field = job->error.field,
                           .error_detail = job->error.detail};
    json_t *v = view_record(&r);

    if (job->result)
        json_object_set(v, "result", job->result);
    add_rate(job, json_object_get(v, "progress"));
    json_put_bool(v, "limitable", job->kind->limitable);
    if (job->limited)
        json_put_u64(v, "bandwidth", job->limit);
    return v;
}

static bool keep_view(void *ctx, const struct job_record *r)
{
    *(json_t **)ctx = view_record(r);
    return true;
}

json_t *job_show(struct core *core, const struct uuid *id, struct err *err)
{
    struct jobs *jobs = core->jobs;
    json_t *view = NULL;
    struct job *job;

    lock_take(&jobs->lock);
    HASH_FIND(hh, jobs->open, id, sizeof *id, job);
    if (job)
        view = view_open(job);
    lock_drop(&jobs->lock);
    if (view)
        return view;
    if (!store_job_get(core->store, id, keep_view, &view, err)) {
        if (err->code == ERR_NOT_FOUND)
            (void)job_missing_fail(UUID_STR(id), err);
        return NULL;
    }
    return view;
}

json_t *job_wait(struct core *core, const struct uuid *id, int64_t wait_ms, struct err *err)
{
    int64_t deadline = clock_mono_ms() + wait_ms;
    struct jobs *jobs = core->jobs;
    bool in_time = true;
    struct job *job;

    lock_take(&jobs->lock);
    HASH_FIND(hh, jobs->open, id, sizeof *id, job);
    if (job) {
        job->watchers++;
        while (!job->gone && in_time && !jobs->stopping && !atomic_load(&core->closing))
            in_time = cond_wait_until(&jobs->changed, &jobs->lock, deadline);
        job->watchers--;
        cond_wake_all(&jobs->changed);
    }
    lock_drop(&jobs->lock);
    return job_show(core, id, err);
}

bool job_missing_fail(const char *ref, struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, "there is no operation '%.63s'; it is named by its id", ref);
}

/* ---- lists ---- */

struct list {
    struct page page;
    struct core *core;
};

/* The store's row of an open job is older than memory: show memory's. */
static bool add_to_list(void *ctx, const struct job_record *r)
{
    struct list *list = ctx;
    json_t *view = NULL;
    struct job *job;

    if (!sight_operation(list->core, r->object_type, &r->object, r->principal))
        return true;
    lock_take(&list->core->jobs->lock);
    HASH_FIND(hh, list->core->jobs->open, &r->id, sizeof r->id, job);
    if (job)
        view = view_open(job);
    lock_drop(&list->core->jobs->lock);
    page_offer(&list->page, view ? view : view_record(r));
    return !(list->page.query->default_order && page_is_full(&list->page));
}

/* The store's own order is the default one: there it begins where the page does. */
static void seek(const struct query *q, struct job_filter *filter)
{
    const char *at = json_string_value(json_array_get(q->after, 0));
    const char *id = json_string_value(json_array_get(q->after, 1));

    if (q->default_order && at && id && uuid_parse(id, &filter->before_id) &&
        !query_time(at, &filter->before_ms))
        filter->before_ms = 0;
}

/* Who asks for what is under way need not go through all that ever was: there is an index for it.
 */
static bool asks_for_open(const struct query *q)
{
    return !query_admits(q, "state", "succeeded") && !query_admits(q, "state", "failed") &&
           !query_admits(q, "state", "cancelled");
}

bool job_list(struct core *core, const char *vm, const struct query *query, struct strbuf *out,
              struct err *err)
{
    struct list list = {.page = {.query = query}, .core = core};
    struct job_filter filter = {.limit = INT32_MAX, .open_only = asks_for_open(query)};
    CLEANUP(vm_drop) struct vm_hold hold = {core, NULL};
    struct uuid gone;
    bool ok;

    if (vm) {
        hold.vm = vm_get(core, vm, err);
        if (!hold.vm && !uuid_parse(vm, &gone))
            return false;
        *err = (struct err){0}; /* a deleted VM's operations can still be read by its id */
        filter.object = hold.vm ? &hold.vm->id : &gone;
    }
    seek(query, &filter);
    ok = store_job_each(core->store, &filter, add_to_list, &list, err);
    if (ok)
        page_write(&list.page, NULL, NULL, out);
    page_clear(&list.page);
    return ok;
}

/* Takes the watch that keeps a job in memory while it is written without the lock. '*was' is what
 * it was before it was asked. */
static struct job *ask(struct jobs *jobs, const struct uuid *id, bool only_look,
                       enum job_state *was) REQUIRES(jobs->lock);
static struct job *ask(struct jobs *jobs, const struct uuid *id, bool only_look,
                       enum job_state *was)
{
    struct job *job;

    HASH_FIND(hh, jobs->open, id, sizeof *id, job);
    if (!job)
        return NULL;
    job->watchers++;
    *was = job->state;
    if (!only_look && job->kind->cancellable && job->state < JOB_CANCELLING)
        job->state = JOB_CANCELLING;
    return job;
}

static bool is_at_work(const struct jobs *jobs, const struct job *job) REQUIRES(jobs->lock);
static bool is_at_work(const struct jobs *jobs, const struct job *job)
{
    const struct job *j = NULL;

    for (unsigned i = 0; i < JOB_LANE_COUNT && !j; i++)
        for (j = jobs->lanes[i].at_work; j && j != job;)
            j = j->next;
    return j != NULL;
}

/* Who was told that it will end must not see a restarted daemon bring it to its end: one that is
 * not recorded is none. But where there is no space it may be this that takes it. */
static bool write_asked(struct job *job, enum job_state was, struct err *err)
{
    struct jobs *jobs = job->jobs;

    if (FAILPOINT("job.cancel", err) && job_write(job, err))
        return true;
    if (err->code == ERR_NO_SPACE) {
        log_warn("%s %s is cancelled, which could not be recorded: %s", job->kind->name,
                 UUID_STR(&job->id), err->detail);
        *err = (struct err){0};
        return true;
    }
    lock_take(&jobs->lock);
    if (job->state == JOB_CANCELLING) /* it may have begun meanwhile */
        job->state = was == JOB_QUEUED && is_at_work(jobs, job) ? JOB_RUNNING : was;
    lock_drop(&jobs->lock);
    return false;
}

static void stop_watching(struct job *job)
{
    struct jobs *jobs = job->jobs;

    lock_take(&jobs->lock);
    job->watchers--;
    cond_wake_all(&jobs->changed);
    lock_drop(&jobs->lock);
}

bool job_cancel(struct core *core, const struct uuid *id, const struct origin *origin,
                struct err *err)
{
    struct jobs *jobs = core->jobs;
    enum job_state was;
    struct job *job;
    bool ok;

    lock_take(&jobs->lock);
    job = ask(jobs, id, origin->dry_run, &was);
    lock_drop(&jobs->lock);
    if (!job) {
        CLEANUP(json_decrefp) json_t *ended = job_show(core, id, err);
        return ended && err_set(err, ERR_WRONG_STATE, "the operation has ended already: %s",
                                json_get_text(ended, "state"));
    }
    ok = job->kind->cancellable ||
         err_set(err, ERR_WRONG_STATE, "this kind of operation cannot be cancelled");
    ok = ok && (origin->dry_run || write_asked(job, was, err));
    stop_watching(job);
    if (ok && !origin->dry_run)
        job_ask_cancel(core, id);
    return ok;
}
