/* Moving storage: the request and the operation. See move.h and, for the steps, docs/storage.md.
 *
 *   1 at the request: job, rows of the copies 'creating'                       one transaction
 *   2 step "copy": files that nobody writes to are copied and compared
 *   3 step "mirror": leaves of a running VM are mirrored, of one that is off copied
 *   4 step "pivot" * the worker's record: a running VM's disks go on in the copies
 *   5 * rows of files, disks, snapshots, configuration; old files to the trash   one transaction
 *   6 the old files are removed
 *
 * For a VM that is off the commit point is 5. After it is passed there is only forward. */
#include "core/move/move.h"

#include "core/base/failpoint.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/copy.h"
#include "core/disk/disks.h"
#include "core/disk/lent.h"
#include "core/disk/space.h"
#include "core/move/inside.h"
#include "core/snap/tree.h"
#include "core/vm/kinds.h"
#include "core/vm/registry.h"
#include "core/vm/save.h"

#include <stdlib.h>
#include <string.h>

#define AGAIN_MS 1000

/* ---- the request ---- */

struct rows {
    const struct move *move;
    const struct uuid *job;
};

static bool write_rows(struct store_txn *txn, void *ctx, struct err *err)
{
    const struct rows *rows = ctx;

    return move_write_copies(txn, rows->move, rows->job, err) && FAILPOINT("move.rows", err);
}

static bool submit(struct move *m, const struct move_request *request, const struct origin *origin,
                   struct uuid *op, struct err *err)
{
    CLEANUP(json_decrefp) json_t *args = move_args(m, request);
    struct rows rows = {m, op};

    return vm_submit(m->core, m->vm, VM_VERB_MOVE_STORAGE, args, origin, op, write_rows, &rows,
                     err);
}

bool vm_move_storage(struct core *core, const char *ref, const struct move_request *request,
                     const struct origin *origin, struct uuid *op, json_t **plan, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get(core, ref, err)};
    CLEANUP(move_clear) struct move m = {.core = core, .vm = hold.vm};
    CLEANUP(json_decrefp) json_t *blockers = NULL;
    struct err first = {0};
    bool ok = false;

    *op = (struct uuid){0};
    if (!hold.vm)
        return false;
    lock_take(&hold.vm->writing);
    if (move_plan(&m, request, err)) {
        blockers = move_blockers(&m, request, &first);
        ok = origin->dry_run || !first.code;
        if (origin->dry_run)
            *plan = move_plan_json(&m, request, json_incref(blockers));
        else if (first.code)
            *err = first;
        else
            ok = FAILPOINT("move.planned", err) && submit(&m, request, origin, op, err);
    }
    lock_drop(&hold.vm->writing);
    return ok;
}

/* ---- the operation ---- */

static bool tell(void *ctx, uint64_t bytes, struct err *err)
{
    struct move *m = ctx;

    m->done += bytes;
    job_progress(m->job, m->done, m->total);
    return pace_wait(&m->pace, bytes, err);
}

/* A copied file lies on a copy: its header says what that is called. */
static bool rename_parent(struct move *m, const struct move_file *f, struct err *err)
{
    for (size_t i = 0; i < m->n; i++)
        if (uuid_eq(&m->files[i].from.id, &f->from.parent))
            return layer_rename_parent(&f->to, &m->files[i].from, &m->files[i].to, err);
    return true;
}

static bool copy(struct move *m, const struct move_file *f, struct err *err)
{
    if (!FAILPOINT("move.copy", err))
        return false;
    return f->from.format == f->to.format
               ? layer_copy(&f->from, &f->to, tell, m, err) && rename_parent(m, f, err)
               : move_convert(m, f, err);
}

static bool copy_all(struct move *m, bool leaves, struct err *err)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->files[i].is_leaf == leaves && !copy(m, &m->files[i], err))
            return false;
    return true;
}

static bool is_saved(const struct vm *vm, void *ctx)
{
    return vm->run == VM_SAVED;
}

/* Copies are read and compared: each byte is told of twice, those of mirrors once. */
static void count(struct move *m)
{
    const bool off = blocks_is_gone(&m->at);

    m->done = m->total = 0;
    for (size_t i = 0; i < m->n; i++)
        m->total += m->files[i].bytes * (m->files[i].is_leaf && !off ? 1 : 2);
}

static enum move_end move_leaves(struct move *m, struct err *err)
{
    enum move_end end = MOVE_VM_IS_OFF;

    if (!FAILPOINT("move.step", err) || !job_step(m->job, "mirror", err))
        return MOVE_FAILED;
    if (!blocks_is_gone(&m->at))
        end = move_live(m, err);
    if (end != MOVE_VM_IS_OFF)
        return end;
    *err = (struct err){0};
    return job_cancelled(m->job) ? (err_set(err, ERR_CANCELLED, "nothing was moved"), MOVE_FAILED)
           : copy_all(m, true, err) ? MOVE_PIVOTED
                                    : MOVE_FAILED;
}

