/* What may be seen and done with which object: see sight.h. */
#include "core/user/sight_inside.h"

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/disks.h"
#include "core/job/job.h"
#include "core/snap/snap.h"
#include "core/snap/tree.h"
#include "core/template/template.h"
#include "core/user/granting.h"
#include "core/vm/registry.h"

#include <stdlib.h>
#include <string.h>

static _Thread_local struct {
    const struct who *who; /* with grants; NULL: whoever it is sees all */
    enum right right;
} looks;

void sight_begin(const struct who *who, enum right right)
{
    looks.who = who->grants ? who : NULL;
    looks.right = right;
}

void sight_end(void)
{
    looks.who = NULL;
}

bool sight_is_narrow(void)
{
    return looks.who != NULL;
}

bool sight_is_whole(enum right right)
{
    return !looks.who || who_may(looks.who, right);
}

/* What may be done to a VM and to a pool: who may do one of these sees it when he does. */
#define TO_VM                                                                                      \
    (RIGHT_BIT(RIGHT_VM_POWER) | RIGHT_BIT(RIGHT_VM_EDIT) | RIGHT_BIT(RIGHT_VM_CREATE) |           \
     RIGHT_BIT(RIGHT_VM_DELETE) | RIGHT_BIT(RIGHT_SNAPSHOT) | RIGHT_BIT(RIGHT_DATA_READ) |         \
     RIGHT_BIT(RIGHT_CONSOLE_SEE) | RIGHT_BIT(RIGHT_CONSOLE_TYPE))
#define TO_POOL                                                                                    \
    (RIGHT_BIT(RIGHT_STORAGE_EDIT) | RIGHT_BIT(RIGHT_VM_CREATE) | RIGHT_BIT(RIGHT_VM_EDIT))

static uint64_t that_show(enum right right, uint64_t doing)
{
    return RIGHT_BIT(right) | (RIGHT_BIT(looks.right) & doing);
}

bool sight_vm(struct core *core, const struct vm *vm, enum right right)
{
    struct selectable object;

    (void)core;
    if (sight_is_whole(right))
        return true;
    selectable_spec(&vm->spec, &object);
    return (who_rights_on(looks.who, &object) & that_show(right, TO_VM)) != 0;
}

bool sight_vm_id(struct core *core, const struct uuid *id, enum right right)
{
    struct vm *vm = NULL;

    if (sight_is_whole(right))
        return true;
    HASH_FIND(by_id, core->registry.vms_by_id, id, sizeof *id, vm);
    return vm && sight_vm(core, vm, right);
}

static uint64_t rights_on_pool(const struct who *who, const struct uuid *id)
{
    char text[UUID_TEXT];
    const struct selectable object = {.pools = {text}, .n_pools = 1};

    uuid_text(id, text);
    return who_rights_on(who, &object);
}

bool sight_pool(const struct pool *pool, enum right right)
{
    return sight_is_whole(right) ||
           (rights_on_pool(looks.who, &pool->id) & that_show(right, TO_POOL));
}

bool sight_labels(const json_t *labels, enum right right)
{
    const struct selectable object = {.labels = labels};

    return sight_is_whole(right) || (who_rights_on(looks.who, &object) & RIGHT_BIT(right));
}

/* ---- VMs that are gone ---- */

struct departed {
    struct uuid id;
    json_t *labels;
    char pools[VM_DISKS_MAX][UUID_TEXT];
    size_t n_pools;
};

void sight_depart(struct registry *r, const struct vm *vm)
{
    struct selectable object;
    struct departed *d;

    if (!r->departed)
        r->departed = mem_array(DEPARTED_MAX, sizeof *r->departed);
    d = &r->departed[r->n_departed++ % DEPARTED_MAX];
    json_decref(d->labels);
    selectable_spec(&vm->spec, &object);
    *d = (struct departed){.id = vm->id, .labels = json_deep_copy(vm->spec.labels)};
    for (size_t i = 0; i < object.n_pools; i++)
        str_copy(d->pools[d->n_pools++], UUID_TEXT, object.pools[i]);
}

NO_TSA void departed_clear(struct registry *r)
{
    for (size_t i = 0; r->departed && i < DEPARTED_MAX; i++)
        json_decref(r->departed[i].labels);
    free(r->departed);
    r->departed = NULL;
}

