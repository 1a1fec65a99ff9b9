/* See merge.h. A copy is a job of QEMU's, named after the file it fills, so that whoever comes
 * later finds it: one that runs is watched on, one that ended is asked how. */
#include "core/snap/merge.h"

#include "core/base/clock.h"
#include "core/base/commitlog.h"
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/json.h"
#include "core/base/log.h"
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
    struct pace *pace;
    const struct backend *backend;
    struct machine *helper; /* NULL: the VM's own */
    const char *kept;       /* for who cancels it */
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
           now.state != BLOCK_JOB_ENDED && now.state != BLOCK_JOB_NONE)
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

static void set_limit(struct worker *w, const struct uuid *id, uint64_t bytes_per_s)
{
    struct err err = {0};
    struct machine *machine = use(w, &err);

    if (!machine)
        return;
    err_ignore(w->backend->block_job_limit(machine, id, bytes_per_s, &err), &err);
    done(w);
}

/* Watches until QEMU's job is no longer under way. One that an earlier daemon began may have
 * another limit. */
static bool watch_until_over(struct worker *w, const struct uuid *id, struct machine_block_job *now,
                             struct err *err)
{
    uint64_t limit = UINT64_MAX, next;

    for (;;) {
        if (!look(w, id, now, err))
            return false;
        if (now->state != BLOCK_JOB_RUNNING && now->state != BLOCK_JOB_PIVOTING)
            break;
        job_progress(w->job, now->done, now->total);
        if (atomic_load(&w->core->closing))
            return err_set(err, ERR_UNAVAILABLE, "the daemon ends; the copy goes on");
        if (job_cancelled(w->job) && now->state == BLOCK_JOB_RUNNING) {
            call_off(w, id);
            return err_set(err, ERR_CANCELLED, "%s", w->kept);
        }
        next = pace_now(w->pace);
        if (next != limit && now->state == BLOCK_JOB_RUNNING)
            set_limit(w, id, next);
        limit = next;
        rest(w);
    }
    return now->state != BLOCK_JOB_NONE ||
           err_set(err, ERR_HYPERVISOR, "QEMU's copy is gone: try again");
}

static bool went_well(const struct machine_block_job *now, struct err *err)
{
    return !now->error[0] ||
           err_set(err, strstr(now->error, "No space") ? ERR_NO_SPACE : ERR_HYPERVISOR,
                   "QEMU could not copy: %.200s", now->error);
}

