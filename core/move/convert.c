/* A leaf without layers gets another format while the VM is off: a QEMU that never runs its guest
 * mirrors it, since what reads image formats does so in a jail. See inside.h. */
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/disk/disks.h"
#include "core/move/inside.h"
#include "core/snap/helper.h"
#include "core/vm/registry.h"

#include <fcntl.h>
#include <stdlib.h>

#define LOOK_MS 50

static bool watch(struct move *m, struct blocks *at, const struct uuid *name, struct err *err)
{
    uint64_t limit = UINT64_MAX, next;
    struct machine_block_job now;

    for (;;) {
        if (!blocks_look(at, name, &now, err))
            return false;
        if (now.state == BLOCK_JOB_READY)
            return true;
        if (now.state != BLOCK_JOB_RUNNING)
            return err_set(err, ERR_HYPERVISOR, "QEMU could not copy: %.200s",
                           now.error[0] ? now.error : "the copy is gone");
        if (now.no_space)
            return err_set(err, ERR_NO_SPACE, "the pool %s is full", m->pool_name);
        if (job_cancelled(m->job))
            return err_set(err, ERR_CANCELLED, "nothing was moved");
        if (atomic_load(&m->core->closing))
            return err_set(err, ERR_UNAVAILABLE, "the daemon ends");
        job_progress(m->job, m->done + now.done, m->total);
        next = pace_now(&m->pace);
        if (next != limit)
            blocks_limit(at, name, next);
        limit = next;
        blocks_rest(at, LOOK_MS);
    }
}

/* Nobody writes, so a mirror that is the same stays so: it is ended, and the copy flushed. */
static bool finish(struct blocks *at, const struct uuid *name, struct err *err)
{
    const struct uuid nothing = {0};

    return blocks_end(at, name, true, err) && at->backend->flush(at->helper, name, &nothing, err);
}

static bool mirror(struct move *m, const struct move_file *f, struct blocks *at, struct err *err)
{
    struct plan_disk *chain = mem_alloc(sizeof *chain);
    const struct machine_mirror order = {.chain = chain, .bytes_per_s = pace_now(&m->pace)};
    bool ok = disk_open_chain(m->core, &f->to.id, chain, err);

    if (ok) {
        ok = core_backend(m->vm->backend)->mirror(at->helper, &order, err);
        chain->n_fds = 0; /* taken */
    }
    disks_close(chain, 1);
    return ok && watch(m, at, &f->to.id, err) && finish(at, &f->to.id, err);
}

/* What the helper left in the page cache. */
static bool flush_file(const struct layer *layer, struct err *err)
{
    CLEANUP(closep) int fd = layer_open(layer, O_RDONLY, err);

    return fd >= 0 && fs_sync(fd, "a converted image", err);
}

bool move_convert(struct move *m, const struct move_file *f, struct err *err)
{
    struct blocks at = {.core = m->core, .vm = m->vm};
    bool ok;

    if (!layer_make(m->core, &f->to, err))
        return false;
    at.helper = helper_start(m->core, m->vm, &f->from.id,
                             helper_in_memory(f->to.dir, f->to.size_bytes), err);
    if (!at.helper)
        return false;
    ok = FAILPOINT_AROUND("move.convert", mirror(m, f, &at, err), err);
    helper_stop(m->core, m->vm, at.helper);
    return ok && flush_file(&f->to, err);
}
