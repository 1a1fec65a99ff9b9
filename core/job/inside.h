/* The inside of a job, shared by core/job's files only. */
#pragma once
#include "core/base/histogram.h"
#include "core/core/parts.h"

enum job_state {
    JOB_QUEUED,
    JOB_RUNNING,
    JOB_CANCELLING,
    JOB_SUCCEEDED,
    JOB_FAILED,
    JOB_CANCELLED,
    JOB_INTERRUPTED,
    JOB_STATE_COUNT
};
extern const char *const job_state_texts[];

struct job {
    /* never changes */
    struct jobs *jobs;
    const struct job_kind *kind;
    struct uuid id, object;
    const char *object_type; /* static text */
    char *object_name, *principal, *request_id;
    json_t *args;
    int64_t created_ms;

    /* jobs' lock */
    enum job_state state;
    char *step;
    json_t *result;
    struct err error;
    uint64_t done, total;
    int64_t marked_ms; /* when the rate was looked at last, monotonic; 0: not yet */
    uint64_t marked;   /* 'done' then */
    double rate;       /* a second, smoothed; 0: not known */
    bool limited;      /* somebody said how fast it may be */
    uint64_t limit;    /* bytes a second; 0: no limit */
    int64_t started_ms, ended_ms;
    unsigned watchers; /* requests that wait for it */
    bool gone;         /* ended and out of the table */
    struct job *next;  /* in its lane's queue, or of those at work there */
    struct uuid pool;  /* that it copies in; zero: none. Written before it is queued */
    bool taken_up;     /* an earlier daemon may have begun it. Written before it is queued */
    UT_hash_handle hh;
};

/* What has ended since the daemon started, of one kind. */
struct job_count {
    uint64_t ended[JOB_STATE_COUNT]; /* jobs' lock */
    struct histogram seconds;
};

struct lane {
    struct jobs *jobs;
    struct job *first;   /* waiting, oldest first */
    struct job *at_work; /* in no order */
    unsigned threads;
};

struct jobs {
    struct core *core;
    struct lock lock;
    struct cond changed;
    struct job *open GUARDED_BY(lock); /* not ended, by id */
    struct job *recovered GUARDED_BY(lock);
    struct lane lanes[JOB_LANE_COUNT] GUARDED_BY(lock);
    unsigned running GUARDED_BY(lock); /* lane threads */
    bool stopping GUARDED_BY(lock);
    struct job_count *counts; /* by the place of the kind in job_kinds */
};

/* job.c, for lane.c */
void job_run(struct job *job); /* and settles it; 'gone' says whether it is out of memory's table */
void job_free(struct job *job);

/* Queues a job that has its row, and adds a thread to its lane if there is room for one. */
void lane_enqueue(struct jobs *jobs, struct job *job);

/* The row as the job is by now, in a transaction of its own. */
bool job_write(struct job *job, struct err *err) MUST_USE;

/* A job that is to end before it began waits for no copy any more, nor for their threads. */
void lane_hurry(struct jobs *jobs, struct job *job) REQUIRES(jobs->lock);

/* pace.c */
void job_look_at_rate(struct job *job, uint64_t done) REQUIRES(job->jobs->lock);

/* measure.c */
struct job_count *job_counts_new(void);
void job_count_end(struct jobs *jobs, struct job *job) REQUIRES(jobs->lock);
