/* How fast jobs are, and how fast they may be: the rate that progress shows, and the limit that a
 * client sets while one runs. */
#include "core/base/clock.h"
#include "core/job/inside.h"

#define RATE_MS 500

void job_look_at_rate(struct job *job, uint64_t done)
{
    const int64_t now_ms = clock_mono_ms(), passed_ms = now_ms - job->marked_ms;
    double rate;

    if (job->marked_ms && done >= job->marked && passed_ms < RATE_MS)
        return;
    if (job->marked_ms && done >= job->marked) {
        rate = (double)(done - job->marked) * 1000 / (double)passed_ms;
        job->rate = job->rate > 0 ? (job->rate + rate) / 2 : rate;
    }
    job->marked_ms = now_ms;
    job->marked = done;
}

bool job_bandwidth(struct job *job, uint64_t *bytes_per_s)
{
    bool limited;

    lock_take(&job->jobs->lock);
    limited = job->limited;
    *bytes_per_s = job->limit;
    lock_drop(&job->jobs->lock);
    return limited;
}

/* Takes the watch that keeps a job in memory while it is written without the lock. */
static struct job *find_to_limit(struct jobs *jobs, const struct uuid *id) REQUIRES(jobs->lock);
static struct job *find_to_limit(struct jobs *jobs, const struct uuid *id)
{
    struct job *job;

    HASH_FIND(hh, jobs->open, id, sizeof *id, job);
    if (!job || !job->kind->limitable || job->state == JOB_CANCELLING)
        return NULL;
    job->watchers++;
    return job;
}

bool job_limit(struct core *core, const struct uuid *id, uint64_t bytes_per_s,
               const struct origin *origin, struct err *err)
{
    CLEANUP(json_decrefp) json_t *known = job_show(core, id, err);
    struct jobs *jobs = core->jobs;
    struct job *job;
    bool ok;

    if (!known)
        return false;
    lock_take(&jobs->lock);
    job = find_to_limit(jobs, id);
    if (job && !origin->dry_run) {
        job->limited = true;
        job->limit = bytes_per_s;
    }
    lock_drop(&jobs->lock);
    if (!job)
        return err_set(err, ERR_WRONG_STATE,
                       "the operation has ended, or is none that has a limit");
    ok = origin->dry_run || job_write(job, err);
    lock_take(&jobs->lock);
    job->watchers--;
    cond_wake_all(&jobs->changed);
    lock_drop(&jobs->lock);
    return ok;
}
