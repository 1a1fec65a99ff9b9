/* The table of VMs in memory: see registry.h. */
#include "core/vm/registry.h"

#include "core/vm/restart.h"

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/snap/tree.h"
#include "core/user/sight_inside.h"

#include <stdlib.h>
#include <string.h>

NO_TSA void registry_init(struct core *core)
{
    core->registry.shown_max = SHOWN_BYTES;
    lock_init(&core->registry.lock);
    cond_init(&core->registry.changed);
    lock_init(&core->serial.lock);
    cond_init(&core->serial.rung);
}

static void vm_free(struct vm *vm)
{
    if (vm->active) {
        vm_spec_clear(vm->active);
        free(vm->active);
    }
    vm_spec_clear(&vm->spec);
    while (vm->snapshots)
        snapshot_delist(vm, vm->snapshots);
    lock_clear(&vm->writing);
    free(vm->detail);
    free(vm->memory_leaves);
    free(vm->restarts);
    free(vm);
}

NO_TSA void registry_clear(struct core *core)
{
    struct registry *r = &core->registry;
    struct vm *vm, *next;

    HASH_ITER (by_id, r->vms_by_id, vm, next) {
        HASH_DELETE(by_name, r->vms_by_name, vm);
        HASH_DELETE(by_id, r->vms_by_id, vm);
        shown_drop(r, vm);
        vm_free(vm);
    }
    departed_clear(r);
    free(r->names);
    cond_clear(&r->changed);
    lock_clear(&r->lock);
    cond_clear(&core->serial.rung);
    lock_clear(&core->serial.lock);
}

static struct vm *find(struct registry *r, const char *ref) REQUIRES(r->lock);
static struct vm *find(struct registry *r, const char *ref)
{
    struct vm *vm = NULL;
    struct uuid id;

    if (uuid_parse(ref, &id))
        HASH_FIND(by_id, r->vms_by_id, &id, sizeof id, vm);
    else
        HASH_FIND(by_name, r->vms_by_name, ref, strlen(ref), vm);
    return vm;
}

struct vm *vm_get(struct core *core, const char *ref, struct err *err)
{
    struct vm *vm;

    lock_take(&core->registry.lock);
    vm = find(&core->registry, ref);
    if (vm && !sight_vm(core, vm, RIGHT_VM_READ))
        vm = NULL;
    if (vm)
        vm->refs++;
    lock_drop(&core->registry.lock);
    if (!vm)
        err_set(err, ERR_NOT_FOUND, "there is no VM '%.64s'", ref);
    return vm;
}

struct vm *vm_get_id(struct core *core, const struct uuid *id, struct err *err)
{
    struct vm *vm;

    lock_take(&core->registry.lock);
    HASH_FIND(by_id, core->registry.vms_by_id, id, sizeof *id, vm);
    if (vm)
        vm->refs++;
    lock_drop(&core->registry.lock);
    if (!vm)
        err_set(err, ERR_NOT_FOUND, "there is no VM '%s'", UUID_STR(id));
    return vm;
}

bool vm_name_is_taken(struct core *core, const char *name)
{
    bool taken;

    lock_take(&core->registry.lock);
    taken = find(&core->registry, name) != NULL;
    lock_drop(&core->registry.lock);
    return taken;
}

void vm_put(struct core *core, struct vm *vm)
{
    bool last;

    lock_take(&core->registry.lock);
    last = --vm->refs == 0 && !vm->listed;
    if (last)
        shown_drop(&core->registry, vm);
    lock_drop(&core->registry.lock);
    if (last)
        vm_free(vm);
}

void vm_drop(struct vm_hold *hold)
{
    if (hold->vm)
        vm_put(hold->core, hold->vm);
    hold->vm = NULL;
}

void vm_exit_settled(struct core *core, struct vm *vm)
{
    bool last;

    lock_take(&core->registry.lock);
    vm->ending = false;
    last = --vm->refs == 0 && !vm->listed;
    core->registry.exits--;
    cond_wake_all(&core->registry.changed);
    lock_drop(&core->registry.lock);
    if (last)
        vm_free(vm);
}

static bool name_is_free(struct registry *r, const char *name) REQUIRES(r->lock);
static bool name_is_free(struct registry *r, const char *name)
{
    for (const struct name_claim *c = r->name_claims; c; c = c->next)
        if (strcmp(c->name, name) == 0)
            return false;
    return find(r, name) == NULL;
}

static bool id_is_free(struct registry *r, const struct uuid *id) REQUIRES(r->lock);
static bool id_is_free(struct registry *r, const struct uuid *id)
{
    struct vm *vm;

    HASH_FIND(by_id, r->vms_by_id, id, sizeof *id, vm);
    return vm == NULL;
}

