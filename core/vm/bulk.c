/* One verb for many VMs: see bulk.h.
 *
 * Theory of operation. Every VM is looked up, checked and claimed by itself; what cannot be gets
 * its error. The rest is submitted in one transaction, so that after a crash either all of it is
 * under way or none, a thousand VMs cost one flush, and the Idempotency-Key stands for exactly what
 * was begun. Deleting writes the VMs' rows in that transaction as well and holds their 'writing'
 * for it, taken in the order of the ids: nobody else holds more than one. */
#include "core/vm/bulk.h"

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/user/sight_inside.h"
#include "core/vm/kinds.h"
#include "core/vm/registry.h"
#include "core/vm/save.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct item {
    const char *ref;               /* as asked for; borrowed */
    char name[NAME_MAX_BYTES + 1]; /* of the VM, or what was asked for */
    struct vm *vm;                 /* a reference; NULL: there is none */
    struct uuid op;                /* zero: none */
    struct vm_mark mark;           /* of a deletion */
    struct save_plan save;         /* of a save */
    struct err err;
};

struct bulk {
    struct core *core;
    enum vm_verb verb;
    const json_t *args;
    const struct origin *origin;
    struct item *items;
    size_t n;
    struct item **by_id; /* those with a VM */
    size_t n_found;
};

static void bulk_clear(struct bulk *b)
{
    for (size_t i = 0; i < b->n; i++) {
        save_plan_clear(&b->items[i].save);
        if (b->items[i].vm)
            vm_put(b->core, b->items[i].vm);
    }
    free(b->items);
    free(b->by_id);
}

static int compare_ids(const void *a, const void *b)
{
    const struct item *x = *(struct item *const *)a, *y = *(struct item *const *)b;

    return memcmp(&x->vm->id, &y->vm->id, sizeof x->vm->id);
}

static bool refuse_twice(const struct bulk *b, const struct item *x, const struct item *y,
                         struct err *err)
{
    const struct item *first = x < y ? x : y, *second = x < y ? y : x;
    char pointer[32];

    snprintf(pointer, sizeof pointer, "/vms/%zu", (size_t)(second - b->items));
    return err_field(err, ERR_INVALID, pointer, "%s is named twice: /vms/%zu is it as well",
                     second->name, (size_t)(first - b->items));
}

/* Finds the VMs; one that is not there is its item's error. */
static bool find_all(struct bulk *b, const json_t *refs, struct err *err)
{
    const json_t *ref;
    size_t i;

    b->items = mem_array(json_array_size(refs) + 1, sizeof *b->items);
    b->by_id = mem_array(json_array_size(refs) + 1, sizeof(struct item *));
    json_array_foreach (refs, i, ref) {
        struct item *item = &b->items[b->n++];

        item->ref = json_string_value(ref);
        item->vm = vm_get(b->core, item->ref, &item->err);
        if (item->vm)
            vm_name_copy(b->core, item->vm, item->name);
        else
            str_copy(item->name, sizeof item->name, item->ref);
        if (item->vm)
            b->by_id[b->n_found++] = item;
    }
    qsort(b->by_id, b->n_found, sizeof(struct item *), compare_ids);
    for (i = 1; i < b->n_found; i++)
        if (b->by_id[i - 1]->vm == b->by_id[i]->vm)
            return refuse_twice(b, b->by_id[i - 1], b->by_id[i], err);
    return true;
}

/* Whether it can be saved says the machine. */
static bool plan_save(struct bulk *b, struct item *item, const struct uuid *op)
{
    if (b->verb != VM_VERB_SAVE)
        return true;
    item->save.job = &item->op;
    if (save_plan(b->core, item->vm, &item->save, &item->err))
        return true;
    if (!b->origin->dry_run)
        vm_unclaim(b->core, item->vm, op);
    return false;
}

