/* Grants: see grant.h. Pure. */
#include "core/user/grant.h"

#include "core/base/mem.h"
#include "core/base/str.h"

#include <stdlib.h>
#include <string.h>

uint64_t grant_possible(void)
{
    static const enum right rights[] = {
        RIGHT_VM_READ,        RIGHT_VM_POWER,       RIGHT_VM_EDIT,      RIGHT_VM_CREATE,
        RIGHT_VM_DELETE,      RIGHT_SNAPSHOT,       RIGHT_DATA_READ,    RIGHT_CONSOLE_SEE,
        RIGHT_CONSOLE_TYPE,   RIGHT_STORAGE_READ,   RIGHT_STORAGE_EDIT, RIGHT_TEMPLATE_READ,
        RIGHT_OPERATION_READ, RIGHT_OPERATION_EDIT, RIGHT_EVENT_READ,
    };
    uint64_t set = 0;

    for (size_t i = 0; i < ARRAY_LEN(rights); i++)
        set |= RIGHT_BIT(rights[i]);
    return set;
}

static void copy(struct grant *to, const struct grant *from)
{
    *to = *from;
    to->key = str_dup(from->key);
    to->value = str_dup(from->value);
    to->created_by = str_dup(from->created_by);
}

/* A copy of 'old' without 'leave' (may be NULL), with room for one more. */
static struct grants *copy_all(const struct grants *old, const struct uuid *leave)
{
    size_t n = old ? old->n : 0;
    struct grants *all = mem_alloc(sizeof *all + (n + 1) * sizeof(struct grant));

    atomic_init(&all->refs, 1);
    for (size_t i = 0; i < n; i++)
        if (!leave || !uuid_eq(&old->all[i].id, leave))
            copy(&all->all[all->n++], &old->all[i]);
    return all;
}

struct grants *grants_with(const struct grants *old, const struct grant *more)
{
    struct grants *all = copy_all(old, NULL);

    copy(&all->all[all->n++], more);
    return all;
}

struct grants *grants_without(const struct grants *old, const struct uuid *id)
{
    struct grants *all = copy_all(old, id);

    if (all->n)
        return all;
    grants_drop(all);
    return NULL;
}

struct grants *grants_hold(struct grants *grants)
{
    if (grants)
        atomic_fetch_add(&grants->refs, 1);
    return grants;
}

void grants_drop(struct grants *grants)
{
    if (!grants || atomic_fetch_sub(&grants->refs, 1) > 1)
        return;
    for (size_t i = 0; i < grants->n; i++) {
        free(grants->all[i].key);
        free(grants->all[i].value);
        free(grants->all[i].created_by);
    }
    free(grants);
}

static bool selects(const struct grant *g, const struct selectable *object)
{
    if (g->key)
        return str_eq(json_string_value(json_object_get(object->labels, g->key)), g->value);
    for (size_t i = 0; i < object->n_pools; i++)
        if (str_eq(object->pools[i], g->pool))
            return true;
    return false;
}

uint64_t grants_for(const struct grants *grants, const struct selectable *object)
{
    uint64_t rights = 0;

    for (size_t i = 0; grants && i < grants->n; i++)
        if (selects(&grants->all[i], object))
            rights |= grants->all[i].rights;
    return rights & grant_possible();
}

uint64_t grants_any(const struct grants *grants)
{
    uint64_t rights = 0;

    for (size_t i = 0; grants && i < grants->n; i++)
        rights |= grants->all[i].rights;
    return rights & grant_possible();
}

uint64_t grants_by_label(const struct grants *grants, const char *key, const char *value)
{
    uint64_t rights = 0;

    for (size_t i = 0; grants && i < grants->n; i++)
        if (str_eq(grants->all[i].key, key) && str_eq(grants->all[i].value, value))
            rights |= grants->all[i].rights;
    return rights & grant_possible();
}

void selectable_spec(const struct vm_spec *spec, struct selectable *out)
{
    out->labels = spec->labels;
    out->n_pools = 0;
    for (size_t i = 0; i < spec->n_disks && i < VM_DISKS_MAX; i++)
        if (spec->disks[i].pool)
            out->pools[out->n_pools++] = spec->disks[i].pool;
}

uint64_t who_rights_on(const struct who *who, const struct selectable *object)
{
    return who->rights | (grants_for(who->grants, object) & who->most);
}

uint64_t who_rights_anywhere(const struct who *who)
{
    return who->rights | (grants_any(who->grants) & who->most);
}

void who_clear(struct who *who)
{
    grants_drop(who->grants);
    *who = (struct who){0};
}