/* The VM was nobody's until the operation had it: what a clone was made of since the plan stays
 * where it is, and so does what that lies on. */
static bool none_is_lent(struct move *m, struct err *err)
{
    bool lent = false;

    lock_take(&m->core->registry.lock);
    for (size_t i = 0; i < m->n; i++) {
        const struct file *file = file_find(m->core, &m->files[i].from.id);
        lent |= file && !move_is_image(&m->files[i]) && file_is_lent(m->core, file);
    }
    lock_drop(&m->core->registry.lock);
    return !lent || err_set(err, ERR_BUSY, "a clone was made of it meanwhile: try again");
}

/* From a step that an earlier daemon reached. */
static enum move_end move_files(struct move *m, struct err *err)
{
    const char *step = job_step_reached(m->job);
    enum move_end end = MOVE_FAILED;

    if (job_is_undone(m->job, err))
        return MOVE_FAILED;
    if (str_eq(step, "pivot")) {
        end = move_find_out(m, err);
        if (end == MOVE_PIVOTED || end == MOVE_NOT_KNOWN)
            return end;
    }
    pace_begin(&m->pace, m->core, m->vm, m->job);
    count(m);
    if (!step && (!none_is_lent(m, err) || !job_step(m->job, "copy", err)))
        return MOVE_FAILED;
    if ((!step || str_eq(step, "copy")) && !copy_all(m, false, err))
        return MOVE_FAILED;
    return move_leaves(m, err);
}

/* The disks are in the copies: that is tried until it is written, or another daemon does. */
static bool commit_surely(struct move *m, struct err *err)
{
    while (!move_commit(m, err)) {
        if (!m->pivoted || atomic_load(&m->core->closing) || store_is_poisoned(m->core->store))
            return false;
        log_error("the move is not recorded yet: %s", err->detail);
        blocks_rest(&m->at, AGAIN_MS);
        *err = (struct err){0};
    }
    return true;
}

static void set_result(struct move *m)
{
    json_t *result = json_object();
    uint64_t bytes = 0;

    for (size_t i = 0; i < m->n; i++)
        bytes += m->files[i].bytes;
    json_put_text(result, "pool", UUID_STR(&m->pool));
    json_put_u64(result, "files", m->n);
    json_put_u64(result, "bytes", bytes);
    json_put_u64(result, "pause_us", m->pause_us);
    job_set_result(m->job, result);
}

/* Entered again it has a part of its files already, which count as well: that must not end it. */
static bool reserve(struct move *m, struct err *err)
{
    struct err ignored = {0};
    uint64_t bytes = 0;

    for (size_t i = 0; i < m->n; i++)
        bytes += m->files[i].bytes;
    if (!job_step_reached(m->job))
        return space_reserve(m->core, &m->pool, job_id(m->job), bytes, "/pool", err);
    err_ignore(space_reserve(m->core, &m->pool, job_id(m->job), bytes, "/pool", &ignored),
               &ignored);
    return true;
}

static bool run(struct core *core, struct job *job, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), err)};
    CLEANUP(move_clear)
    struct move m = {.core = core, .vm = hold.vm, .job = job, .at = {.core = core, .vm = hold.vm}};
    bool over;

    if (!hold.vm || !move_of_job(&m, &over, err))
        return false;
    if (vm_is(core, hold.vm, is_saved, NULL) && !save_end_machine(core, hold.vm, err))
        return false;
    if (!over &&
        (!reserve(&m, err) || move_files(&m, err) != MOVE_PIVOTED || !commit_surely(&m, err)))
        return false;
    set_result(&m);
    move_forget(&m);
    if (m.keep_source)
        return move_keep_sources(&m, err);
    files_settle_vm(core, &hold.vm->id);
    return true;
}

static void settle(struct core *core, struct job *job, bool ok)
{
    struct err err = {0};
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), &err)};
    CLEANUP(move_clear) struct move m = {.core = core, .vm = hold.vm, .job = job};
    bool over = false;

    if (!hold.vm)
        return;
    if (!ok && move_of_job(&m, &over, &err) && !over && job_undo(job))
        move_drop_copies(&m);
    space_release(core, job_id(job));
    vm_unclaim(core, hold.vm, job_id(job));
}

const struct job_kind vm_move_storage_kind = {.name = "vm.move-storage",
                                              .lane = JOB_LANE_COPY,
                                              .cancellable = true,
                                              .limitable = true,
                                              .shares = true,
                                              .run = run,
                                              .settle = settle,
                                              .adopt = vm_adopt};