/* Claims what can be had; an operation that is given is one that will be. */
static void claim_all(struct bulk *b)
{
    for (size_t i = 0; i < b->n_found; i++) {
        struct item *item = b->by_id[i];
        struct uuid op = b->origin->dry_run ? (struct uuid){0} : uuid_new();

        if (sight_may(b->core, item->vm, &item->err) &&
            vm_claim(b->core, item->vm, b->verb, &op, vm_verb_kind(b->verb)->name, &item->err) &&
            plan_save(b, item, &op))
            item->op = op;
    }
}

static json_t *item_view(const struct item *item)
{
    json_t *v = json_object(), *vm = json_object();

    json_put_text(vm, "id", item->vm ? UUID_STR(&item->vm->id) : NULL);
    json_put_text(vm, "name", item->name);
    json_put(v, "vm", vm);
    json_put_text(v, "operation", uuid_is_zero(&item->op) ? NULL : UUID_STR(&item->op));
    json_put_err(v, "error", &item->err);
    return v;
}

static json_t *view(const struct bulk *b)
{
    json_t *all = json_object(), *items = json_array();

    for (size_t i = 0; i < b->n; i++)
        json_array_append_new(items, item_view(&b->items[i]));
    json_put(all, "items", items);
    return all;
}

/* The orders of what was claimed; '*n' of them. */
static struct job_order *orders_of(struct bulk *b, size_t *n)
{
    struct job_order *orders = mem_array(b->n + 1, sizeof *orders);

    for (size_t i = 0; i < b->n; i++) {
        struct item *item = &b->items[i];
        struct job_order *o = &orders[*n];

        if (uuid_is_zero(&item->op))
            continue;
        *o = (struct job_order){.kind = vm_verb_kind(b->verb),
                                .object_type = "vm",
                                .object = item->vm->id,
                                .object_name = item->name,
                                .args = b->args ? json_deep_copy(b->args) : NULL,
                                .id = item->op};
        if (b->verb == VM_VERB_SAVE) {
            o->args = json_deep_copy(item->save.args);
            o->also = save_plan_rows;
            o->ctx = &item->save;
        } else if (b->verb == VM_VERB_DELETE) {
            item->mark = (struct vm_mark){b->core, item->vm, &item->op};
            o->also = vm_delete_mark;
            o->ctx = &item->mark;
        }
        (*n)++;
    }
    return orders;
}

static bool submit(struct bulk *b, json_t *shown, struct err *err)
{
    size_t n = 0;
    CLEANUP(mem_freep) struct job_order *orders = orders_of(b, &n);
    bool ok = !n || job_submit_all(b->core, orders, n, shown, b->origin, err);

    for (size_t i = 0; i < b->n; i++) {
        struct item *item = &b->items[i];

        if (uuid_is_zero(&item->op))
            continue;
        if (!ok)
            vm_unclaim(b->core, item->vm, &item->op);
        else if (b->verb == VM_VERB_DELETE)
            vm_delete_marked(b->core, item->vm);
    }
    return ok;
}

static json_t *act_all(struct bulk *b, struct err *err)
{
    json_t *shown;

    claim_all(b);
    shown = view(b);
    if (b->origin->dry_run || submit(b, shown, err))
        return shown;
    json_decref(shown);
    return NULL;
}

/* Which locks a loop holds the compiler cannot follow. */
NO_TSA static void take_rows(const struct bulk *b)
{
    for (size_t i = 0; b->verb == VM_VERB_DELETE && i < b->n_found; i++)
        lock_take(&b->by_id[i]->vm->writing);
}

NO_TSA static void drop_rows(const struct bulk *b)
{
    for (size_t i = b->n_found; b->verb == VM_VERB_DELETE && i > 0; i--)
        lock_drop(&b->by_id[i - 1]->vm->writing);
}

json_t *vm_act_all(struct core *core, const json_t *refs, enum vm_verb verb, const json_t *args,
                   const struct origin *origin, struct err *err)
{
    CLEANUP(bulk_clear)
    struct bulk b = {.core = core, .verb = verb, .args = args, .origin = origin};
    json_t *shown;

    if (!find_all(&b, refs, err))
        return NULL;
    take_rows(&b);
    shown = act_all(&b, err);
    drop_rows(&b);
    return shown;
}
