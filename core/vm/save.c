/* Saving a VM (docs/memory.md, "Save"; docs/durability.md, S-SAVE):
 *
 *   1 job, row of the image 'creating'                                  at the request
 *   2 space put by, file made
 *   3 step 'save': the machine stops its guest and writes the image     backend->memory_save
 *   4 the file's name is durable; the machine has flushed what is in it
 *   5 * state 'saved', the VM refers to the image, which is 'live'      one transaction
 *   6 QEMU ends
 *
 * Before 5 the guest goes on, if it ran, and the file goes. After it only forward: whoever finds
 * QEMU still there ends it. Entered again after a restart it asks the machine how far it is. */
#include "core/vm/save.h"

#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/space.h"
#include "core/ram/image.h"
#include "core/vm/kinds.h"
#include "core/vm/registry.h"

#include <stdlib.h>

#define STEP      "save"
#define LOOK_MS   50
#define CANCEL_MS 60000
#define GONE_MS   60000

/* ---- the request ---- */

static bool nothing_prevents_it(struct core *core, struct vm *vm, struct err *err)
{
    struct machine_memory_ways ways = {0};
    const struct backend *backend;
    struct machine *machine = vm_machine_use(core, vm, &backend, err);
    bool ok = false;

    if (!machine)
        return false;
    if (backend->memory_look)
        ok = backend->memory_look(machine, &ways, err);
    else
        err_set(err, ERR_UNSUPPORTED, "its backend cannot save a guest's memory");
    vm_machine_done(core, vm);
    return ok && (!ways.blocker[0] || err_set(err, ERR_WRONG_STATE, "%s cannot be saved: %s",
                                              VM_NAME(core, vm), ways.blocker));
}

bool save_plan(struct core *core, struct vm *vm, struct save_plan *out, struct err *err)
{
    if (!nothing_prevents_it(core, vm, err) || !ram_image_plan(core, vm, &out->image, err))
        return false;
    out->args = json_object();
    json_put(out->args, "image", ram_image_args(&out->image));
    return true;
}

void save_plan_clear(struct save_plan *plan)
{
    json_decrefp(&plan->args);
}

bool save_plan_rows(struct store_txn *txn, void *ctx, struct err *err)
{
    const struct save_plan *plan = ctx;

    return FAILPOINT("vm.save.rows", err) && ram_image_rows(txn, &plan->image, plan->job, err);
}

bool vm_save(struct core *core, struct vm *vm, bool by_host, const struct origin *origin,
             struct uuid *op, struct err *err)
{
    CLEANUP(save_plan_clear) struct save_plan plan = {.job = op};
    const struct uuid only_looks = {0};

    *op = (struct uuid){0};
    if (!vm_claim(core, vm, VM_VERB_SAVE, &only_looks, vm_save_kind.name, err) ||
        !save_plan(core, vm, &plan, err))
        return false;
    json_put(plan.args, "by_host", json_boolean(by_host));
    return vm_submit(core, vm, VM_VERB_SAVE, plan.args, origin, op, save_plan_rows, &plan, err);
}

/* ---- the operation ---- */

struct saving {
    struct core *core;
    struct job *job;
    struct vm *vm;
    struct layer image;
    struct machine_memory_state now;
    int64_t began_ms;
};

static bool begin(struct saving *s, struct err *err)
{
    return s->vm &&
           ram_image_of_job(s->core, &s->vm->id, job_id(s->job), job_args(s->job), &s->image, err);
}

static bool refers_to(const struct vm *vm, void *ctx)
{
    const struct uuid *image = ctx;

    return vm->run == VM_SAVED && uuid_eq(&vm->memory, image);
}

static bool is_saved(struct saving *s)
{
    return vm_is(s->core, s->vm, refers_to, &s->image.id);
}

static bool never(const struct vm *vm, void *ctx)
{
    return false;
}

static void rest(struct saving *s)
{
    (void)vm_wait(s->core, s->vm, never, NULL, clock_mono_ms() + LOOK_MS);
}

static bool is_live(const struct vm *vm, void *ctx)
{
    return vm_run_is_live(vm->run) && !vm->ending;
}

static bool look(struct saving *s, struct err *err)
{
    const struct backend *backend;
    struct machine *machine = vm_machine_use(s->core, s->vm, &backend, err);
    bool ok;

    if (!machine)
        return false;
    ok = backend->memory_state(machine, &s->image.id, &s->now, err);
    vm_machine_done(s->core, s->vm);
    return ok;
}

/* Asks until it is answered or nothing lives that could answer. */
static bool look_in_any_case(struct saving *s, struct err *err)
{
    while (!look(s, err)) {
        if (atomic_load(&s->core->closing) || !vm_is(s->core, s->vm, is_live, NULL))
            return false;
        *err = (struct err){0};
        rest(s);
    }
    return true;
}

static bool end(struct saving *s, bool cancel, struct err *err)
{
    const struct backend *backend;
    struct machine *machine = vm_machine_use(s->core, s->vm, &backend, err);
    bool ok;

    if (!machine)
        return false;
    ok = backend->memory_end(machine, &s->image.id, cancel, err);
    vm_machine_done(s->core, s->vm);
    return ok;
}

