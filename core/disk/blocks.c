/* See blocks.h. */
#include "core/disk/blocks.h"

#include "core/base/clock.h"
#include "core/base/commitlog.h"
#include "core/base/fs.h"
#include "core/disk/answer.h"
#include "core/disk/disks.h"
#include "core/vm/registry.h"

#define LOOK_MS     50
#define CANCEL_MS   30000
#define ANSWERED_MS 1000 /* for so long it is believed to answer still */

struct machine *blocks_use(struct blocks *b, struct err *err)
{
    if (!b->helper)
        return vm_machine_use(b->core, b->vm, &b->backend, err);
    b->backend = core_backend(b->vm->backend);
    return b->helper;
}

void blocks_done(struct blocks *b)
{
    if (!b->helper)
        vm_machine_done(b->core, b->vm);
}

/* ---- a block job ---- */

bool blocks_look(struct blocks *b, const struct uuid *name, struct machine_block_job *out,
                 struct err *err)
{
    struct machine *machine = blocks_use(b, err);
    bool ok;

    if (!machine)
        return false;
    ok = b->backend->block_job(machine, name, out, err);
    blocks_done(b);
    return ok;
}

bool blocks_end(struct blocks *b, const struct uuid *name, bool cancel, struct err *err)
{
    struct machine *machine = blocks_use(b, err);
    bool ok;

    if (!machine)
        return false;
    ok = b->backend->block_job_end(machine, name, cancel, err);
    blocks_done(b);
    return ok;
}

void blocks_limit(struct blocks *b, const struct uuid *name, uint64_t bytes_per_s)
{
    struct err err = {0};
    struct machine *machine = blocks_use(b, &err);

    if (!machine)
        return;
    err_ignore(b->backend->block_job_limit(machine, name, bytes_per_s, &err), &err);
    blocks_done(b);
}

void blocks_resume(struct blocks *b, const struct uuid *name)
{
    struct err err = {0};
    struct machine *machine = blocks_use(b, &err);

    if (!machine)
        return;
    err_ignore(b->backend->block_job_resume(machine, name, &err), &err);
    blocks_done(b);
}

static bool is_under_way(const struct machine_block_job *now)
{
    return now->state != BLOCK_JOB_NONE && now->state != BLOCK_JOB_ENDED;
}

/* One that the worker has in hand, for a pivot, is left alone until that is over. */
static void cancel(struct blocks *b, const struct layer *target, struct machine_block_job *now)
{
    const int64_t deadline_ms = clock_mono_ms() + CANCEL_MS;
    struct err err = {0};
    bool asked = false;

    while (is_under_way(now) && clock_left_ms(deadline_ms)) {
        if (!asked && now->state != BLOCK_JOB_PIVOTING)
            asked = blocks_end(b, &target->id, true, &err);
        blocks_rest(b, LOOK_MS);
        if (!blocks_look(b, &target->id, now, &err))
            return;
    }
}

void blocks_call_off(struct blocks *b, const struct layer *target)
{
    struct machine_block_job now;
    struct err err = {0};

    if (!blocks_look(b, &target->id, &now, &err) ||
        (is_under_way(&now) && !blocks_await(b, target)))
        return;
    cancel(b, target, &now);
    if (now.state == BLOCK_JOB_ENDED)
        err_ignore(blocks_end(b, &target->id, false, &err), &err);
}

/* ---- files ---- */

bool blocks_await(struct blocks *b, const struct layer *file)
{
    bool did;

    if (b->helper) /* it has no guest to keep from running */
        return true;
    if (!answer_await(b->core, file, &did))
        return false;
    if (did) {
        b->answered = file->pool;
        b->answered_ms = clock_mono_ms();
    }
    return true;
}

static bool has_machine(const struct vm *vm, void *ctx)
{
    return vm->machine != NULL;
}

/* Files are dropped many at a time. */
static bool has_just_answered(const struct blocks *b, const struct layer *file)
{
    return uuid_eq(&b->answered, &file->pool) && clock_mono_ms() - b->answered_ms < ANSWERED_MS;
}

void blocks_drop(struct blocks *b, const struct layer *file)
{
    struct err err = {0};
    struct machine *machine;

    if (!vm_is(b->core, b->vm, has_machine, NULL) ||
        (!has_just_answered(b, file) && !blocks_await(b, file)))
        return;
    machine = blocks_use(b, &err);
    if (!machine)
        return;
    err_ignore(b->backend->drop_file(machine, &file->id, &err), &err);
    blocks_done(b);
}

bool blocks_is_leaf(struct blocks *b, const struct uuid *disk, const struct uuid *file, bool *yes,
                    struct err *err)
{
    struct machine *machine = blocks_use(b, err);
    bool ok;

    if (!machine)
        return false;
    ok = b->backend->is_leaf(machine, blocks_position(b->core, disk), file, yes, err);
    blocks_done(b);
    return ok;
}

/* ---- waiting ---- */

static bool never(const struct vm *vm, void *ctx)
{
    return false;
}

void blocks_rest(struct blocks *b, int64_t ms)
{
    (void)vm_wait(b->core, b->vm, never, NULL, clock_mono_ms() + ms);
}

static bool is_gone(const struct vm *vm, void *ctx)
{
    return !vm->machine && !vm->ending && !vm_run_is_live(vm->run);
}

bool blocks_is_gone(struct blocks *b)
{
    return vm_is(b->core, b->vm, is_gone, NULL);
}

bool blocks_await_gone(struct blocks *b, int64_t ms)
{
    return vm_wait(b->core, b->vm, is_gone, NULL, clock_mono_ms() + ms);
}

/* ---- */

unsigned blocks_position(struct core *core, const struct uuid *id)
{
    struct disk *disk;
    unsigned position;

    lock_take(&core->registry.lock);
    disk = disk_find(core, id);
    position = disk ? disk->position : 0;
    lock_drop(&core->registry.lock);
    return position;
}

bool blocks_record(struct blocks *b, json_t **record, struct err *err)
{
    CLEANUP(closep) int dir = vm_dir_open(b->core, b->vm, true, err);
    CLEANUP(closep) int log = dir < 0 ? -1 : commitlog_open(dir, err);
    uint64_t sequence;

    *record = NULL;
    return log >= 0 && commitlog_last(log, &sequence, record, err);
}
