/* The leaves of a running VM move (docs/storage.md, "Move storage"): see inside.h.
 *
 *   new empty leaves over the copies ─► mirrors, one a disk ─► all the same ─► step "pivot" ─►
 *   the machine's worker switches all disks at one moment (★ is its record in the commit log)
 *
 * A mirror is a job of QEMU's, named after the new leaf, so whoever comes later finds it. A pivot
 * that did not come to its record has ended the mirrors: they are begun anew. Who cannot know what
 * came out asks the machine which file a disk writes to, and the commit log once it is gone. */
#include "core/base/clock.h"
#include "core/base/commitlog.h"
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/disks.h"
#include "core/move/inside.h"
#include "core/vm/registry.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_MS    50
#define CANCEL_MS  30000
#define PIVOTS_MAX 5 /* a storage that is slow today is so for a while */

static bool never(const struct vm *vm, void *ctx)
{
    return false;
}

static bool is_gone(const struct vm *vm, void *ctx)
{
    return !vm->machine && !vm->ending && !vm_run_is_live(vm->run);
}

static void rest(struct move *m)
{
    (void)vm_wait(m->core, m->vm, never, NULL, clock_mono_ms() + LOOK_MS);
}

static unsigned position_of(struct move *m, const struct uuid *id)
{
    struct disk *disk;
    unsigned position;

    lock_take(&m->core->registry.lock);
    disk = disk_find(m->core, id);
    position = disk ? disk->position : 0;
    lock_drop(&m->core->registry.lock);
    return position;
}

static const struct move_file *first_leaf(const struct move *m)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->files[i].is_leaf)
            return &m->files[i];
    return NULL;
}

/* ---- one mirror ---- */

static bool look(struct move *m, const struct uuid *name, struct machine_block_job *out,
                 struct err *err)
{
    const struct backend *backend;
    struct machine *machine = vm_machine_use(m->core, m->vm, &backend, err);
    bool ok;

    if (!machine)
        return false;
    ok = backend->block_job(machine, name, out, err);
    vm_machine_done(m->core, m->vm);
    return ok;
}

static void end_job(struct move *m, const struct uuid *name, bool cancel)
{
    const struct backend *backend;
    struct err err = {0};
    struct machine *machine = vm_machine_use(m->core, m->vm, &backend, &err);

    if (!machine)
        return;
    err_ignore(backend->block_job_end(machine, name, cancel, &err), &err);
    vm_machine_done(m->core, m->vm);
}

static void drop_file(struct move *m, const struct uuid *file)
{
    const struct backend *backend;
    struct err err = {0};
    struct machine *machine = vm_machine_use(m->core, m->vm, &backend, &err);

    if (!machine)
        return;
    err_ignore(backend->drop_file(machine, file, &err), &err);
    vm_machine_done(m->core, m->vm);
}

/* Has the mirror end, and waits for that; the machine lets go of the copies. */
static void call_off(struct move *m, const struct move_file *f)
{
    const int64_t deadline_ms = clock_mono_ms() + CANCEL_MS;
    struct machine_block_job now = {0};
    struct err err = {0};
    bool asked = false;

    while (clock_left_ms(deadline_ms) && look(m, &f->to.id, &now, &err) &&
           now.state != BLOCK_JOB_NONE && now.state != BLOCK_JOB_ENDED) {
        if (!asked && now.state != BLOCK_JOB_PIVOTING) {
            end_job(m, &f->to.id, true);
            asked = true;
        }
        rest(m);
    }
    if (now.state == BLOCK_JOB_ENDED)
        end_job(m, &f->to.id, false);
}

static void call_all_off(struct move *m)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->files[i].is_leaf)
            call_off(m, &m->files[i]);
    for (size_t i = m->n; i--;) /* children before their parents */
        if (!move_is_image(&m->files[i]))
            drop_file(m, &m->files[i].to.id);
}

static bool call_mirror(struct move *m, const struct move_file *f, struct plan_disk *chain,
                        struct err *err)
{
    const struct machine_mirror mirror = {.disk = position_of(m, &f->disk),
                                          .chain = chain,
                                          .leaf_only = !uuid_is_zero(&f->from.parent),
                                          .bytes_per_s = pace_now(&m->pace)};
    const struct backend *backend;
    struct machine *machine = vm_machine_use(m->core, m->vm, &backend, err);
    bool ok;

    if (!machine)
        return false;
    ok = backend->mirror
             ? FAILPOINT_AROUND("move.mirror", backend->mirror(machine, &mirror, err), err)
             : err_set(err, ERR_UNSUPPORTED, "this kind of VM cannot move while it runs");
    vm_machine_done(m->core, m->vm);
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
    const struct backend *backend;
    struct err err = {0};
    struct machine *machine;

