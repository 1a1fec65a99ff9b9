/* Operations that are taken back: see job.h. */
#include "core/base/log.h"
#include "core/base/str.h"
#include "core/job/inside.h"

#define UNDO "undo"

bool job_undo(struct job *job)
{
    struct err err = {0};

    if (!job->step || str_eq(job->step, UNDO) || job_step(job, UNDO, &err))
        return true;
    log_error("what the operation has begun is left to the next daemon: %s", err.detail);
    return false;
}

bool job_is_undone(const struct job *job, struct err *err)
{
    return str_eq(job->step, UNDO) &&
           !err_set(err, ERR_UNAVAILABLE,
                    "the operation had failed, and the daemon ended while it was taken back: all "
                    "is as it was, try again");
}
