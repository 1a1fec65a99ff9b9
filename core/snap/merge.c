/* See merge.h. A copy is a job of QEMU's, named after the file it fills, so that whoever comes
 * later finds it: one that runs is watched on, one that ended is asked how. */
#include "core/snap/merge.h"

#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/blocks.h"
#include "core/disk/disks.h"
#include "core/snap/helper.h"
#include "core/vm/registry.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS     50
#define DAEMON_ENDS "the daemon ends; what is left of the copy is done at its next start"

struct merge {
    struct blocks at; /* whose machine does the work */
    struct job *job;
    struct pace *pace;
    const char *kept; /* for who cancels it */
};

/* A copy that has ended may still be in QEMU's caches: nothing may be built on it before it is on
 * the disk. */
static bool flush(struct merge *w, const struct layer *file, struct err *err)
{
    struct machine *machine;
    bool ok;

    if (!blocks_await(&w->at, file))
        return err_set(err, ERR_UNAVAILABLE, DAEMON_ENDS);
    machine = blocks_use(&w->at, err);
    if (!machine)
        return false;
    ok = FAILPOINT_AROUND("snapshot.flush",
                          w->at.backend->flush(machine, &file->id, &file->parent, err), err);
    blocks_done(&w->at);
    return ok;
}

/* Watches until QEMU's job is no longer under way. One that an earlier daemon began may have
 * another limit. */
static bool watch_until_over(struct merge *w, const struct layer *top,
                             struct machine_block_job *now, struct err *err)
{
    uint64_t limit = UINT64_MAX, next;

