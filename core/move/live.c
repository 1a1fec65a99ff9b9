/* The leaves of a running VM move (docs/storage.md, "Move storage"): see inside.h.
 *
 *   new empty leaves over the copies ─► mirrors, one a disk ─► all the same ─► step "pivot" ─►
 *   the machine's worker switches all disks at one moment (★ is its record in the commit log)
 *
 * A mirror is a job of QEMU's, named after the new leaf, so whoever comes later finds it. A pivot
 * that did not come to its record has ended the mirrors: they are begun anew. Who cannot know what
 * came out asks the machine which file a disk writes to, and the commit log once it is gone. */
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/disks.h"
#include "core/move/inside.h"
#include "core/vm/registry.h"

#include <stdlib.h>
#include <string.h>

#define LOOK_MS    50
#define PIVOTS_MAX 5 /* a storage that is slow today is so for a while */

static const struct move_file *first_leaf(const struct move *m)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->files[i].is_leaf)
            return &m->files[i];
    return NULL;
}

/* ---- one mirror ---- */

static void call_all_off(struct move *m)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->files[i].is_leaf)
            blocks_call_off(&m->at, &m->files[i].to);
    for (size_t i = m->n; i--;) /* children before their parents */
        if (!move_is_image(&m->files[i]))
            blocks_drop(&m->at, &m->files[i].to);
}

static bool call_mirror(struct move *m, const struct move_file *f, struct plan_disk *chain,
                        struct err *err)
{
    const struct machine_mirror mirror = {.disk = blocks_position(m->core, &f->disk),
                                          .chain = chain,
                                          .leaf_only = !uuid_is_zero(&f->from.parent),
                                          .bytes_per_s = pace_now(&m->pace)};
    struct machine *machine = blocks_use(&m->at, err);
    const struct backend *backend = m->at.backend;
    bool ok;

    if (!machine)
        return false;
    ok = backend->mirror
             ? FAILPOINT_AROUND("move.mirror", backend->mirror(machine, &mirror, err), err)
             : err_set(err, ERR_UNSUPPORTED, "this kind of VM cannot move while it runs");
    blocks_done(&m->at);
    return ok;
}

static bool begin_mirror(struct move *m, const struct move_file *f, struct err *err)
{
    struct plan_disk *chain;
    bool ok;

    if (!FAILPOINT("move.leaf", err) || !layer_make(m->core, &f->to, err))
        return false;
    chain = mem_alloc(sizeof *chain);
    ok = disk_open_chain(m->core, &f->to.id, chain, err);
    if (ok) {
        ok = call_mirror(m, f, chain, err);
        chain->n_fds = 0; /* taken, whatever came out */
    }
    disks_close(chain, 1);
    return ok;
}

static bool begin_all(struct move *m, struct err *err)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->files[i].is_leaf && !begin_mirror(m, &m->files[i], err))
            return false;
    return true;
}

/* ---- all of them, until they are the same ---- */

static void set_limit(struct move *m, uint64_t bytes_per_s)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->files[i].is_leaf)
            blocks_limit(&m->at, &m->files[i].to.id, bytes_per_s);
}

static void resume(struct move *m, const struct move_file *f)
{
    struct err err = {0};
    uint64_t total, free_bytes;

    if (!fs_space(f->to.dir, &total, &free_bytes, &err) || free_bytes < total / 100)
        return;
    log_info("the pool %s has room again: the move goes on", m->pool_name);
    blocks_resume(&m->at, &f->to.id);
}

struct crowd {
    unsigned running, ready, missing, pivoting;
    uint64_t done, total;
    char error[256];
};

