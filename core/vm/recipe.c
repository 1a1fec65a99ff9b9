/* What POST /vms says, as a whole configuration: the members that are given, over those of a
 * template or of another VM. What belongs to one VM alone (its name, MAC addresses, ids) is not
 * taken over, so the new VM gets its own. */
#include "core/vm/vm.h"

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/disks.h"
#include "core/model/profile.h"
#include "core/template/template.h"
#include "core/vm/registry.h"

#include <stdio.h>

static void strip_each(json_t *list, const char *member)
{
    json_t *item;
    size_t i;

    json_array_foreach (list, i, item)
        json_object_del(item, member);
}

static json_t *spec_of_vm(struct core *core, const char *ref, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get(core, ref, err)};
    json_t *spec;

    if (!hold.vm)
        return NULL;
    lock_take(&core->registry.lock);
    spec = model_encode(&vm_model, &hold.vm->spec);
    lock_drop(&core->registry.lock);
    json_object_del(spec, "name");
    json_object_del(spec, "generation_id");
    strip_each(json_object_get(spec, "disks"), "id");
    strip_each(json_object_get(spec, "nics"), "mac");
    return spec;
}

/* The text of a member that leaves 'body'; '*out' NULL when absent. */
static bool take_ref(json_t *body, const char *member, char **out, struct err *err)
{
    CLEANUP(json_decrefp) json_t *value = json_incref(json_object_get(body, member));
    char pointer[24];

    json_object_del(body, member);
    if (!value || json_is_null(value))
        return true;
    *out = str_dup(json_string_value(value));
    if (*out && **out && json_string_length(value) <= NAME_MAX_BYTES)
        return true;
    snprintf(pointer, sizeof pointer, "/%s", member);
    return err_field(err, ERR_INVALID, pointer, "%s must be an id or a name of 1 to 63 bytes",
                     member);
}

static bool take_flag(json_t *body, const char *member, bool *out, struct err *err)
{
    CLEANUP(json_decrefp) json_t *value = json_incref(json_object_get(body, member));

    json_object_del(body, member);
    *out = json_is_true(value);
    return !value || json_is_boolean(value) || json_is_null(value) ||
           err_field(err, ERR_INVALID, "/start", "%s must be true or false", member);
}

/* What the new VM is to be like: '*out' NULL when that was not said. */
static bool take_base(struct core *core, json_t *body, json_t **out, struct err *err)
{
    CLEANUP(mem_freep) char *template = NULL, *copy_of = NULL;

    if (!take_ref(body, "template", &template, err) || !take_ref(body, "copy_of", &copy_of, err))
        return false;
    if (!template && !copy_of)
        return true;
    if (template && copy_of)
        return err_field(err, ERR_INVALID, "/copy_of",
                         "a VM is made from a template or as a copy of another VM, not both");
    *out = template ? template_spec(core, template, err) : spec_of_vm(core, copy_of, err);
    return *out || err_under(err, template ? "/template" : "/copy_of");
}

/* A disk that says no format has that of its pool, if there is such a pool. */
static void choose_formats(struct core *core, json_t *disks)
{
    json_t *disk;
    size_t i;

    json_array_foreach (disks, i, disk)
        if (json_is_object(disk) && !json_object_get(disk, "format"))
            json_put_text(disk, "format", pool_format(core, json_get_text(disk, "pool")));
}

static bool decode(struct core *core, json_t *said, struct vm_spec *spec, struct err *err)
{
    choose_formats(core, json_object_get(said, "disks"));
    return vm_spec_decode(said, spec, err);
}

bool vm_create_decode(struct core *core, const json_t *body, struct vm_spec *spec, bool *start,
                      struct err *err)
{
    CLEANUP(json_decrefp) json_t *said = json_deep_copy(body), *whole = NULL;
    CLEANUP(vm_spec_clear) struct vm_spec alone = {0};

    if (!json_is_object(body))
        return err_field(err, ERR_INVALID, "", "a JSON object is expected here (VmCreate)");
    if (!take_flag(said, "start", start, err) || !take_base(core, said, &whole, err))
        return false;
    if (!whole)
        return decode(core, said, spec, err);
    if (!vm_spec_decode(said, &alone, err)) /* also what is null, and would not be seen below */
        return false;
    json_merge(whole, said);
    return decode(core, whole, spec, err);
}