static bool ask_for_it(struct saving *s, struct err *err)
{
    struct machine_memory_save save = {
        .image = s->image.id, .ram_bytes = s->image.size_bytes, .way = MEMORY_STILL};
    const struct backend *backend;
    struct machine *machine;
    bool ok;

    save.fd = ram_image_open_new(&s->image, err);
    if (save.fd < 0)
        return false;
    machine = vm_machine_use(s->core, s->vm, &backend, err);
    if (!machine) {
        closep(&save.fd);
        return false;
    }
    ok = FAILPOINT("vm.save.begin", err);
    if (ok)
        ok = backend->memory_save(machine, &save, err);
    else
        closep(&save.fd);
    vm_machine_done(s->core, s->vm);
    return ok;
}

/* Steps 2 and 3. One that an earlier daemon began goes on by itself; of one that nobody knows of
 * nothing has happened. */
static bool start_writing(struct saving *s, struct err *err)
{
    if (job_step_reached(s->job)) {
        if (!look_in_any_case(s, err))
            return false;
        if (s->now.state == MEMORY_WRITING)
            ram_image_reserve_again(s->core, &s->image, job_id(s->job));
        if (s->now.state != MEMORY_NONE)
            return true;
    }
    if (!FAILPOINT("vm.save.make", err) ||
        !ram_image_make(s->core, &s->image, job_id(s->job), err) ||
        !FAILPOINT("vm.save.step", err) || !job_step(s->job, STEP, err))
        return false;
    if (job_cancelled(s->job))
        return err_set(err, ERR_CANCELLED, "cancelled; the guest goes on");
    return ask_for_it(s, err) && FAILPOINT("vm.save.begun", err);
}

static bool went_well(const struct saving *s, struct err *err)
{
    if (s->now.state == MEMORY_NONE)
        return err_set(err, ERR_HYPERVISOR,
                       "QEMU ended or knows nothing of it any more: try again");
    return !s->now.error[0] || ram_image_fail(s->core, &s->image, &s->now, err);
}

static bool watch(struct saving *s, struct err *err)
{
    bool cancelled = false;
    struct err ignored = {0};

    for (;;) {
        if (!look_in_any_case(s, err))
            return false;
        job_progress(s->job, s->now.done, s->now.total);
        if (s->now.state != MEMORY_WRITING)
            break;
        if (atomic_load(&s->core->closing))
            return err_set(err, ERR_UNAVAILABLE, "the daemon ends; the writing goes on");
        if (job_cancelled(s->job) && !cancelled)
            cancelled = end(s, true, &ignored);
        rest(s);
    }
    if (job_cancelled(s->job))
        return err_set(err, ERR_CANCELLED, "cancelled; the guest goes on");
    return went_well(s, err);
}

/* ---- step 5 ---- */

struct commit {
    struct saving *s;
    struct ram_image *facts;
    char *leaves;
};

static void commit_clear(struct commit *c)
{
    ram_image_free(c->facts);
    free(c->leaves);
}

static bool gather(struct commit *c, struct err *err)
{
    CLEANUP(mem_freep) char *made = NULL;
    struct saving *s = c->s;
    const struct backend *backend;
    struct machine *machine = vm_machine_use(s->core, s->vm, &backend, err);
    bool ok;

    if (!machine)
        return false;
    ok = backend->memory_made(machine, &made, err);
    vm_machine_done(s->core, s->vm);
    if (!ok)
        return false;
    c->leaves = ram_leaves_now(s->core, &s->vm->id);
    c->facts = ram_image_describe(s->core, s->vm, MEMORY_STILL, &s->now, made, c->leaves);
    if (!c->facts)
        return err_set(err, ERR_INTERNAL, "what the image is made of is not known");
    c->facts->took_ms = (uint64_t)(clock_mono_ms() - s->began_ms);
    return true;
}

/* Under vm->writing: a stop that came before this has been recorded, and wins. */
static bool write_image(struct store_txn *txn, void *ctx, struct err *err)
{
    const struct commit *c = ctx;

    if (job_cancelled(c->s->job))
        return err_set(err, ERR_CANCELLED, "cancelled; the guest goes on");
    return ram_image_write_live(txn, &c->s->image, c->facts, err) &&
           FAILPOINT("vm.save.commit", err);
}

static bool ran(const struct vm *vm, void *ctx)
{
    return vm->run == VM_RUNNING;
}