static bool refuse_name(const char *name, struct err *err)
{
    return err_field(err, ERR_EXISTS, "/name",
                     "there is a VM named '%s' already: choose another name", name);
}

struct vm *vm_enlist(struct core *core, const struct uuid *id, struct vm_spec *spec,
                     struct err *err)
{
    struct registry *r = &core->registry;
    struct vm *vm = mem_alloc(sizeof *vm);
    bool taken, known;

    vm->id = *id;
    vm->spec = *spec;
    str_copy(vm->name, sizeof vm->name, spec->name);
    vm->backend = spec->backend;
    vm->slot = vm->helper_slot = NO_SLOT;
    vm->refs = 1;
    lock_init(&vm->writing);
    *spec = (struct vm_spec){0};
    lock_take(&r->lock);
    known = !id_is_free(r, id);
    taken = known || !name_is_free(r, vm->name);
    if (!taken) {
        vm->listed = true;
        HASH_ADD(by_id, r->vms_by_id, id, sizeof vm->id, vm);
        HASH_ADD_KEYPTR(by_name, r->vms_by_name, vm->name, strlen(vm->name), vm);
        names_add(r, vm);
    }
    lock_drop(&r->lock);
    if (!taken)
        return vm;
    if (known)
        err_field(err, ERR_EXISTS, "/identity", "the VM is on this host");
    else
        (void)refuse_name(vm->name, err);
    vm_free(vm);
    return NULL;
}

void vm_delist(struct core *core, struct vm *vm)
{
    struct registry *r = &core->registry;

    lock_take(&r->lock);
    if (vm->listed) {
        HASH_DELETE(by_name, r->vms_by_name, vm);
        HASH_DELETE(by_id, r->vms_by_id, vm);
        names_remove(r, vm);
        shown_drop(r, vm);
        sight_depart(r, vm);
        vm->listed = false;
    }
    cond_wake_all(&r->changed);
    lock_drop(&r->lock);
}

const char *vm_name_copy(struct core *core, const struct vm *vm, char out[NAME_MAX_BYTES + 1])
{
    lock_take(&core->registry.lock);
    str_copy(out, NAME_MAX_BYTES + 1, vm->name);
    lock_drop(&core->registry.lock);
    return out;
}

bool vm_name_claim(struct core *core, struct name_claim *claim, struct err *err)
{
    struct registry *r = &core->registry;
    bool is_free;

    lock_take(&r->lock);
    is_free = name_is_free(r, claim->name);
    if (is_free) {
        claim->next = r->name_claims;
        r->name_claims = claim;
    }
    lock_drop(&r->lock);
    return is_free || refuse_name(claim->name, err);
}

void vm_name_release(struct core *core, struct name_claim *claim)
{
    struct name_claim **at = &core->registry.name_claims;

    lock_take(&core->registry.lock);
    while (*at != claim)
        at = &(*at)->next;
    *at = claim->next;
    lock_drop(&core->registry.lock);
}

void vm_name_set(struct core *core, struct vm *vm, const char *name)
{
    HASH_DELETE(by_name, core->registry.vms_by_name, vm);
    names_remove(&core->registry, vm);
    str_copy(vm->name, sizeof vm->name, name);
    HASH_ADD_KEYPTR(by_name, core->registry.vms_by_name, vm->name, strlen(vm->name), vm);
    names_add(&core->registry, vm);
}

struct vm **vm_get_all(struct core *core, size_t *n)
{
    struct registry *r = &core->registry;
    struct vm **all, *vm, *next;
    size_t i = 0;

    lock_take(&r->lock);
    all = mem_array(HASH_CNT(by_id, r->vms_by_id) + 1, sizeof(struct vm *));
    HASH_ITER (by_id, r->vms_by_id, vm, next) {
        vm->refs++;
        all[i++] = vm;
    }
    lock_drop(&r->lock);
    *n = i;
    return all;
}

void vm_put_all(struct core *core, struct vm **vms)
{
    for (size_t i = 0; vms[i]; i++)
        vm_put(core, vms[i]);
    free(vms);
}

/* While a copy runs beside the guest its VM may be paused and go on; not when the storage stopped
 * it: that is for the operation to settle. */
static bool may_pass(const struct vm *vm, enum vm_verb verb)
{
    const struct job_kind *holder = vm->job_kind ? job_kind_find(vm->job_kind) : NULL;

    return holder && holder->shares &&
           (verb == VM_VERB_PAUSE || (verb == VM_VERB_RESUME && vm->reason != VM_REASON_IO_ERROR));
}

