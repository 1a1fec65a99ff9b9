/* Taking a snapshot as an operation of its own: see taking.c for the steps. */
#include "core/base/mem.h"
#include "core/disk/space.h"
#include "core/snap/snap.h"
#include "core/snap/taking.h"
#include "core/vm/kinds.h"
#include "core/vm/registry.h"

const char *const consistency_names[] = {"disk", "auto", "running", NULL};

bool snapshot_take(struct core *core, const char *ref, const struct snapshot_ask *ask,
                   const struct origin *origin, struct uuid *op, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get(core, ref, err)};
    struct memory_choice memory;
    CLEANUP(taking_plan_clear)
    struct taking_plan plan = {.job = op, .memory = &memory, .args = json_object()};
    bool ok;

    *op = (struct uuid){0};
    if (!hold.vm || !memory_choose(core, hold.vm, ask->consistency, &memory, err))
        return false;
    lock_take(&hold.vm->writing);
    ok = taking_plan(core, hold.vm, ask->name, ask->notes, &plan, err) &&
         vm_submit(core, hold.vm, VM_VERB_SNAPSHOT, plan.args, origin, op, taking_plan_rows, &plan,
                   err);
    lock_drop(&hold.vm->writing);
    return ok;
}

bool snapshot_create(struct core *core, const char *ref, const char *name, const char *notes,
                     const struct origin *origin, struct uuid *op, struct err *err)
{
    const struct snapshot_ask ask = {.name = name, .notes = notes};

    return snapshot_take(core, ref, &ask, origin, op, err);
}

static json_t *result_of(const json_t *args)
{
    const char *consistency = json_get_text(args, "consistency");
    json_t *result = json_object();

    json_put_text(result, "snapshot", json_get_text(args, "snapshot"));
    json_put_text(result, "consistency", consistency ? consistency : "disk");
    json_put_text(result, "reason", json_get_text(args, "reason"));
    return result;
}

/* And what came out: how its memory was written, and how long the guest stood still. */
static void tell_pause(struct core *core, struct job *job, const struct uuid *image)
{
    json_t *result = result_of(job_args(job)), *memory;

    lock_take(&core->registry.lock);
    memory = ram_image_json(core, image);
    lock_drop(&core->registry.lock);
    json_put_text(result, "way", json_get_text(memory, "way"));
    json_put_u64(result, "pause_us", json_get_u64(memory, "pause_us", 0));
    json_decref(memory);
    job_set_result(job, result);
}

static bool run(struct core *core, struct job *job, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), err)};
    CLEANUP(taking_clear)
    struct taking t = {.core = core, .job = job, .vm = hold.vm, .args = job_args(job)};

    bool ok;

    job_set_result(job, result_of(job_args(job)));
    ok = hold.vm && !taking_has_lost(&t, err) && taking_begin(&t, err) &&
         (taking_is_done(&t) || (taking_prepare(&t, err) && taking_finish(&t, err)));
    if (ok && t.with_memory)
        tell_pause(core, job, &t.image.id);
    return ok;
}

static void settle(struct core *core, struct job *job, bool ok)
{
    struct err err = {0};
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), &err)};
    CLEANUP(taking_clear)
    struct taking t = {.core = core, .job = job, .vm = hold.vm, .args = job_args(job)};

    if (!hold.vm)
        return;
    space_release(core, job_id(job));
    if (!ok && !taking_has_lost(&t, &err) && taking_begin(&t, &err))
        taking_undo(&t);
    vm_unclaim(core, hold.vm, job_id(job));
}

/* Once it is given up the VM is its deletion's. */
static void adopt(struct core *core, struct job *job)
{
    struct err err = {0};
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), &err)};
    struct taking t = {.core = core, .job = job, .vm = hold.vm, .args = job_args(job)};

    if (hold.vm && !taking_is_given_up(&t, &err))
        vm_adopt(core, job);
}

const struct job_kind vm_snapshot_kind = {.name = "vm.snapshot",
                                          .lane = JOB_LANE_LIFECYCLE,
                                          .cancellable = true,
                                          .run = run,
                                          .settle = settle,
                                          .adopt = adopt};