/* How all mirrors stand. */
static bool look_at_all(struct move *m, struct crowd *c, struct err *err)
{
    struct machine_block_job now;

    *c = (struct crowd){0};
    for (size_t i = 0; i < m->n; i++) {
        if (!m->files[i].is_leaf)
            continue;
        if (!blocks_look(&m->at, &m->files[i].to.id, &now, err))
            return false;
        c->running += now.state == BLOCK_JOB_RUNNING;
        c->ready += now.state == BLOCK_JOB_READY;
        c->pivoting += now.state == BLOCK_JOB_PIVOTING;
        c->missing += now.state == BLOCK_JOB_NONE || now.state == BLOCK_JOB_ENDED;
        c->done += now.done;
        c->total += now.total;
        if (now.state == BLOCK_JOB_ENDED)
            str_copy(c->error, sizeof c->error, now.error[0] ? now.error : "it ended early");
        if (now.state == BLOCK_JOB_RUNNING && now.no_space)
            resume(m, &m->files[i]);
    }
    return true;
}

static bool answers(struct move *m)
{
    struct machine_block_job now;
    struct err none = {0};

    return blocks_look(&m->at, &first_leaf(m)->to.id, &now, &none);
}

/* The machine did not answer: waits until it is gone, or answers again. */
static enum move_end why_silent(struct move *m, struct err *err)
{
    *err = (struct err){0};
    for (;;) {
        if (atomic_load(&m->core->closing)) {
            err_set(err, ERR_UNAVAILABLE, "the daemon ends; the move goes on");
            return MOVE_NOT_KNOWN;
        }
        if (job_cancelled(m->job)) {
            err_set(err, ERR_CANCELLED, "nothing was moved");
            return MOVE_FAILED;
        }
        if (blocks_is_gone(&m->at))
            return MOVE_VM_IS_OFF;
        if (answers(m))
            return MOVE_SILENT;
        blocks_rest(&m->at, LOOK_MS);
    }
}

enum watched { WATCH_READY, WATCH_FAILED, WATCH_SILENT };

static enum watched watch(struct move *m, struct err *err)
{
    uint64_t limit = pace_now(&m->pace), next;
    struct crowd c;

    set_limit(m, limit); /* a mirror that was there already may have another */
    for (;;) {
        if (atomic_load(&m->core->closing) || !look_at_all(m, &c, err))
            return WATCH_SILENT;
        if (c.missing) {
            err_set(err, strstr(c.error, "No space") ? ERR_NO_SPACE : ERR_HYPERVISOR,
                    "QEMU could not copy: %.200s", c.error[0] ? c.error : "the copy is gone");
            return WATCH_FAILED;
        }
        job_progress(m->job, m->done + c.done, m->done + c.total);
        if (!c.running && !c.pivoting)
            return WATCH_READY;
        if (job_cancelled(m->job)) {
            err_set(err, ERR_CANCELLED, "nothing was moved");
            return WATCH_FAILED;
        }
        next = pace_now(&m->pace);
        if (next != limit)
            set_limit(m, next);
        limit = next;
        blocks_rest(&m->at, LOOK_MS);
    }
}

/* ---- what came out ---- */

/* The newest record of the VM's log is this operation's. */
static bool is_recorded(struct move *m, bool *yes, struct err *err)
{
    CLEANUP(json_decrefp) json_t *record = NULL;

    *yes = false;
    if (!blocks_record(&m->at, &record, err))
        return false;
    *yes = record && str_eq(json_get_text(record, "job"), UUID_STR(job_id(m->job))) &&
           !json_get_bool(record, "undone", false);
    return true;
}

/* False: nobody answered. */
static bool ask_machine(struct move *m, const struct move_file *leaf, bool *over, bool *pivoted)
{
    struct machine_block_job now;
    struct err none = {0};

    if (!blocks_look(&m->at, &leaf->to.id, &now, &none))
        return false;
    *over = now.state != BLOCK_JOB_PIVOTING;
    return blocks_is_leaf(&m->at, &leaf->disk, &leaf->to.id, pivoted, &none);
}

enum move_end move_find_out(struct move *m, struct err *err)
{
    const struct move_file *leaf = first_leaf(m);
    bool over = false, pivoted = false;