static bool may_take(const struct vm *vm, bool exclusive, struct err *err)
{
    if (!vm->listed)
        return err_set(err, ERR_NOT_FOUND, "the VM %s was deleted", vm->name);
    if (exclusive && !uuid_is_zero(&vm->job))
        return err_set(err, ERR_BUSY,
                       "%s is held by the operation %s (%s): wait for it or cancel it", vm->name,
                       UUID_STR(&vm->job), vm->job_kind);
    if (vm->phase == VM_CREATING)
        return err_set(err, ERR_BUSY, "%s is still being created", vm->name);
    return true;
}

static bool may_claim(const struct vm *vm, enum vm_verb verb, struct err *err)
{
    if (!may_take(vm, vm_verb_is_exclusive(verb) && !may_pass(vm, verb), err))
        return false;
    if (vm->phase == VM_DELETING && verb != VM_VERB_DELETE)
        return err_set(err, ERR_WRONG_STATE, "%s is half deleted: delete it again", vm->name);
    if (verb == VM_VERB_STOP && restart_is_due(vm))
        return true; /* it is off already, but would not stay so */
    return vm_check(verb, vm->run, vm->name, err);
}

bool vm_claim_free(struct core *core, struct vm *vm, const struct uuid *job, const char *job_kind,
                   struct err *err)
{
    bool ok;

    lock_take(&core->registry.lock);
    ok =
        may_take(vm, true, err) &&
        (vm->phase == VM_DEFINED || err_set(err, ERR_WRONG_STATE, "%s is being deleted", vm->name));
    if (ok) {
        vm->job = *job;
        vm->job_kind = job_kind;
    }
    lock_drop(&core->registry.lock);
    return ok;
}

bool vm_claim(struct core *core, struct vm *vm, enum vm_verb verb, const struct uuid *job,
              const char *job_kind, struct err *err)
{
    bool ok;

    lock_take(&core->registry.lock);
    ok = may_claim(vm, verb, err);
    if (ok && vm_verb_is_exclusive(verb) && !uuid_is_zero(job) && uuid_is_zero(&vm->job)) {
        vm->job = *job;
        vm->job_kind = job_kind;
    }
    lock_drop(&core->registry.lock);
    return ok;
}

void vm_unclaim(struct core *core, struct vm *vm, const struct uuid *job)
{
    lock_take(&core->registry.lock);
    if (uuid_eq(&vm->job, job)) {
        vm->job = (struct uuid){0};
        vm->job_kind = NULL;
        cond_wake_all(&core->registry.changed);
    }
    lock_drop(&core->registry.lock);
}

struct machine *vm_machine_use(struct core *core, struct vm *vm, const struct backend **backend,
                               struct err *err)
{
    struct machine *machine;

    lock_take(&core->registry.lock);
    machine = vm->ending ? NULL : vm->machine;
    if (machine)
        vm->machine_users++;
    else
        err_set(err, ERR_WRONG_STATE, "%s is not running: it is %s", vm->name,
                vm_run_text(vm->run));
    *backend = core_backend(vm->backend);
    lock_drop(&core->registry.lock);
    return machine;
}

void vm_machine_done(struct core *core, struct vm *vm)
{
    lock_take(&core->registry.lock);
    if (--vm->machine_users == 0)
        cond_wake_all(&core->registry.changed);
    lock_drop(&core->registry.lock);
}

void vm_arrives(struct core *core, struct vm *vm)
{
    lock_take(&core->registry.lock);
    vm->arriving++;
    lock_drop(&core->registry.lock);
}

void vm_has_arrived(struct core *core, struct vm *vm)
{
    lock_take(&core->registry.lock);
    vm->arriving--;
    cond_wake_all(&core->registry.changed);
    lock_drop(&core->registry.lock);
}

bool vm_is(struct core *core, struct vm *vm, bool (*so)(const struct vm *vm, void *ctx), void *ctx)
{
    bool is;

    lock_take(&core->registry.lock);
    is = so(vm, ctx);
    lock_drop(&core->registry.lock);
    return is;
}

bool vm_wait(struct core *core, struct vm *vm, bool (*done)(const struct vm *vm, void *ctx),
             void *ctx, int64_t deadline_mono_ms)
{
    struct registry *r = &core->registry;
    bool in_time = true, is;

    lock_take(&r->lock);
    while (!(is = done(vm, ctx)) && in_time && !atomic_load(&core->closing))
        in_time = cond_wait_until(&r->changed, &r->lock, deadline_mono_ms);
    lock_drop(&r->lock);
    return is;
}
