/* VMs as the API shows them: schemas Vm and VmList. */
#include "core/vm/vm.h"

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/disks.h"
#include "core/vm/registry.h"
#include "core/vm/restart.h"

#include <stdlib.h>
#include <string.h>

const char *vm_derived_state(const struct vm *vm)
{
    if (vm->phase == VM_CREATING)
        return "creating";
    if (vm->phase == VM_DELETING)
        return "deleting";
    if (!vm_run_is_live(vm->run) &&
        (str_eq(vm->job_kind, "vm.start") || str_eq(vm->job_kind, "vm.restart")))
        return "starting";
    return vm_run_text(vm->run);
}

static json_t *run_view(const struct vm *vm)
{
    json_t *v = json_object();
    bool live = vm_run_is_live(vm->run);

    json_put_text(v, "state", vm_run_text(vm->run));
    json_put_text(v, "reason", vm_reason_text(vm->reason));
    json_put_text(v, "detail", vm->detail);
    json_put_time(v, "since", vm->state_since_ms);
    json_put_time(v, "restart_at", restart_is_due(vm) ? vm->restarts->due_ms : 0);
    json_put_text(v, "accel", live && vm->accel_reason[0] ? vm_accel_names[vm->accel] : NULL);
    json_put_text(v, "accel_reason", live && vm->accel_reason[0] ? vm->accel_reason : NULL);
    return v;
}

static json_t *actions_view(const struct vm *vm)
{
    json_t *list = json_array();
    bool held = !uuid_is_zero(&vm->job) || vm->phase != VM_DEFINED;

    for (unsigned verb = 0; verb < VM_VERB_COUNT; verb++) {
        bool may =
            vm_may((enum vm_verb)verb, vm->run) || (verb == VM_VERB_STOP && restart_is_due(vm));
        if (may && (!held || !vm_verb_is_exclusive((enum vm_verb)verb)))
            json_array_append_new(list, json_string(vm_verb_text((enum vm_verb)verb)));
    }
    return list;
}

static json_t *job_view(const struct vm *vm)
{
    json_t *v;

    if (uuid_is_zero(&vm->job))
        return NULL;
    v = json_object();
    json_put_text(v, "id", UUID_STR(&vm->job));
    json_put_text(v, "kind", vm->job_kind);
    return v;
}

json_t *vm_view(struct core *core, const struct vm *vm)
{
    json_t *v = model_encode(&vm_model, &vm->spec);
    json_t *disks = json_object_get(v, "disks"), *disk;
    size_t i;

    json_array_foreach (disks, i, disk)
        json_put(disk, "pool", pool_name_of(core, vm->spec.disks[i].pool));
    json_put_text(v, "id", UUID_STR(&vm->id));
    json_put_text(v, "state", vm_derived_state(vm));
    json_put(v, "run", run_view(vm));
    json_put_text(v, "desired", vm_desired_text(vm->desired));
    json_put(v, "job", job_view(vm));
    json_put(v, "actions", actions_view(vm));
    json_put(v, "pending", vm->active ? model_pending(&vm_model, vm->active, &vm->spec) : NULL);
    json_put_text(v, "pending_reason", vm->pending_reason[0] ? vm->pending_reason : NULL);
    json_put_u64(v, "revision", vm->revision);
    json_put_time(v, "created_at", vm->created_ms);
    json_put_time(v, "updated_at", vm->updated_ms);
    return v;
}

json_t *vm_show(struct core *core, const char *ref, struct etag *etag, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get(core, ref, err)};
    json_t *v;

    if (!hold.vm)
        return NULL;
    lock_take(&core->registry.lock);
    v = vm_view(core, hold.vm);
    *etag = (struct etag){hold.vm->revision, hold.vm->state_revision};
    lock_drop(&core->registry.lock);
    return v;
}

static bool is_as_shown(const struct vm *vm)
{
    const struct vm_shown *s = &vm->shown;

    return s->text && s->revision == vm->revision && s->state_revision == vm->state_revision &&
           uuid_eq(&s->job, &vm->job) && s->phase == vm->phase && s->accel == vm->accel &&
           s->has_reason == (vm->accel_reason[0] != 0);
}

static void make_shown(struct core *core, struct vm *vm) REQUIRES(core->registry.lock);
static void make_shown(struct core *core, struct vm *vm)
{
    CLEANUP(json_decrefp) json_t *view = vm_view(core, vm);

    free(vm->shown.text);
    vm->shown = (struct vm_shown){.revision = vm->revision,
                                  .state_revision = vm->state_revision,
                                  .job = vm->job,
                                  .phase = vm->phase,
                                  .accel = vm->accel,
                                  .has_reason = vm->accel_reason[0] != 0,
                                  .text = json_write(view)};
    vm->shown.len = vm->shown.text ? strlen(vm->shown.text) : 0;
}