    for (;;) {
        if (!blocks_look(&w->at, &top->id, now, err))
            return false;
        if (now->state != BLOCK_JOB_RUNNING && now->state != BLOCK_JOB_PIVOTING)
            break;
        job_progress(w->job, now->done, now->total);
        if (atomic_load(&w->at.core->closing))
            return err_set(err, ERR_UNAVAILABLE, "the daemon ends; the copy goes on");
        if (job_cancelled(w->job) && now->state == BLOCK_JOB_RUNNING) {
            blocks_call_off(&w->at, top);
            return err_set(err, ERR_CANCELLED, "%s", w->kept);
        }
        next = pace_now(w->pace);
        if (next != limit && now->state == BLOCK_JOB_RUNNING)
            blocks_limit(&w->at, &top->id, next);
        limit = next;
        blocks_rest(&w->at, LOOK_MS);
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

static bool watch(struct merge *w, const struct layer *top, struct err *err)
{
    struct machine_block_job now;

    return watch_until_over(w, top, &now, err) && blocks_end(&w->at, &top->id, false, err) &&
           went_well(&now, err);
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

/* For a file in the middle of a chain, which QEMU has open for reading only. */
static bool open_middle(struct merge *w, const struct layer *child, int *fd, struct err *err)
{
    if (w->at.helper || is_a_leaf(w->at.core, w->at.vm, &child->id))
        return true;
    *fd = layer_open(child, O_RDWR, err);
    return *fd >= 0;
}

static bool begin(struct merge *w, const struct layer *from, const struct layer *child,
                  struct err *err)
{
    struct machine_stream stream = {
        .top = child->id, .base = from->parent, .top_fd = -1, .bytes_per_s = pace_now(w->pace)};
    CLEANUP(mem_freep) struct layer *below = NULL;
    char name[FILE_NAME_BYTES] = "";
    struct machine *machine;
    size_t n = 0;
    bool ok;

    below = chain_of_leaf(w->at.core, &from->parent, &n);
    if (n)
        layer_name(&below[0], name);
    stream.base_name = n ? name : NULL;
    if (!blocks_await(&w->at, child))
        return err_set(err, ERR_UNAVAILABLE, DAEMON_ENDS);
    if (!open_middle(w, child, &stream.top_fd, err))
        return false;
    machine = blocks_use(&w->at, err);
    if (!machine) {
        closep(&stream.top_fd);
        return false;
    }
    ok = FAILPOINT_AROUND("snapshot.stream", w->at.backend->stream(machine, &stream, err), err);
    blocks_done(&w->at);
    return ok;
}

static bool stream(struct merge *w, const struct layer *from, const struct layer *child,
                   struct err *err)
{
    struct machine_block_job now;
    struct layer filled = *child;

    filled.parent = from->parent;
    if (!blocks_look(&w->at, &child->id, &now, err))
        return false;
    if (now.state == BLOCK_JOB_NONE && !begin(w, from, child, err))
        return false;
    return watch(w, child, err) && flush(w, &filled, err);
}

static bool is_live(const struct vm *vm, void *ctx)
{
    return vm->machine != NULL;
}

bool merge_stream(struct core *core, struct vm *vm, struct pace *pace, const struct layer *from,
                  const struct layer *child, struct err *err)
{
    struct merge w = {.at = {.core = core, .vm = vm},
                      .job = pace->job,
                      .pace = pace,
                      .kept = "the snapshot is still there"};
    bool ok;

    if (vm_is(core, vm, is_live, NULL))
        return stream(&w, from, child, err);
    w.at.helper = helper_start(core, vm, &child->id, 0, err);
    if (!w.at.helper)
        return false;
    ok = stream(&w, from, child, err);
    helper_stop(core, vm, w.at.helper);
    return ok;
}

bool merge_is_begun(struct core *core, struct vm *vm, const struct layer *file)
{
    struct blocks at = {.core = core, .vm = vm};
    struct machine_block_job now;
    struct err none = {0};

    return vm_is(core, vm, is_live, NULL) && blocks_look(&at, &file->id, &now, &none) &&
           now.state != BLOCK_JOB_NONE;
}

/* ---- down ---- */

static bool begin_commit(struct merge *w, const struct merge_down *d, struct err *err)
{
    struct machine_commit commit = {.top = d->top.id,
                                    .base = d->base.id,
                                    .is_leaf = w->at.helper || !uuid_is_zero(&d->disk),
                                    .still = w->at.helper != NULL,
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
    if (!blocks_await(&w->at, &d->base))
        return err_set(err, ERR_UNAVAILABLE, DAEMON_ENDS);
    commit.base_fd = layer_open(&d->base, O_RDWR, err);
    ok = commit.base_fd >= 0;
    if (ok && !commit.is_leaf && !d->above_is_leaf) {
        commit.top_fd = layer_open(&d->above, O_RDWR, err);
        ok = commit.top_fd >= 0;
    }
    machine = ok ? blocks_use(&w->at, err) : NULL;
    if (!machine) {
        closep(&commit.base_fd);
        closep(&commit.top_fd);
        return false;
    }
    ok = FAILPOINT_AROUND("snapshot.commit", w->at.backend->commit(machine, &commit, err), err);
    blocks_done(&w->at);
    return ok;
}

/* One that is under way, of an earlier daemon's time, is gone on with. One that failed then begins
 * anew. */
static bool commit_until_over(struct merge *w, const struct merge_down *d,
                              struct machine_block_job *now, struct err *err)
{
    if (!blocks_look(&w->at, &d->top.id, now, err))
        return false;
    if (now->state == BLOCK_JOB_ENDED && now->error[0]) {
        if (!blocks_end(&w->at, &d->top.id, false, err))
            return false;
        now->state = BLOCK_JOB_NONE;
    }
    return (now->state != BLOCK_JOB_NONE || begin_commit(w, d, err)) &&
           watch_until_over(w, &d->top, now, err);
}

/* Of a file that no disk writes to. It is dismissed only once the database says so: QEMU has let go
 * of the file then, and would not know it if it were asked again. */
static bool commit_frozen(struct merge *w, const struct merge_down *d, struct err *err)
{
    struct machine_block_job now;
    struct err none = {0};

    if (!commit_until_over(w, d, &now, err))
        return false;
    if (went_well(&now, err))
        return flush(w, &d->base, err);
    err_ignore(blocks_end(&w->at, &d->top.id, false, &none), &none);
    return false;
}

/* By a QEMU that runs no guest: nothing is written while both are the same. */
static bool commit_still(struct merge *w, const struct merge_down *d, struct err *err)
{
    struct machine_block_job now;

    if (!commit_until_over(w, d, &now, err) || !went_well(&now, err))
        return false;
    blocks_call_off(&w->at, &d->top);
    return flush(w, &d->base, err);
}

/* The newest record of the VM's log says that this operation had the disk switch. */
static bool is_recorded(struct merge *w, const struct merge_down *d, bool *yes, struct err *err)
{
    CLEANUP(json_decrefp) json_t *record = NULL;
    const json_t *leaf;
    size_t i;

    *yes = false;
    if (!blocks_record(&w->at, &record, err))
        return false;
    if (!str_eq(json_get_text(record, "job"), UUID_STR(job_id(w->job))))
        return true;
    json_array_foreach (json_object_get(record, "leaves"), i, leaf)
        *yes |= str_eq(json_get_text(leaf, "disk"), UUID_STR(&d->disk)) &&
                str_eq(json_get_text(leaf, "file"), UUID_STR(&d->base.id));
    return true;
}

/* False: the machine does not say, or not yet. */
static bool machine_says(struct merge *w, const struct merge_down *d, bool *switched)
{
    struct machine_block_job now;
    struct err none = {0};

    return blocks_look(&w->at, &d->top.id, &now, &none) && now.state != BLOCK_JOB_PIVOTING &&
           blocks_is_leaf(&w->at, &d->disk, &d->base.id, switched, &none);
}

/* Nothing may be done with the VM before this is known. False: the daemon ends. */
static bool find_out(struct merge *w, const struct merge_down *d, bool *switched, struct err *err)
{
    struct err none;

    for (;;) {
        none = (struct err){0};
        if (machine_says(w, d, switched))
            return true;
        if (blocks_is_gone(&w->at)) {
            if (is_recorded(w, d, switched, &none))
                return true;
            log_error("the commit log of %s cannot be read: %s", VM_NAME(w->at.core, w->at.vm),
                      none.detail);
        }
        if (atomic_load(&w->at.core->closing))
            return err_set(err, ERR_UNAVAILABLE, "the daemon ends");
        blocks_rest(&w->at, LOOK_MS);
    }
}

static bool pivot(struct merge *w, const struct merge_down *d, struct err *err)
{
    const struct machine_new_leaf leaf = {d->disk, d->base.id, d->top.id};
    const struct machine_pivot pivot = {.job = *job_id(w->job), .leaves = &leaf, .n = 1};
    struct machine_pivoted out = {.outcome = PIVOT_UNKNOWN};
    struct machine *machine;
    bool ok, switched = false;

    if (!job_step(w->job, "pivot", err))
        return false;
    machine = blocks_use(&w->at, err);
    if (!machine)
        return false;
    ok = FAILPOINT_AROUND("snapshot.pivot", w->at.backend->pivot(machine, &pivot, &out, err), err);
    blocks_done(&w->at);
    if (ok && out.outcome == PIVOT_COMMITTED)
        return true;
    if (ok)
        err_set(err, out.outcome == PIVOT_CANCELLED ? ERR_TIMEOUT : ERR_HYPERVISOR,
                "the disk could not be switched: %.200s", out.detail);
    return find_out(w, d, &switched, err) && switched;
}

static bool commit_leaf(struct merge *w, const struct merge_down *d, struct err *err)
{
    struct machine_block_job now;

    return commit_until_over(w, d, &now, err) && went_well(&now, err) && pivot(w, d, err);
}

bool merge_commit(struct core *core, struct vm *vm, struct pace *pace,
                  const struct merge_down *down, struct err *err)
{
    struct merge w = {
        .at = {.core = core, .vm = vm}, .job = pace->job, .pace = pace, .kept = MERGE_LATER};
    bool ok;

    if (vm_is(core, vm, is_live, NULL))
        return uuid_is_zero(&down->disk) ? commit_frozen(&w, down, err)
                                         : commit_leaf(&w, down, err);
    w.at.helper = helper_start(core, vm, &down->top.id, 0, err);
    if (!w.at.helper)
        return false;
    ok = commit_still(&w, down, err);
    helper_stop(core, vm, w.at.helper);
    return ok;
}

bool merge_switched(struct core *core, struct vm *vm, struct pace *pace,
                    const struct merge_down *down, bool *switched, struct err *err)
{
    struct merge w = {.at = {.core = core, .vm = vm}, .job = pace->job, .pace = pace};

    *switched = false;
    return find_out(&w, down, switched, err);
}

/* ---- */

void merge_forget(struct core *core, struct vm *vm, const struct layer *files, size_t n)
{
    struct blocks at = {.core = core, .vm = vm};

    for (size_t i = 0; i < n; i++) {
        struct err err = {0};
        err_ignore(blocks_end(&at, &files[i].id, false, &err), &err);
        blocks_drop(&at, &files[i]);
    }
}
