/* The table of guest profiles and how it is applied: see profile.h. */
#include "core/model/profile.h"

#include "core/base/str.h"

#include <assert.h>

/* clang-format off */ /* a table */
const struct profile profiles[] = {
    [PROFILE_LINUX] = {
        .help = "Linux since 2.6.25, with virtio devices",
        .defaults = "{}", .disk = "{}", .nic = "{}"},
    [PROFILE_LINUX_LEGACY] = {
        .help = "old Linux without virtio: emulated devices on the older board",
        .defaults = "{\"machine\":\"pc\",\"rng\":false,\"pointer\":\"mouse\"}",
        .disk = "{\"bus\":\"ide\"}", .nic = "{\"model\":\"e1000\"}"},
    [PROFILE_WINDOWS_11] = {
        .help = "Windows 11 and Server 2022: UEFI with Secure Boot, devices Windows has drivers for",
        .defaults = "{\"vcpus\":2,\"memory_bytes\":4294967296,\"clock\":\"localtime\",\"hyperv\":true,"
                    "\"firmware\":{\"type\":\"uefi\",\"secure_boot\":true}}",
        .disk = "{\"bus\":\"ide\"}", .nic = "{\"model\":\"e1000e\"}"},
    [PROFILE_WINDOWS_10] = {
        .help = "Windows 8 to 10, Server 2012 to 2019: UEFI, devices Windows has drivers for",
        .defaults = "{\"vcpus\":2,\"memory_bytes\":2147483648,\"clock\":\"localtime\",\"hyperv\":true,"
                    "\"firmware\":{\"type\":\"uefi\"}}",
        .disk = "{\"bus\":\"ide\"}", .nic = "{\"model\":\"e1000e\"}"},
    [PROFILE_WINDOWS_LEGACY] = {
        .help = "Windows 2000 to 7: BIOS and devices of their time",
        .defaults = "{\"machine\":\"pc\",\"clock\":\"localtime\",\"rng\":false}",
        .disk = "{\"bus\":\"ide\"}", .nic = "{\"model\":\"rtl8139\"}"},
    [PROFILE_BSD] = {
        .help = "FreeBSD, OpenBSD, NetBSD: virtio devices",
        .defaults = "{\"memory_bytes\":1073741824}", .disk = "{}", .nic = "{}"},
    [PROFILE_DOS] = {
        .help = "DOS and its like: BIOS, IDE, little memory",
        .defaults = "{\"machine\":\"pc\",\"memory_bytes\":67108864,\"clock\":\"localtime\",\"rng\":false,"
                    "\"pointer\":\"mouse\",\"video\":{\"model\":\"cirrus\"}}",
        .disk = "{\"bus\":\"ide\"}", .nic = "{\"model\":\"rtl8139\"}"},
    [PROFILE_OTHER] = {
        .help = "anything else: emulated devices nearly every system knows",
        .defaults = "{\"rng\":false}",
        .disk = "{\"bus\":\"ide\"}", .nic = "{\"model\":\"e1000e\"}"},
};
/* clang-format on */
_Static_assert(ARRAY_LEN(profiles) == PROFILE_OTHER + 1, "a profile a name");

static const struct profile *profile_of(const json_t *value, const struct profile *otherwise)
{
    const char *name = json_string_value(json_object_get(value, "profile"));

    for (unsigned i = 0; name && vm_profile_names[i]; i++)
        if (str_eq(name, vm_profile_names[i]))
            return &profiles[i];
    return otherwise;
}

static json_t *table_json(const char *text)
{
    json_t *value = json_loads(text, 0, NULL);

    assert(value);
    return value;
}

/* Gives 'object' the members of 'defaults' that it lacks, inside objects too. Takes 'defaults'. */
static void fill(json_t *object, json_t *defaults)
{
    const char *name;
    json_t *value;

    if (json_is_object(object))
        json_object_foreach (defaults, name, value) {
            json_t *has = json_object_get(object, name);
            if (!has)
                json_object_set(object, name, value);
            else if (json_is_object(has) && json_is_object(value))
                fill(has, json_incref(value));
        }
    json_decref(defaults);
}

static void fill_each(json_t *list, const char *defaults)
{
    size_t i;
    json_t *item;

    json_array_foreach (list, i, item)
        fill(item, table_json(defaults));
}

bool vm_spec_decode(const json_t *value, struct vm_spec *out, struct err *err)
{
    CLEANUP(json_decrefp) json_t *full = json_deep_copy(value);
    const struct profile *profile = profile_of(value, &profiles[PROFILE_LINUX]);

    fill(full, table_json(profile->defaults));
    if (json_is_object(full) && !json_object_get(full, "nics"))
        json_put(full, "nics", table_json("[{\"network\":\"user\"}]"));
    fill_each(json_object_get(full, "disks"), profile->disk);
    fill_each(json_object_get(full, "nics"), profile->nic);
    return model_decode(&vm_model, full, MODEL_CLIENT, out, err);
}

bool vm_disk_decode(int profile, const json_t *value, struct vm_disk *out, struct err *err)
{
    CLEANUP(json_decrefp) json_t *full = json_deep_copy(value);

    fill(full, table_json(profiles[profile].disk));
    return model_decode(&vm_disk_model, full, MODEL_CLIENT, out, err);
}

/* In 'patch', a null where the profile has a default becomes that default; so does a null inside an
 * object. What remains null gets the field table's default by model_patch(). */
static void replace_nulls(json_t *patch, const json_t *defaults)
{
    const char *name;
    json_t *value;

    json_object_foreach ((json_t *)defaults, name, value) {
        json_t *has = json_object_get(patch, name);
        if (json_is_null(has))
            json_object_set(patch, name, value);
        else if (json_is_object(has) && json_is_object(value))
            replace_nulls(has, value);
    }
}

bool vm_spec_patch(const struct vm_spec *spec, const json_t *patch, struct vm_spec *out,
                   struct err *err)
{
    CLEANUP(json_decrefp) json_t *full = json_deep_copy(patch);
    const struct profile *profile = profile_of(patch, &profiles[spec->profile]);
    CLEANUP(json_decrefp) json_t *defaults = table_json(profile->defaults);

    replace_nulls(full, defaults);
    fill_each(json_object_get(full, "nics"), profile->nic);
    return model_patch(&vm_model, spec, full, out, err);
}
