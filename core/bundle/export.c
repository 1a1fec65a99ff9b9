/* Making a bundle of a VM: the request. What the operation does is in pack.c. */
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/bundle/inside.h"
#include "core/core/parts.h"
#include "core/disk/disks.h"
#include "core/disk/space.h"
#include "core/snap/taking.h"
#include "core/vm/kinds.h"
#include "core/vm/registry.h"

#include <string.h>

struct request {
    struct core *core;
    struct vm *vm;
    const struct bundle_ask *ask;
    struct bundle bundle;
    struct uuid pool;
    char root[NAME_MAX_BYTES + 1];
    char name[NAME_MAX_BYTES + 1];
    uint64_t bytes;
    bool runs;
    struct memory_choice memory;
    struct taking_plan taking; /* of one that runs */
};

static void request_clear(struct request *r)
{
    bundle_clear(&r->bundle);
    taking_plan_clear(&r->taking);
}

bool bundle_pool(struct core *core, const char *ref, struct uuid *id, char root[NAME_MAX_BYTES + 1],
                 struct err *err)
{
    const struct pool *pool;

    lock_take(&core->registry.lock);
    pool = pool_named(core, ref);
    if (pool) {
        *id = pool->id;
        str_copy(root, NAME_MAX_BYTES + 1, pool->root);
    }
    lock_drop(&core->registry.lock);
    return pool || err_field(err, ERR_NOT_FOUND, "/pool",
                             "there is no pool '%.64s': GET /pools lists them", ref ? ref : "");
}

void bundle_block(json_t *blockers, struct err *first, bool ok, struct err *why)
{
    if (!ok) {
        json_add_err(blockers, why);
        if (!first->code)
            *first = *why;
    }
    *why = (struct err){0};
}

/* ---- what stands in the way ---- */

static bool check_name_is_free(const struct request *r, struct err *err)
{
    struct err ignored = {0};
    CLEANUP(closep) int there = bundle_open(r->core, r->name, NULL, &ignored);

    return there < 0 || err_field(err, ERR_EXISTS, "/name",
                                  "there is a bundle '%s' already: choose another name", r->name);
}

/* What taking the snapshot needs; its rows are in the plan then. */
static bool plan_taking(struct request *r, struct err *err)
{
    char name[NAME_MAX_BYTES + 1];

    if (!r->runs)
        return true;
    taking_name(r->core, r->vm, "export", r->name, name);
    return taking_plan(r->core, r->vm, name, "", &r->taking, err);
}

static json_t *blockers_of(struct request *r, struct err *first)
{
    const struct uuid nobody = {0};
    json_t *list = json_array();
    struct err why = {0};

    bundle_block(list, first, vm_claim(r->core, r->vm, VM_VERB_EXPORT, &nobody, NULL, &why), &why);
    bundle_block(list, first, check_name_is_free(r, &why), &why);
    bundle_block(list, first, plan_taking(r, &why), &why);
    bundle_block(list, first, space_check(r->core, &r->pool, r->bytes, "/pool", &why), &why);
    return list;
}

static json_t *plan_json(const struct request *r, json_t *blockers)
{
    const uint64_t rate = r->ask->bytes_per_s ? r->ask->bytes_per_s : BUNDLE_GUESSED_BYTES_S;
    json_t *plan = json_object();

    json_put(plan, "blockers", blockers);
    json_put_text(plan, "bundle", r->name);
    json_put_text(plan, "root", r->root);
    json_put_u64(plan, "files", r->bundle.copy.n_files);
    json_put_u64(plan, "bytes", r->bytes);
    json_put_u64(plan, "estimate_s", r->bytes / rate + 1);
    if (r->runs) {
        json_put_text(plan, "consistency", r->memory.with ? "running" : "disk");
        json_put_text(plan, "reason", r->memory.reason[0] ? r->memory.reason : NULL);
        json_put_u64(plan, "pause_estimate_ms", r->memory.pause_ms);
    }
    return plan;
}

/* ---- submitting ---- */

static bool is_running(const struct vm *vm, void *ctx)
{
    return vm->run == VM_RUNNING || vm->run == VM_PAUSED;
}

/* Under vm->writing, so that it stays what it is until the VM is held. */
static bool make_request(struct request *r, struct err *err)
{
    if (vm_is(r->core, r->vm, is_running, NULL) != r->runs)
        return err_set(err, ERR_WRONG_STATE, "%s was started or ended meanwhile: export it again",
                       r->vm->name);
    if (!bundle_pool(r->core, r->ask->pool, &r->pool, r->root, err))
        return false;
    str_copy(r->name, sizeof r->name, r->ask->name ? r->ask->name : r->vm->name);
    if (!bundle_name_is_fine(r->name))
        return err_field(err, ERR_INVALID, "/name", "that is no name for a bundle");
    if (!bundle_choose(r->core, r->vm, &(struct bundle_choice){.snapshots = r->ask->snapshots},
                       &r->bundle, err))
        return false;
    r->bytes = bundle_bytes(r->core, &r->bundle);
    return true;
}

static bool submit(struct request *r, const struct origin *origin, struct uuid *op, struct err *err)
{
    CLEANUP(json_decrefp) json_t *args = json_object();

    json_put_text(args, "pool", UUID_STR(&r->pool));
    json_put_text(args, "root", r->root);
    json_put_text(args, "name", r->name);
    json_put_bool(args, "snapshots", r->ask->snapshots);
    if (r->ask->limited)
        json_put_u64(args, "bandwidth", r->ask->bytes_per_s);
    if (!r->runs)
        return vm_submit(r->core, r->vm, VM_VERB_EXPORT, args, origin, op, NULL, NULL, err);
    json_put(args, "take", json_deep_copy(r->taking.args));
    return vm_submit(r->core, r->vm, VM_VERB_EXPORT, args, origin, op, taking_plan_rows, &r->taking,
                     err);
}

bool vm_export(struct core *core, const char *ref, const struct bundle_ask *ask,
               const struct origin *origin, struct uuid *op, json_t **plan, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get(core, ref, err)};
    CLEANUP(request_clear)
    struct request r = {
        .core = core, .vm = hold.vm, .ask = ask, .taking = {.job = op, .args = json_object()}};
    CLEANUP(json_decrefp) json_t *blockers = NULL;
    struct err first = {0};
    bool ok = false;

    *op = (struct uuid){0};
    if (!hold.vm)
        return false;
    r.taking.memory = &r.memory;
    r.runs = vm_is(core, hold.vm, is_running, NULL);
    if (r.runs && !memory_choose(core, hold.vm, ask->consistency, &r.memory, err))
        return false;
    lock_take(&hold.vm->writing);
    if (make_request(&r, err)) {
        blockers = blockers_of(&r, &first);
        ok = origin->dry_run || !first.code;
        if (origin->dry_run)
            *plan = plan_json(&r, json_incref(blockers));
        else if (first.code)
            *err = first;
        else
            ok = submit(&r, origin, op, err);
    }
    lock_drop(&hold.vm->writing);
    return ok;
}