    for (;;) {
        if (ask_machine(m, leaf, &over, &pivoted) && over) {
            m->pivoted = pivoted;
            return pivoted ? MOVE_PIVOTED : MOVE_FAILED;
        }
        if (blocks_await_gone(&m->at, LOOK_MS))
            break;
        if (atomic_load(&m->core->closing)) {
            err_set(err, ERR_UNAVAILABLE, "the daemon ends");
            return MOVE_NOT_KNOWN;
        }
    }
    while (!is_recorded(m, &pivoted, err)) { /* nothing may be done before that is known */
        log_error("the commit log of %s cannot be read: %s", VM_NAME(m->core, m->vm), err->detail);
        blocks_rest(&m->at, LOOK_MS);
        if (atomic_load(&m->core->closing))
            return MOVE_NOT_KNOWN;
        *err = (struct err){0};
    }
    m->pivoted = pivoted;
    return pivoted ? MOVE_PIVOTED : MOVE_VM_IS_OFF;
}

/* ---- the pivot ---- */

static bool call_pivot(struct move *m, struct machine_pivoted *out, struct err *err)
{
    CLEANUP(mem_freep) struct machine_new_leaf *leaves = mem_array(m->n, sizeof *leaves);
    struct machine_pivot pivot = {.job = *job_id(m->job), .leaves = leaves};
    struct machine *machine;
    bool ok;

    for (size_t i = 0; i < m->n; i++)
        if (m->files[i].is_leaf)
            leaves[pivot.n++] =
                (struct machine_new_leaf){m->files[i].disk, m->files[i].to.id, m->files[i].to.id};
    machine = blocks_use(&m->at, err);
    if (!machine)
        return false;
    ok = FAILPOINT_AROUND("move.pivot", m->at.backend->pivot(machine, &pivot, out, err), err);
    blocks_done(&m->at);
    return ok;
}

static enum move_end pivot(struct move *m, struct err *err)
{
    struct machine_pivoted out = {.outcome = PIVOT_UNKNOWN};
    enum move_end end;

    if (!job_step(m->job, "pivot", err))
        return MOVE_FAILED;
    if (call_pivot(m, &out, err) && out.outcome == PIVOT_COMMITTED) {
        m->pause_us = out.pause_us;
        m->pivoted = true;
        return MOVE_PIVOTED;
    }
    if (!err->code)
        err_set(err, out.outcome == PIVOT_CANCELLED ? ERR_TIMEOUT : ERR_HYPERVISOR,
                "the disks could not be switched: %.200s", out.detail);
    end = move_find_out(m, &(struct err){0});
    if (end == MOVE_PIVOTED)
        *err = (struct err){0};
    return end;
}

/* Mirrors that are there already are gone on with. */
static bool all_are_there(struct move *m)
{
    struct err none = {0};
    struct crowd c;

    return look_at_all(m, &c, &none) && !c.missing && c.ready + c.running + c.pivoting > 0;
}

static enum move_end attempt(struct move *m, struct err *err)
{
    enum watched watched = WATCH_FAILED;
    enum move_end end;

    if (!all_are_there(m)) {
        call_all_off(m);
        if (begin_all(m, err))
            watched = watch(m, err);
        else if (!answers(m))
            watched = WATCH_SILENT;
    } else {
        watched = watch(m, err);
    }
    end = watched == WATCH_READY    ? pivot(m, err)
          : watched == WATCH_SILENT ? why_silent(m, err)
                                    : MOVE_FAILED;
    if (end == MOVE_FAILED)
        call_all_off(m);
    return end;
}

enum move_end move_live(struct move *m, struct err *err)
{
    enum move_end end = MOVE_PIVOTED;

    if (!first_leaf(m))
        return end;
    for (unsigned i = 0; i < PIVOTS_MAX; i++) {
        *err = (struct err){0};
        end = attempt(m, err);
        if (end == MOVE_SILENT || (end == MOVE_FAILED && err->code == ERR_TIMEOUT))
            log_warn("%s: %s", VM_NAME(m->core, m->vm),
                     err->code ? err->detail : "QEMU was not to be reached for a while");
        else
            break;
    }
    if (end != MOVE_SILENT)
        return end;
    err_set(err, ERR_UNAVAILABLE, "QEMU does not answer");
    return MOVE_FAILED;
}

void move_forget(struct move *m)
{
    for (size_t i = m->n; i--;)
        if (!move_is_image(&m->files[i]))
            blocks_drop(&m->at, &m->files[i].from);
}