char *vm_show_text(struct core *core, const char *ref, struct etag *etag, size_t *len,
                   struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get(core, ref, err)};
    struct vm *vm = hold.vm;
    char *copy = NULL;

    if (!vm)
        return NULL;
    lock_take(&core->registry.lock);
    if (!is_as_shown(vm))
        make_shown(core, vm);
    if (vm->shown.text)
        copy = mem_dup(vm->shown.text, vm->shown.len + 1);
    *len = vm->shown.len;
    *etag = (struct etag){vm->revision, vm->state_revision};
    lock_drop(&core->registry.lock);
    if (!copy)
        err_set(err, ERR_INTERNAL, "the VM could not be written as JSON");
    return copy;
}

/* ---- filter: "member==value" terms joined by ',', all of which must hold ---- */

struct term {
    char *member, *value;
};

struct filter {
    struct term terms[8];
    size_t n;
};

static void filter_clear(struct filter *f)
{
    for (size_t i = 0; i < f->n; i++) {
        free(f->terms[i].member);
        free(f->terms[i].value);
    }
}

static bool known_member(const char *name)
{
    static const char *const known[] = {"state", "name", "backend", "accel", "machine", "desired"};

    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (strcmp(known[i], name) == 0)
            return true;
    return str_starts(name, "label.");
}

static bool filter_parse(const char *text, struct filter *f, struct err *err)
{
    CLEANUP(mem_freep) char *copy = str_dup(text ? text : "");
    char *save = NULL;

    for (char *t = strtok_r(copy, ",", &save); t; t = strtok_r(NULL, ",", &save)) {
        char *equals = strstr(t, "==");
        if (!equals || f->n == ARRAY_LEN(f->terms))
            return err_field(err, ERR_INVALID, "/filter",
                             "a filter has up to 8 terms such as state==running,label.ci==true");
        *equals = 0;
        if (!known_member(t))
            return err_field(err, ERR_INVALID, "/filter",
                             "cannot filter by '%.40s': known are state, name, backend, accel, "
                             "machine, desired and label.KEY",
                             t);
        f->terms[f->n++] = (struct term){str_dup(t), str_dup(equals + 2)};
    }
    return true;
}

static const char *member_of(const struct vm *vm, const char *name)
{
    if (str_starts(name, "label."))
        return json_get_text(vm->spec.labels, name + strlen("label."));
    if (strcmp(name, "state") == 0)
        return vm_derived_state(vm);
    if (strcmp(name, "name") == 0)
        return vm->name;
    if (strcmp(name, "backend") == 0)
        return vm_backend_names[vm->backend];
    if (strcmp(name, "accel") == 0)
        return vm_accel_names[vm->spec.accel];
    if (strcmp(name, "machine") == 0)
        return vm_machine_names[vm->spec.machine];
    return vm_desired_text(vm->desired);
}

static bool matches(const struct vm *vm, const struct filter *f)
{
    for (size_t i = 0; i < f->n; i++)
        if (!str_eq(member_of(vm, f->terms[i].member), f->terms[i].value))
            return false;
    return true;
}

/* ---- list ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp((*(struct vm *const *)a)->spec.name, (*(struct vm *const *)b)->spec.name);
}

static struct vm **sorted(struct registry *r, size_t *n) REQUIRES(r->lock);
static struct vm **sorted(struct registry *r, size_t *n)
{
    struct vm **all = mem_array(HASH_CNT(by_id, r->vms_by_id) + 1, sizeof(struct vm *));
    struct vm *vm, *next;

    *n = 0;
    HASH_ITER (by_id, r->vms_by_id, vm, next)
        all[(*n)++] = vm;
    qsort(all, *n, sizeof *all, by_name);
    return all;
}

json_t *vm_list(struct core *core, const char *filter, unsigned page_size, const char *page_token,
                struct err *err)
{
    CLEANUP(filter_clear) struct filter f = {0};
    CLEANUP(mem_freep) struct vm **all = NULL;
    char last[NAME_MAX_BYTES + 1] = "";
    json_t *items;
    size_t n, i = 0;

    if (!filter_parse(filter, &f, err))
        return NULL;
    items = json_array();
    lock_take(&core->registry.lock);
    all = sorted(&core->registry, &n);
    while (i < n && page_token && strcmp(all[i]->spec.name, page_token) <= 0)
        i++;
    for (; i < n && json_array_size(items) < page_size; i++) {
        str_copy(last, sizeof last, all[i]->spec.name);
        if (matches(all[i], &f))
            json_array_append_new(items, vm_view(core, all[i]));
    }
    lock_drop(&core->registry.lock);
    return page_wrap(items, i < n ? last : NULL);
}