    for (size_t i = 0; i < m->n; i++) {
        if (!m->files[i].is_leaf)
            continue;
        machine = vm_machine_use(m->core, m->vm, &backend, &err);
        if (!machine)
            return;
        err_ignore(backend->block_job_limit(machine, &m->files[i].to.id, bytes_per_s, &err), &err);
        vm_machine_done(m->core, m->vm);
    }
}

static void resume(struct move *m, const struct move_file *f)
{
    const struct backend *backend;
    struct err err = {0};
    uint64_t total, free_bytes;
    struct machine *machine;

    if (!fs_space(f->to.dir, &total, &free_bytes, &err) || free_bytes < total / 100)
        return;
    machine = vm_machine_use(m->core, m->vm, &backend, &err);
    if (!machine)
        return;
    log_info("the pool %s has room again: the move goes on", m->pool_name);
    err_ignore(backend->block_job_resume(machine, &f->to.id, &err), &err);
    vm_machine_done(m->core, m->vm);
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
        if (!look(m, &m->files[i].to.id, &now, err))
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

    return look(m, &first_leaf(m)->to.id, &now, &none);
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
        if (vm_is(m->core, m->vm, is_gone, NULL))
            return MOVE_VM_IS_OFF;
        if (answers(m))
            return MOVE_SILENT;
        rest(m);
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
        rest(m);
    }
}

/* ---- what came out ---- */

/* The newest record of the VM's log is this operation's. */
static bool is_recorded(struct move *m, bool *yes, struct err *err)
{
    CLEANUP(closep) int dir = vm_dir_open(m->core, m->vm, true, err);
    CLEANUP(closep) int log = -1;
    CLEANUP(json_decrefp) json_t *record = NULL;
    uint64_t sequence;

    *yes = false;
    if (dir < 0)
        return false;
    log = commitlog_open(dir, err);
    if (log < 0 || !commitlog_last(log, &sequence, &record, err))
        return false;
    *yes = record && str_eq(json_get_text(record, "job"), UUID_STR(job_id(m->job))) &&
           !json_get_bool(record, "undone", false);
    return true;
}

/* False: nobody answered. */
static bool ask_machine(struct move *m, const struct move_file *leaf, bool *over, bool *pivoted)
{
    const struct backend *backend;
    struct machine_block_job now;
    struct err none = {0};
    struct machine *machine = vm_machine_use(m->core, m->vm, &backend, &none);
    bool ok;

    if (!machine)
        return false;
    ok = backend->block_job(machine, &leaf->to.id, &now, &none);
    *over = ok && now.state != BLOCK_JOB_PIVOTING;
    ok = ok && backend->is_leaf(machine, position_of(m, &leaf->disk), &leaf->to.id, pivoted, &none);
    vm_machine_done(m->core, m->vm);
    return ok;
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
        if (vm_wait(m->core, m->vm, is_gone, NULL, clock_mono_ms() + LOOK_MS))
            break;
        if (atomic_load(&m->core->closing)) {
            err_set(err, ERR_UNAVAILABLE, "the daemon ends");
            return MOVE_NOT_KNOWN;
        }
    }
    while (!is_recorded(m, &pivoted, err)) { /* nothing may be done before that is known */
        log_error("the commit log of %s cannot be read: %s", VM_NAME(m->core, m->vm), err->detail);
        rest(m);
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
    const struct backend *backend;
    struct machine *machine;
    bool ok;

    for (size_t i = 0; i < m->n; i++)
        if (m->files[i].is_leaf)
            leaves[pivot.n++] =
                (struct machine_new_leaf){m->files[i].disk, m->files[i].to.id, m->files[i].to.id};
    machine = vm_machine_use(m->core, m->vm, &backend, err);
    if (!machine)
        return false;
    ok = FAILPOINT_AROUND("move.pivot", backend->pivot(machine, &pivot, out, err), err);
    vm_machine_done(m->core, m->vm);
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

/* Returns once the target's storage writes again. A QEMU that closes an image waits for it, and its
 * guest stands still meanwhile: better this thread waits. */
static void await_target(struct move *m)
{
    struct err none = {0};
    CLEANUP(closep) int fd = layer_open(&first_leaf(m)->to, O_RDONLY, &none);

    if (fd >= 0 && futimens(fd, NULL) == 0)
        (void)fsync(fd);
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
    if (end == MOVE_FAILED) {
        await_target(m);
        call_all_off(m);
    }
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
            drop_file(m, &m->files[i].from.id);
}
