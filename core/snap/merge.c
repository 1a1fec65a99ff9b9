/* See merge.h. A copy is a job of QEMU's, named after the file it fills, so that whoever comes
 * later finds it: one that runs is watched on, one that ended is asked how. */
#include "core/snap/merge.h"

#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/disks.h"
#include "core/snap/helper.h"
#include "core/vm/registry.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS   50
#define CANCEL_MS 30000

/* Whose machine does the work. */
struct worker {
    struct core *core;
    struct vm *vm;
    struct job *job;
    const struct backend *backend;
    struct machine *helper; /* NULL: the VM's own */
};

static struct machine *use(struct worker *w, struct err *err)
{
    return w->helper ? w->helper : vm_machine_use(w->core, w->vm, &w->backend, err);
}

static void done(struct worker *w)
{
    if (!w->helper)
        vm_machine_done(w->core, w->vm);
}

static bool look(struct worker *w, const struct uuid *id, struct machine_block_job *out,
                 struct err *err)
{
    struct machine *machine = use(w, err);
    bool ok;

    if (!machine)
        return false;
    ok = w->backend->block_job(machine, id, out, err);
    done(w);
    return ok;
}

static bool end(struct worker *w, const struct uuid *id, bool cancel, struct err *err)
{
    struct machine *machine = use(w, err);
    bool ok;

    if (!machine)
        return false;
    ok = w->backend->block_job_end(machine, id, cancel, err);
    done(w);
    return ok;
}

static bool never(const struct vm *vm, void *ctx)
{
    return false;
}

static void rest(struct worker *w)
{
    (void)vm_wait(w->core, w->vm, never, NULL, clock_mono_ms() + LOOK_MS);
}

/* Has QEMU's job end, and waits for that. */
static void call_off(struct worker *w, const struct uuid *id)
{
    const int64_t deadline_ms = clock_mono_ms() + CANCEL_MS;
    struct machine_block_job now;
    struct err err = {0};
    bool ok = end(w, id, true, &err);

    while (ok && clock_left_ms(deadline_ms) && look(w, id, &now, &err) &&
           now.state == BLOCK_JOB_RUNNING)
        rest(w);
    err_ignore(ok && end(w, id, false, &err), &err);
}

/* A copy that has ended may still be in QEMU's caches: nothing may be built on it before it is on
 * the disk. */
static bool flush(struct worker *w, const struct uuid *file, const struct uuid *base,
                  struct err *err)
{
    struct machine *machine = use(w, err);
    bool ok;

    if (!machine)
        return false;
    ok = FAILPOINT_AROUND("snapshot.flush", w->backend->flush(machine, file, base, err), err);
    done(w);
    return ok;
}

/* Watches until QEMU's job has ended. */
static bool watch(struct worker *w, const struct uuid *id, struct err *err)
{
    struct machine_block_job now;

    for (;;) {
        if (!look(w, id, &now, err))
            return false;
        if (now.state != BLOCK_JOB_RUNNING)
            break;
        job_progress(w->job, now.done, now.total);
        if (atomic_load(&w->core->closing))
            return err_set(err, ERR_UNAVAILABLE, "the daemon ends; the copy goes on");
        if (job_cancelled(w->job)) {
            call_off(w, id);
            return err_set(err, ERR_CANCELLED, "the snapshot is still there");
        }
        rest(w);
    }
    if (now.state == BLOCK_JOB_NONE)
        return err_set(err, ERR_HYPERVISOR, "QEMU's copy is gone: try again");
    if (!end(w, id, false, err))
        return false;
    return !now.error[0] ||
           err_set(err, strstr(now.error, "No space") ? ERR_NO_SPACE : ERR_HYPERVISOR,
                   "QEMU could not copy: %.200s", now.error);
}

static bool is_a_leaf(struct core *core, const struct vm *vm, const struct uuid *file)
{
    bool leaf = false;

    lock_take(&core->registry.lock);
    for (struct disk *d = disks_of(core, &vm->id); d; d = d->next)
        leaf |= uuid_eq(&d->leaf, file);
    lock_drop(&core->registry.lock);
    return leaf;
}

static bool begin(struct worker *w, const struct layer *from, const struct layer *child,
                  struct err *err)
{
    struct machine_stream stream = {.top = child->id, .base = from->parent, .top_fd = -1};
    CLEANUP(mem_freep) struct layer *below = NULL;
    char name[FILE_NAME_BYTES] = "";
    struct machine *machine;
    size_t n = 0;
    bool ok;

    below = chain_of_leaf(w->core, &from->parent, &n);
    if (n)
        layer_name(&below[0], name);
    stream.base_name = n ? name : NULL;
    if (!w->helper && !is_a_leaf(w->core, w->vm, &child->id)) {
        stream.top_fd = layer_open(child, O_RDWR, err);
        if (stream.top_fd < 0)
            return false;
    }
    machine = use(w, err);
    if (!machine) {
        closep(&stream.top_fd);
        return false;
    }
    ok = FAILPOINT_AROUND("snapshot.stream", w->backend->stream(machine, &stream, err), err);
    done(w);
    return ok;
}

static bool stream(struct worker *w, const struct layer *from, const struct layer *child,
                   struct err *err)
{
    struct machine_block_job now;

    if (!look(w, &child->id, &now, err))
        return false;
    if (now.state == BLOCK_JOB_NONE && !begin(w, from, child, err))
        return false;
    return watch(w, &child->id, err) && flush(w, &child->id, &from->parent, err);
}

static bool is_live(const struct vm *vm, void *ctx)
{
    return vm->machine != NULL;
}

bool merge_stream(struct core *core, struct vm *vm, struct job *job, const struct layer *from,
                  const struct layer *child, struct err *err)
{
    struct worker w = {.core = core, .vm = vm, .job = job, .backend = core_backend(vm->backend)};
    bool ok;

    if (vm_is(core, vm, is_live, NULL))
        return stream(&w, from, child, err);
    w.helper = helper_start(core, vm, &child->id, err);
    if (!w.helper)
        return false;
    ok = stream(&w, from, child, err);
    helper_stop(core, vm, w.helper);
    return ok;
}

void merge_forget(struct core *core, struct vm *vm, const struct layer *file)
{
    const struct backend *backend;
    struct err err = {0};
    struct machine *machine = vm_machine_use(core, vm, &backend, &err);

    if (!machine)
        return;
    err_ignore(backend->drop_file(machine, &file->id, &err), &err);
    vm_machine_done(core, vm);
}