static uint64_t rights_on_departed(struct core *core, const struct who *who, const struct uuid *id)
    REQUIRES(core->registry.lock);
static uint64_t rights_on_departed(struct core *core, const struct who *who, const struct uuid *id)
{
    struct registry *r = &core->registry;

    for (size_t i = 0; r->departed && i < DEPARTED_MAX; i++) {
        const struct departed *d = &r->departed[i];
        struct selectable object = {.labels = d->labels, .n_pools = d->n_pools};

        if (!uuid_eq(&d->id, id))
            continue;
        for (size_t p = 0; p < d->n_pools; p++)
            object.pools[p] = d->pools[p];
        return who_rights_on(who, &object);
    }
    return who->rights;
}

static uint64_t rights_on_vm(struct core *core, const struct who *who, const struct uuid *id)
{
    struct selectable object;
    struct vm *vm = NULL;
    uint64_t rights;

    lock_take(&core->registry.lock);
    HASH_FIND(by_id, core->registry.vms_by_id, id, sizeof *id, vm);
    if (vm)
        selectable_spec(&vm->spec, &object);
    rights = vm ? who_rights_on(who, &object) : rights_on_departed(core, who, id);
    lock_drop(&core->registry.lock);
    return rights;
}

static uint64_t rights_on_template(struct core *core, const struct who *who, const char *ref)
{
    struct err ignored = {0};
    CLEANUP(json_decrefp) json_t *shown = template_show(core, ref, NULL, &ignored);
    const struct selectable object = {.labels = json_object_get(shown, "labels")};

    return who_rights_on(who, &object);
}

static uint64_t rights_on(struct core *core, const struct who *who, const char *type,
                          const struct uuid *id)
{
    if (str_eq(type, "vm"))
        return rights_on_vm(core, who, id);
    if (str_eq(type, "pool"))
        return rights_on_pool(who, id);
    if (str_eq(type, "template"))
        return rights_on_template(core, who, UUID_STR(id));
    return who->rights;
}

/* ---- what tells of an object ---- */

bool sight_operation(struct core *core, const char *object_type, const struct uuid *object,
                     const char *principal)
{
    return sight_is_whole(RIGHT_OPERATION_READ) || str_eq(principal, looks.who->principal) ||
           (rights_on(core, looks.who, object_type, object) & RIGHT_BIT(RIGHT_OPERATION_READ));
}

bool sight_event(struct core *core, const struct who *who, const struct event_line *line)
{
    return who_may(who, RIGHT_EVENT_READ) ||
           (rights_on(core, who, line->about_type, &line->about) & RIGHT_BIT(RIGHT_EVENT_READ));
}

/* ---- what is done to a VM ---- */

static bool refuse(const char *what, struct err *err)
{
    return err_set(err, ERR_FORBIDDEN, "%s has not the right %s %s", looks.who->principal,
                   right_names[looks.right], what);
}

bool sight_may(struct core *core, struct vm *vm, struct err *err)
{
    struct selectable object;
    uint64_t rights;

    if (sight_is_whole(looks.right))
        return true;
    lock_take(&core->registry.lock);
    selectable_spec(&vm->spec, &object);
    rights = who_rights_on(looks.who, &object);
    lock_drop(&core->registry.lock);
    return (rights & RIGHT_BIT(looks.right)) || refuse("for this VM", err);
}

/* Whether the caller may decide who has this label. */
static bool may_have(struct core *core, const char *key, const char *value)
{
    return sight_is_whole(looks.right) ||
           (grants_by_label(looks.who->grants, key, value) & looks.who->most &
            RIGHT_BIT(looks.right)) ||
           !grants_any_by_label(core, key, value);
}

/* Those of 'these' that 'others' does not have. */
static bool may_differ(struct core *core, const json_t *these, const json_t *others,
                       struct err *err)
{
    const char *key;
    json_t *value;

    json_object_foreach ((json_t *)(uintptr_t)these, key, value) {
        const char *text = json_string_value(value);

        if (!str_eq(text, json_string_value(json_object_get(others, key))) &&
            !may_have(core, key, text))
            return err_field(err, ERR_FORBIDDEN, "/labels",
                             "the label %s=%s decides who may do what: %s has not the right %s for "
                             "what has it",
                             key, text, looks.who->principal, right_names[looks.right]);
    }
    return true;
}

