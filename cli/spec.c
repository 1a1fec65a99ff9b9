/* VMs on the command line: see spec.h. */
#include "cli/spec.h"

#include "cli/member.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/model/vm.h"

#include <string.h>

static const struct member_of disk_member = {&vm_disk_model, "--disk", NULL};
static const struct member_of nic_member = {&vm_nic_model, "--nic", NULL};

/* What people call a member that has another path. */
static const struct alias {
    const char *name, *path;
} aliases[] = {
    {"kernel", "boot.kernel"},
    {"cmdline", "boot.cmdline"},
    {"overcommit", "memory_overcommit"},
    {0},
};

/* "8G", "8G,pool=fast" or "size=8G,pool=fast": the size is the one key that is always there. */
json_t *spec_disk(const char *text, struct fault *fault)
{
    bool bare = text[strcspn(text, "=,")] != '=' && *text;
    CLEANUP(mem_freep) char *full = str_format("%s%s", bare ? "size=" : "", text);
    json_t *disk = member_list(&disk_member, full, fault);

    if (!disk || json_object_get(disk, "size_bytes"))
        return disk;
    json_decref(disk);
    fault_set(fault, CLI_USAGE, "--disk '%.60s' has no size; write 8G or size=8G", text);
    return NULL;
}

json_t *spec_disk_sized(const char *text, struct fault *fault)
{
    return member_list(&disk_member, text, fault);
}

json_t *spec_nic(const char *text, struct fault *fault)
{
    json_t *nic;

    if (strchr(text, '='))
        return member_list(&nic_member, text, fault);
    nic = json_object();
    if (member_set(&nic_member, nic, "network", text, fault))
        return nic;
    json_decref(nic);
    return NULL;
}

bool spec_label(const char *text, json_t *labels, struct fault *fault)
{
    const char *equals = strchr(text, '=');
    CLEANUP(mem_freep) char *key = equals ? str_format("%.*s", (int)(equals - text), text) : NULL;

    if (!key || !*key || !str_is_utf8(text, strlen(text)))
        return fault_set(fault, CLI_USAGE, "--label '%.60s': write key=value", text);
    json_put_text(labels, key, equals + 1);
    return true;
}

bool spec_put(const char *key, const char *text, const json_t *known, json_t *spec,
              struct fault *fault)
{
    struct member_of vm = {&vm_model, "a VM", known};

    for (const struct alias *a = aliases; a->name; a++)
        if (str_eq(a->name, key))
            key = a->path;
    if (str_starts(key, "label.")) {
        CLEANUP(mem_freep) char *path = str_format("labels.%s", key + 6);
        return member_set(&vm, spec, path, text, fault);
    }
    return member_set(&vm, spec, key, text, fault);
}

bool spec_set(const char *text, const json_t *known, json_t *spec, struct fault *fault)
{
    const char *equals = strchr(text, '=');
    CLEANUP(mem_freep)
    char *key = equals ? str_format("%.*s", (int)(equals - text), text) : NULL;

    if (!key)
        return fault_set(fault, CLI_USAGE, "--set '%.60s': write key=value, such as memory=1G",
                         text);
    return spec_put(key, equals + 1, known, spec, fault);
}

json_t *spec_overlay(const json_t *present, const json_t *wanted)
{
    json_t *laid, *value;
    const char *key;
    size_t i;

    if (json_is_object(present) && json_is_object(wanted)) {
        laid = json_deep_copy(present);
        json_object_foreach ((json_t *)wanted, key, value)
            json_put(laid, key, spec_overlay(json_object_get(present, key), value));
        return laid;
    }
    if (!json_is_array(present) || !json_is_array(wanted))
        return json_deep_copy(wanted);
    laid = json_array();
    json_array_foreach (wanted, i, value)
        json_array_append_new(laid, spec_overlay(json_array_get(present, i), value));
    return laid;
}

json_t *spec_diff(const json_t *from, const json_t *to)
{
    json_t *patch = json_object();
    const char *key;
    json_t *value;

    json_object_foreach ((json_t *)to, key, value) {
        const json_t *old = json_object_get(from, key);
        if (json_is_object(old) && json_is_object(value)) {
            json_t *deeper = spec_diff(old, value);

            if (json_object_size(deeper))
                json_object_set(patch, key, deeper);
            json_decref(deeper);
        } else if (old ? !json_equal(old, value) : !json_is_null(value)) {
            json_object_set(patch, key, value);
        }
    }
    json_object_foreach ((json_t *)from, key, value)
        if (!json_object_get(to, key) && !json_is_null(value))
            json_put(patch, key, NULL);
    return patch;
}