static bool commit(struct saving *s, struct err *err)
{
    CLEANUP(commit_clear) struct commit c = {.s = s};
    const enum vm_desired desired = VM_DESIRED_SAVED;
    const bool by_host = json_is_true(json_object_get(job_args(s->job), "by_host"));
    struct vm_change change = {.run = VM_SAVED,
                               .reason = VM_REASON_USER,
                               .desired = &desired,
                               .memory = &s->image.id,
                               .also = write_image,
                               .ctx = &c,
                               .only_from = 1u << VM_RUNNING | 1u << VM_PAUSED};

    if (!gather(&c, err))
        return false;
    change.leaves = c.leaves;
    if (by_host && vm_is(s->core, s->vm, ran, NULL))
        change.reason = VM_REASON_HOST_SHUTDOWN;
    if (!vm_change_state(s->core, s->vm, &change, err))
        return false;
    if (!is_saved(s))
        return err_set(err, ERR_WRONG_STATE, "%s ended while it was saved",
                       VM_NAME(s->core, s->vm));
    ram_image_set_live(s->core, &s->image, TAKE(c.facts));
    return true;
}

/* ---- step 6 ---- */

static bool is_gone(const struct vm *vm, void *ctx)
{
    return !vm->machine && !vm->ending && vm->slot == NO_SLOT;
}

bool save_end_machine(struct core *core, struct vm *vm, struct err *err)
{
    if (vm_is(core, vm, is_gone, NULL))
        return true;
    return FAILPOINT("vm.save.end", err) && vm_kill(core, vm, err) &&
           (vm_wait(core, vm, is_gone, NULL, clock_mono_ms() + GONE_MS) ||
            err_set(err, ERR_TIMEOUT, "%s is saved, but QEMU is still there after %d s",
                    VM_NAME(core, vm), GONE_MS / 1000));
}

static json_t *result(const struct saving *s)
{
    json_t *v = json_object();

    json_put_u64(v, "ram_bytes", s->now.ram_bytes);
    json_put_u64(v, "held_bytes", s->now.held_bytes);
    return v;
}

static bool save(struct saving *s, struct err *err)
{
    if (!vm_is(s->core, s->vm, is_live, NULL))
        return err_set(err, ERR_WRONG_STATE, "%s ended before it was saved",
                       VM_NAME(s->core, s->vm));
    if (!start_writing(s, err) || !watch(s, err) || !FAILPOINT("vm.save.flush", err) ||
        !ram_image_flush(&s->image, err) || !commit(s, err))
        return false;
    job_set_result(s->job, result(s));
    return FAILPOINT("vm.save.committed", err);
}

static bool run(struct core *core, struct job *job, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), err)};
    struct saving s = {.core = core, .job = job, .vm = hold.vm, .began_ms = clock_mono_ms()};

    if (!begin(&s, err) || job_is_undone(job, err))
        return false;
    return (is_saved(&s) || save(&s, err)) && save_end_machine(core, s.vm, err);
}

/* ---- it came to nothing ---- */

/* Whatever the machine is at, it is at nothing when this returns, as far as it answers. */
static void call_off(struct saving *s)
{
    const int64_t deadline_ms = clock_mono_ms() + CANCEL_MS;
    struct err err = {0};
    bool ok = look(s, &err);

    if (ok && s->now.state == MEMORY_WRITING)
        ok = end(s, true, &err);
    while (ok && s->now.state == MEMORY_WRITING && clock_left_ms(deadline_ms)) {
        rest(s);
        ok = look(s, &err);
    }
    err_ignore(ok && s->now.state == MEMORY_ENDED && end(s, false, &err), &err);
}

/* The guest goes on if it ran. The machine has seen to that itself unless it had come to the end of
 * its part. */
static void let_run(struct saving *s)
{
    const struct backend *backend;
    struct err err = {0};
    struct machine *machine;

    if (!vm_is(s->core, s->vm, ran, NULL))
        return;
    machine = vm_machine_use(s->core, s->vm, &backend, &err);
    if (!machine)
        return;
    if (!backend->cont(machine, &err))
        log_error("%s stands still: %s", VM_NAME(s->core, s->vm), err.detail);
    vm_machine_done(s->core, s->vm);
}

static void take_back(struct saving *s)
{
    call_off(s);
    let_run(s);
    ram_image_drop(s->core, &s->image);
}

/* Whoever comes next finds what is there, and finds that it has failed; the guest need not stand
 * still until then. */
static void let_it_fail(struct saving *s)
{
    struct err err = {0};

    err_ignore(end(s, true, &err), &err);
}

/* It is saved, and QEMU did not go: if it does not now, the next start of the VM sees to it. */
static void end_late(struct saving *s)
{
    struct err err = {0};

    if (!save_end_machine(s->core, s->vm, &err))
        log_error("%s", err.detail);
}

static void settle(struct core *core, struct job *job, bool ok)
{
    struct err err = {0};
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), &err)};
    struct saving s = {.core = core, .job = job, .vm = hold.vm};

    if (!hold.vm)
        return;
    if (!ok && begin(&s, &err)) {
        if (is_saved(&s))
            end_late(&s);
        else if (job_undo(job))
            take_back(&s);
        else
            let_it_fail(&s);
    }
    space_release(core, job_id(job));
    vm_unclaim(core, hold.vm, job_id(job));
}

const struct job_kind vm_save_kind = {.name = "vm.save",
                                      .lane = JOB_LANE_LIFECYCLE,
                                      .cancellable = true,
                                      .run = run,
                                      .settle = settle,
                                      .adopt = vm_adopt};