bool sight_may_become(struct core *core, const struct selectable *before,
                      const struct selectable *after, struct err *err)
{
    const json_t *old = before ? before->labels : NULL;
    uint64_t then;

    if (!looks.who)
        return true;
    then = who_rights_on(looks.who, after);
    if (!(then & RIGHT_BIT(looks.right)))
        return refuse(before ? "for the VM as it would be" : "for a VM like this", err);
    if (before && (then & ~who_rights_on(looks.who, before)))
        return err_set(err, ERR_FORBIDDEN,
                       "%s would have rights for the VM that it has not now: somebody who has them "
                       "has to do that",
                       looks.who->principal);
    return may_differ(core, after->labels, old, err) && may_differ(core, old, after->labels, err);
}

bool sight_may_label(struct core *core, struct vm *vm, const json_t *labels, struct err *err)
{
    struct selectable before, after;

    if (!looks.who || json_equal(labels, vm->spec.labels))
        return true;
    selectable_spec(&vm->spec, &before);
    after = before;
    after.labels = labels;
    return sight_may_become(core, &before, &after, err);
}

bool sight_may_add_pool(struct core *core, struct vm *vm, const char *pool, struct err *err)
{
    struct selectable before, after;

    selectable_spec(&vm->spec, &before);
    after = before;
    if (after.n_pools < VM_DISKS_MAX)
        after.pools[after.n_pools++] = pool;
    return sight_may_become(core, &before, &after, err);
}

/* ---- what a request is about ---- */

bool sight_find_vm(struct core *core, const char *ref, uint64_t *rights, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get(core, ref, err)};

    if (hold.vm)
        *rights = rights_on_vm(core, looks.who, &hold.vm->id);
    return hold.vm != NULL;
}

bool sight_find_snapshot(struct core *core, const char *ref, uint64_t *rights, struct err *err)
{
    char vm[UUID_TEXT];

    return snapshot_vm(core, ref, vm, err) && sight_find_vm(core, vm, rights, err);
}

bool sight_find_disk(struct core *core, const char *ref, uint64_t *rights, struct err *err)
{
    struct disk *disk = NULL;
    struct uuid id, vm;

    if (uuid_parse(ref, &id)) {
        lock_take(&core->registry.lock);
        disk = disk_find(core, &id);
        if (disk && sight_vm_id(core, &disk->vm, RIGHT_VM_READ))
            vm = disk->vm;
        else
            disk = NULL;
        lock_drop(&core->registry.lock);
    }
    if (disk)
        *rights = rights_on_vm(core, looks.who, &vm);
    return disk || disk_missing_fail(ref, err);
}

bool sight_find_pool(struct core *core, const char *ref, uint64_t *rights, struct err *err)
{
    struct pool *pool;

    lock_take(&core->registry.lock);
    pool = pool_named(core, ref);
    if (pool)
        *rights = rights_on_pool(looks.who, &pool->id);
    lock_drop(&core->registry.lock);
    return pool || pool_missing_fail(ref, err);
}

bool sight_find_template(struct core *core, const char *ref, uint64_t *rights, struct err *err)
{
    CLEANUP(json_decrefp) json_t *shown = template_show(core, ref, NULL, err);

    if (shown)
        *rights = rights_on_template(core, looks.who, ref);
    return shown != NULL;
}

bool sight_find_operation(struct core *core, const char *ref, uint64_t *rights, struct err *err)
{
    CLEANUP(json_decrefp) json_t *shown = NULL;
    const json_t *object;
    struct uuid id, about = {0};
    const char *text;

    if (!uuid_parse(ref, &id))
        return job_missing_fail(ref, err);
    shown = job_show(core, &id, err);
    object = json_object_get(shown, "object");
    text = json_get_text(object, "id");
    if (!shown || (text && !uuid_parse(text, &about)))
        return false;
    if (!sight_operation(core, json_get_text(object, "type"), &about,
                         json_get_text(shown, "created_by")))
        return job_missing_fail(ref, err);
    *rights = rights_on(core, looks.who, json_get_text(object, "type"), &about);
    if (str_eq(json_get_text(shown, "created_by"), looks.who->principal))
        *rights |= RIGHT_BIT(RIGHT_OPERATION_READ);
    return true;
}
