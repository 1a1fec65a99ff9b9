/* The lanes: which waiting job runs next, and on which thread. Called by job.c.
 *
 * Two of them, so that copies never block a start. Each starts threads as they are needed, up to
 * its limit. What was cancelled while it waited ends in the quick one. Of the copies at most
 * COPIES_A_POOL work on one pool at a time: more of them only make its disks seek; one that has to
 * wait lets others, on other pools, go first. */
#include "core/job/inside.h"

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/str.h"
#include "core/disk/disks.h"

#include <string.h>

#define COPIES_A_POOL 2

static const unsigned lane_threads[JOB_LANE_COUNT] = {16, 4};

static bool ends_at_once(const struct jobs *jobs, const struct job *job) REQUIRES(jobs->lock);
static bool ends_at_once(const struct jobs *jobs, const struct job *job)
{
    return job->state == JOB_CANCELLING && !job->step;
}

static enum job_lane lane_of(const struct job *job)
{
    return json_get_bool(job->args, "copies", false) ? JOB_LANE_COPY : job->kind->lane;
}

/* The pool that a copy goes to, or else that of the VM's first disk; zero: none. */
static struct uuid pool_of(struct core *core, const struct job *job)
{
    const char *named = json_get_text(job->args, "pool");
    struct uuid pool = {0};

    if (lane_of(job) != JOB_LANE_COPY || (named && uuid_parse(named, &pool)))
        return pool;
    lock_take(&core->registry.lock);
    for (struct disk *d = disks_of(core, &job->object); d; d = d->next)
        if (!d->next || !d->position)
            pool = d->pool;
    lock_drop(&core->registry.lock);
    return pool;
}

static bool has_room(const struct lane *lane, const struct job *job)
{
    unsigned n = 0;

    if (uuid_is_zero(&job->pool))
        return true;
    for (const struct job *j = lane->at_work; j; j = j->next)
        n += uuid_eq(&j->pool, &job->pool);
    return n < COPIES_A_POOL;
}

static void unlink_job(struct job **list, struct job *job)
{
    while (*list != job)
        list = &(*list)->next;
    *list = job->next;
    job->next = NULL;
}

/* The oldest that may run now. Whoever ends a job calls it again: nobody waits for nothing. */
static struct job *next_job(struct jobs *jobs, struct lane *lane) REQUIRES(jobs->lock);
static struct job *next_job(struct jobs *jobs, struct lane *lane)
{
    struct job *job = lane->first;

    while (job && !has_room(lane, job))
        job = job->next;
    if (!job)
        return NULL;
    unlink_job(&lane->first, job);
    job->next = lane->at_work;
    lane->at_work = job;
    job->state = job->state == JOB_CANCELLING ? JOB_CANCELLING : JOB_RUNNING;
    job->started_ms = job->started_ms ? job->started_ms : clock_wall_ms();
    return job;
}

/* One thread of a lane: runs jobs until none is left or the daemon stops. */
static void *lane_main(void *arg)
{
    struct lane *lane = arg;
    struct jobs *jobs = lane->jobs;
    struct job *job;

    lock_take(&jobs->lock);
    while (!jobs->stopping && (job = next_job(jobs, lane))) {
        bool gone;
        lock_drop(&jobs->lock);
        job_run(job);
        lock_take(&jobs->lock);
        unlink_job(&lane->at_work, job);
        gone = job->gone;
        while (gone && job->watchers)
            cond_wait(&jobs->changed, &jobs->lock);
        if (gone)
            job_free(job);
    }
    lane->threads--;
    jobs->running--;
    cond_wake_all(&jobs->changed);
    lock_drop(&jobs->lock);
    return NULL;
}

static void add_thread(struct jobs *jobs, struct lane *lane, enum job_lane number)
    REQUIRES(jobs->lock);
static void add_thread(struct jobs *jobs, struct lane *lane, enum job_lane number)
{
    struct err err = {0};

    lane->threads++;
    jobs->running++;
    if (thread_start_detached(number == JOB_LANE_COPY ? "job-copy" : "job", lane_main, lane, &err))
        return;
    lane->threads--;
    jobs->running--;
    log_error("a job waits for a thread: %s", err.detail);
}

static void wake_lane(struct jobs *jobs, enum job_lane number) REQUIRES(jobs->lock);
static void wake_lane(struct jobs *jobs, enum job_lane number)
{
    if (!jobs->stopping && jobs->lanes[number].threads < lane_threads[number])
        add_thread(jobs, &jobs->lanes[number], number);
}

void lane_enqueue(struct jobs *jobs, struct job *job)
{
    enum job_lane number = lane_of(job);
    struct job **tail;

    job->pool = pool_of(jobs->core, job);
    lock_take(&jobs->lock);
    if (ends_at_once(jobs, job)) {
        number = JOB_LANE_LIFECYCLE;
        job->pool = (struct uuid){0};
    }
    tail = &jobs->lanes[number].first;
    while (*tail)
        tail = &(*tail)->next;
    *tail = job;
    wake_lane(jobs, number);
    lock_drop(&jobs->lock);
}

void lane_hurry(struct jobs *jobs, struct job *job)
{
    struct lane *quick = &jobs->lanes[JOB_LANE_LIFECYCLE];
    bool waits = false;

    for (unsigned i = 0; i < JOB_LANE_COUNT && !waits; i++) {
        for (const struct job *j = jobs->lanes[i].first; j && !waits; j = j->next)
            waits = j == job;
        if (waits)
            unlink_job(&jobs->lanes[i].first, job);
    }
    if (!waits)
        return;
    job->pool = (struct uuid){0};
    job->next = quick->first;
    quick->first = job;
    wake_lane(jobs, JOB_LANE_LIFECYCLE);
}