static bool watch(struct worker *w, const struct uuid *id, struct err *err)
{
    struct machine_block_job now;

    return watch_until_over(w, id, &now, err) && end(w, id, false, err) && went_well(&now, err);
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
    struct machine_stream stream = {
        .top = child->id, .base = from->parent, .top_fd = -1, .bytes_per_s = pace_now(w->pace)};
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

bool merge_stream(struct core *core, struct vm *vm, struct pace *pace, const struct layer *from,
                  const struct layer *child, struct err *err)
{
    struct worker w = {.core = core,
                       .vm = vm,
                       .job = pace->job,
                       .pace = pace,
                       .backend = core_backend(vm->backend),
                       .kept = "the snapshot is still there"};
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

/* ---- down ---- */

static bool begin_commit(struct worker *w, const struct merge_down *d, struct err *err)
{
    struct machine_commit commit = {.top = d->top.id,
                                    .base = d->base.id,
                                    .is_leaf = w->helper || !uuid_is_zero(&d->disk),
                                    .still = w->helper != NULL,
                                    .base_fd = -1,
                                    .top_fd = -1,
                                    .bytes_per_s = pace_now(w->pace)};
    char name[FILE_NAME_BYTES];
    struct machine *machine;
    bool ok;

    if (!commit.is_leaf) {
        layer_name(&d->base, name);
        commit.above = d->above.id;
        commit.base_name = name;
    }
    commit.base_fd = layer_open(&d->base, O_RDWR, err);
    ok = commit.base_fd >= 0;
    if (ok && !commit.is_leaf && !d->above_is_leaf) {
        commit.top_fd = layer_open(&d->above, O_RDWR, err);
        ok = commit.top_fd >= 0;
    }
    machine = ok ? use(w, err) : NULL;
    if (!machine) {
        closep(&commit.base_fd);
        closep(&commit.top_fd);
        return false;
    }
    ok = FAILPOINT_AROUND("snapshot.commit", w->backend->commit(machine, &commit, err), err);
    done(w);
    return ok;
}

/* One that is under way, of an earlier daemon's time, is gone on with. One that failed then begins
 * anew. */
static bool commit_until_over(struct worker *w, const struct merge_down *d,
                              struct machine_block_job *now, struct err *err)
{
    if (!look(w, &d->top.id, now, err))
        return false;
    if (now->state == BLOCK_JOB_ENDED && now->error[0]) {
        if (!end(w, &d->top.id, false, err))
            return false;
        now->state = BLOCK_JOB_NONE;
    }
    return (now->state != BLOCK_JOB_NONE || begin_commit(w, d, err)) &&
           watch_until_over(w, &d->top.id, now, err);
}

/* Of a file that no disk writes to. It is dismissed only once the database says so: QEMU has let go
 * of the file then, and would not know it if it were asked again. */
static bool commit_frozen(struct worker *w, const struct merge_down *d, struct err *err)
{
    struct machine_block_job now;
    struct err none = {0};

    if (!commit_until_over(w, d, &now, err))
        return false;
    if (went_well(&now, err))
        return flush(w, &d->base.id, &d->base.parent, err);
    err_ignore(end(w, &d->top.id, false, &none), &none);
    return false;
}

/* By a QEMU that runs no guest: nothing is written while both are the same. */
static bool commit_still(struct worker *w, const struct merge_down *d, struct err *err)
{
    struct machine_block_job now;

    if (!commit_until_over(w, d, &now, err) || !went_well(&now, err))
        return false;
    call_off(w, &d->top.id);
    return flush(w, &d->base.id, &d->base.parent, err);
}

static bool is_gone(const struct vm *vm, void *ctx)
{
    return !vm->machine && !vm->ending && !vm_run_is_live(vm->run);
}

/* The newest record of the VM's log says that this operation had the disk switch. */
static bool is_recorded(struct worker *w, const struct merge_down *d, bool *yes, struct err *err)
{
    CLEANUP(closep) int dir = vm_dir_open(w->core, w->vm, true, err);
    CLEANUP(closep) int log = dir < 0 ? -1 : commitlog_open(dir, err);
    CLEANUP(json_decrefp) json_t *record = NULL;
    const json_t *leaf;
    uint64_t sequence;
    size_t i;

    *yes = false;
    if (log < 0 || !commitlog_last(log, &sequence, &record, err))
        return false;
    if (!str_eq(json_get_text(record, "job"), UUID_STR(job_id(w->job))))
        return true;
    json_array_foreach (json_object_get(record, "leaves"), i, leaf)
        *yes |= str_eq(json_get_text(leaf, "disk"), UUID_STR(&d->disk)) &&
                str_eq(json_get_text(leaf, "file"), UUID_STR(&d->base.id));
    return true;
}

/* False: the machine does not say, or not yet. */
static bool machine_says(struct worker *w, const struct merge_down *d, bool *switched)
{
    struct machine_block_job now;
    struct err none = {0};
    struct machine *machine;
    bool ok;

    if (!look(w, &d->top.id, &now, &none) || now.state == BLOCK_JOB_PIVOTING)
        return false;
    machine = use(w, &none);
    if (!machine)
        return false;
    ok = w->backend->is_leaf(machine, d->position, &d->base.id, switched, &none);
    done(w);
    return ok;
}

/* Nothing may be done with the VM before this is known. False: the daemon ends. */
static bool find_out(struct worker *w, const struct merge_down *d, bool *switched, struct err *err)
{
    struct err none;

    for (;;) {
        none = (struct err){0};
        if (machine_says(w, d, switched))
            return true;
        if (vm_is(w->core, w->vm, is_gone, NULL)) {
            if (is_recorded(w, d, switched, &none))
                return true;
            log_error("the commit log of %s cannot be read: %s", VM_NAME(w->core, w->vm),
                      none.detail);
        }
        if (atomic_load(&w->core->closing))
            return err_set(err, ERR_UNAVAILABLE, "the daemon ends");
        rest(w);
    }
}

static bool pivot(struct worker *w, const struct merge_down *d, struct err *err)
{
    const struct machine_new_leaf leaf = {d->disk, d->base.id, d->top.id};
    const struct machine_pivot pivot = {.job = *job_id(w->job), .leaves = &leaf, .n = 1};
    struct machine_pivoted out = {.outcome = PIVOT_UNKNOWN};
    struct machine *machine;
    bool ok, switched = false;

    if (!job_step(w->job, "pivot", err))
        return false;
    machine = use(w, err);
    if (!machine)
        return false;
    ok = FAILPOINT_AROUND("snapshot.pivot", w->backend->pivot(machine, &pivot, &out, err), err);
    done(w);
    if (ok && out.outcome == PIVOT_COMMITTED)
        return true;
    if (ok)
        err_set(err, out.outcome == PIVOT_CANCELLED ? ERR_TIMEOUT : ERR_HYPERVISOR,
                "the disk could not be switched: %.200s", out.detail);
    return find_out(w, d, &switched, err) && switched;
}

static bool commit_leaf(struct worker *w, const struct merge_down *d, struct err *err)
{
    struct machine_block_job now;

    return commit_until_over(w, d, &now, err) && went_well(&now, err) && pivot(w, d, err);
}

bool merge_commit(struct core *core, struct vm *vm, struct pace *pace,
                  const struct merge_down *down, struct err *err)
{
    struct worker w = {.core = core,
                       .vm = vm,
                       .job = pace->job,
                       .pace = pace,
                       .backend = core_backend(vm->backend),
                       .kept = MERGE_LATER};
    bool ok, switched = false;

    if (job_step_reached(w.job) && !uuid_is_zero(&down->disk) &&
        (!find_out(&w, down, &switched, err) || switched))
        return switched;
    if (vm_is(core, vm, is_live, NULL))
        return uuid_is_zero(&down->disk) ? commit_frozen(&w, down, err)
                                         : commit_leaf(&w, down, err);
    w.helper = helper_start(core, vm, &down->top.id, err);
    if (!w.helper)
        return false;
    ok = commit_still(&w, down, err);
    helper_stop(core, vm, w.helper);
    return ok;
}

/* ---- */

void merge_forget(struct core *core, struct vm *vm, const struct layer *file)
{
    const struct backend *backend;
    struct err err = {0};
    struct machine *machine = vm_machine_use(core, vm, &backend, &err);

    if (!machine)
        return;
    err_ignore(backend->block_job_end(machine, &file->id, false, &err), &err);
    err = (struct err){0};
    err_ignore(backend->drop_file(machine, &file->id, &err), &err);
    vm_machine_done(core, vm);
}
