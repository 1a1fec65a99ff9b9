/* See convert.h. It is a mirror, as a move is one; nobody writes, so that what is the same once
 * stays so, and the mirror is ended then. */
#include "core/snap/convert.h"

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/disk/blocks.h"
#include "core/disk/disks.h"

#include <errno.h>
#include <string.h>

#define LOOK_MS 50

bool convert_is_stuck(struct convert_clock *clock, uint64_t done, int64_t now_ms,
                      int64_t patience_ms)
{
    if (!clock->since_ms || done != clock->done)
        *clock = (struct convert_clock){done, now_ms};
    return patience_ms && now_ms - clock->since_ms >= patience_ms;
}

/* Why it is not running any more. QEMU's words for EFBIG are the C library's. */
static bool explain(const struct convert *c, const struct machine_block_job *now, struct err *err)
{
    if (c->overgrown && strstr(now->error, strerror(EFBIG)))
        return err_set(err, ERR_INVALID, "%s", c->overgrown);
    return err_set(err, ERR_HYPERVISOR, "QEMU could not copy: %.200s",
                   now->error[0] ? now->error : "the copy is gone");
}

static bool watch(const struct convert *c, struct blocks *at, struct err *err)
{
    struct machine_block_job now;
    struct convert_clock clock = {0};

    for (;;) {
        if (!blocks_look(at, &c->image, &now, err))
            return false;
        if (now.state == BLOCK_JOB_READY)
            return true;
        if (now.state != BLOCK_JOB_RUNNING)
            return explain(c, &now, err);
        if (now.no_space)
            return err_set(err, ERR_NO_SPACE, "%s", c->full);
        if (job_cancelled(c->job))
            return err_set(err, ERR_CANCELLED, "%s", c->cancelled);
        if (atomic_load(&c->core->closing))
            return err_set(err, ERR_UNAVAILABLE, "the daemon ends");
        if (convert_is_stuck(&clock, now.done, clock_mono_ms(), c->patience_ms))
            return err_set(err, ERR_TIMEOUT, "%s", c->stuck);
        job_progress(c->job, now.done, now.total);
        blocks_rest(at, LOOK_MS);
    }
}

bool convert_run(const struct convert *c, struct err *err)
{
    struct blocks at = {.core = c->core, .vm = c->shadow, .helper = c->helper};
    const struct backend *backend = core_backend(c->shadow->backend);
    const struct uuid nothing = {0};
    struct plan_disk *chain = mem_alloc(sizeof *chain);
    const struct machine_mirror order = {.chain = chain};
    bool ok;

    *chain = (struct plan_disk){.format = c->format,
                                .size_bytes = c->size_bytes,
                                .files = mem_array(1, sizeof *chain->files),
                                .fds = mem_array(1, sizeof *chain->fds),
                                .base_formats = mem_array(1, sizeof *chain->base_formats),
                                .n_fds = 1};
    chain->files[0] = c->image;
    chain->fds[0] = c->fd;
    ok = backend->mirror(c->helper, &order, err);
    chain->n_fds = 0; /* taken */
    disks_close(chain, 1);
    return ok && watch(c, &at, err) && blocks_end(&at, &c->image, true, err) &&
           backend->flush(c->helper, &c->image, &nothing, err);
}
