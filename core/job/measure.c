/* Counting jobs: what ended and how long it took, by kind. Notes come from job.c, under its lock
 * or, for the durations, without any. */
#include "core/job/measure.h"

#include "core/base/mem.h"
#include "core/job/inside.h"

#include <stdlib.h>

static size_t count_kinds(void)
{
    size_t n = 0;

    while (job_kinds[n])
        n++;
    return n;
}

struct job_count *job_counts_new(void)
{
    return mem_array(count_kinds() + 1, sizeof(struct job_count));
}

static struct job_count *count_of(struct jobs *jobs, const struct job_kind *kind)
{
    size_t i = 0;

    while (job_kinds[i] && job_kinds[i] != kind)
        i++;
    return &jobs->counts[i]; /* one more than there are kinds */
}

void job_count_end(struct jobs *jobs, struct job *job)
{
    struct job_count *count = count_of(jobs, job->kind);

    count->ended[job->state]++;
    histogram_note(&count->seconds, &histogram_operations,
                   (job->ended_ms - job->started_ms) * 1000);
}

static void count_open(struct jobs *jobs, struct core_measures *out) REQUIRES(jobs->lock);
static void count_open(struct jobs *jobs, struct core_measures *out)
{
    struct job *job, *next;

    HASH_ITER (hh, jobs->open, job, next) {
        bool begun = job->state != JOB_QUEUED && job->started_ms;
        out->jobs_queued += !begun;
        out->jobs_running += begun;
    }
}

void jobs_measure(struct jobs *jobs, struct core_measures *out)
{
    static const enum job_state ends[] = {JOB_SUCCEEDED, JOB_FAILED, JOB_CANCELLED};

    out->n_kinds = count_kinds();
    out->kinds = mem_array(out->n_kinds, sizeof *out->kinds);
    out->ends = mem_array(out->n_kinds * ARRAY_LEN(ends), sizeof *out->ends);
    lock_take(&jobs->lock);
    count_open(jobs, out);
    for (size_t i = 0; i < out->n_kinds; i++) {
        out->kinds[i].kind = job_kinds[i]->name;
        histogram_read(&jobs->counts[i].seconds, &histogram_operations, &out->kinds[i].seconds);
        for (size_t k = 0; k < ARRAY_LEN(ends); k++)
            out->ends[out->n_ends++] = (struct measured_end){
                job_kinds[i]->name, job_state_texts[ends[k]], jobs->counts[i].ended[ends[k]]};
    }
    lock_drop(&jobs->lock);
}
