/* VMs on the command line: see spec.h. The service checks the values; here only their form counts,
 * so that a newer service with more formats or buses needs no newer vmmctl. */
#include "cli/spec.h"

#include "cli/quantity.h"
#include "cli/suggest.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <string.h>

enum value { VALUE_TEXT, VALUE_SIZE, VALUE_NUMBER, VALUE_SECONDS };

struct key {
    const char *name;
    const char *object; /* member that holds it, or NULL */
    const char *member;
    enum value value;
    const char *help;
};

static const struct key disk_keys[] = {
    {"size", NULL, "size_bytes", VALUE_SIZE, NULL},
    {"pool", NULL, "pool", VALUE_TEXT, NULL},
    {"format", NULL, "format", VALUE_TEXT, NULL},
    {"bus", NULL, "bus", VALUE_TEXT, NULL},
    {0},
};
static const struct key nic_keys[] = {
    {"network", NULL, "network", VALUE_TEXT, NULL},
    {"model", NULL, "model", VALUE_TEXT, NULL},
    {"mac", NULL, "mac", VALUE_TEXT, NULL},
    {0},
};
static const struct key vm_keys[] = {
    {"name", NULL, "name", VALUE_TEXT, "its name"},
    {"notes", NULL, "notes", VALUE_TEXT, "free text"},
    {"vcpus", NULL, "vcpus", VALUE_NUMBER, "virtual processors"},
    {"memory", NULL, "memory_bytes", VALUE_SIZE, "memory, such as 1G"},
    {"machine", NULL, "machine", VALUE_TEXT, "q35 or pc"},
    {"accel", NULL, "accel", VALUE_TEXT, "auto, kvm or tcg"},
    {"kernel", "boot", "kernel", VALUE_TEXT, "boot entry of the host"},
    {"cmdline", "boot", "cmdline", VALUE_TEXT, "command line of that kernel"},
    {"shutdown_timeout", NULL, "shutdown_timeout_s", VALUE_SECONDS, "grace of a shutdown"},
    {0},
};

static bool put_value(const struct key *key, const char *text, json_t *object, struct fault *fault)
{
    uint64_t number;
    int64_t ms;

    if (!*text)
        json_put(object, key->member, NULL);
    else if (key->value == VALUE_TEXT && str_is_utf8(text, strlen(text)))
        json_put_text(object, key->member, text);
    else if (key->value == VALUE_SIZE && size_parse(text, &number) && number <= INT64_MAX)
        json_put_u64(object, key->member, number);
    else if (key->value == VALUE_NUMBER && str_to_u64(text, &number) && number <= INT64_MAX)
        json_put_u64(object, key->member, number);
    else if (key->value == VALUE_SECONDS && duration_parse(text, &ms))
        json_put_u64(object, key->member, (uint64_t)(ms + 999) / 1000);
    else
        return fault_set(fault, CLI_USAGE, "%s=%.40s: expected %s", key->name, text,
                         key->value == VALUE_SIZE      ? "a size such as 512M or 1G"
                         : key->value == VALUE_NUMBER  ? "a number"
                         : key->value == VALUE_SECONDS ? "a time such as 60s or 5m"
                                                       : "UTF-8 text");
    return true;
}

static const struct key *find_key(const struct key *keys, const char *name, size_t len)
{
    for (const struct key *k = keys; k->name; k++)
        if (strlen(k->name) == len && strncmp(k->name, name, len) == 0)
            return k;
    return NULL;
}

static bool unknown_key(const struct key *keys, const char *name, size_t len, const char *what,
                        struct fault *fault)
{
    CLEANUP(mem_freep) char *typed = str_format("%.*s", (int)(len > 40 ? 40 : len), name);
    struct suggest s = {.typed = typed};
    struct strbuf known = {0};
    char did_you[96];

    for (const struct key *k = keys; k->name; k++) {
        suggest_try(&s, k->name);
        strbuf_addf(&known, "%s%s", known.len ? ", " : "", k->name);
    }
    fault_set(fault, CLI_USAGE, "%s has no '%s'%s (it has: %s)", what, typed,
              suggest_text(&s, "", did_you), known.data);
    strbuf_clear(&known);
    return false;
}

/* "a=b,c=d" by a table of keys. */
static json_t *parse_list(const struct key *keys, const char *text, const char *what,
                          struct fault *fault)
{
    CLEANUP(mem_freep) char *copy = str_dup(text);
    CLEANUP(json_decrefp) json_t *object = json_object();
    char *rest = copy, *part;

    while ((part = strsep(&rest, ","))) {
        char *value = strchr(part, '=');
        const struct key *key = value ? find_key(keys, part, (size_t)(value - part)) : NULL;

        if (!value || !value[1]) {
            fault_set(fault, CLI_USAGE, "%s '%.60s': write key=value with commas between", what,
                      text);
            return NULL;
        }
        if (!key) {
            unknown_key(keys, part, (size_t)(value - part), what, fault);
            return NULL;
        }
        if (json_object_get(object, key->member)) {
            fault_set(fault, CLI_USAGE, "%s: '%s' is given twice", what, key->name);
            return NULL;
        }
        if (!put_value(key, value + 1, object, fault))
            return NULL;
    }
    return TAKE(object);
}

json_t *spec_disk(const char *text, struct fault *fault)
{
    json_t *disk = parse_list(disk_keys, text, "--disk", fault);

    if (!disk || json_object_get(disk, "size_bytes"))
        return disk;
    json_decref(disk);
    fault_set(fault, CLI_USAGE, "--disk '%.60s' has no size; write size=8G", text);
    return NULL;
}

json_t *spec_nic(const char *text, struct fault *fault)
{
    json_t *nic;

    if (strchr(text, '='))
        return parse_list(nic_keys, text, "--nic", fault);
    nic = json_object();
    if (put_value(&nic_keys[0], text, nic, fault))
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

static json_t *inner(json_t *object, const char *member)
{
    json_t *found = json_object_get(object, member);

    if (!json_is_object(found)) {
        found = json_object();
        json_put(object, member, found);
    }
    return found;
}

bool spec_set(const char *text, json_t *patch, struct fault *fault)
{
    const char *equals = strchr(text, '=');
    const struct key *key = equals ? find_key(vm_keys, text, (size_t)(equals - text)) : NULL;

    if (!equals)
        return fault_set(fault, CLI_USAGE, "--set '%.60s': write key=value, such as memory=1G",
                         text);
    if (str_starts(text, "label.")) {
        json_t *labels = inner(patch, "labels");
        CLEANUP(mem_freep) char *name = str_format("%.*s", (int)(equals - text - 6), text + 6);
        if (!*name || !str_is_utf8(text, strlen(text)))
            return fault_set(fault, CLI_USAGE, "--set '%.60s': write label.KEY=VALUE", text);
        json_put_text(labels, name, equals[1] ? equals + 1 : NULL);
        return true;
    }
    if (!key)
        return unknown_key(vm_keys, text, (size_t)(equals - text), "a VM", fault);
    return put_value(key, equals + 1, key->object ? inner(patch, key->object) : patch, fault);
}

const char *spec_key(size_t i, const char **help)
{
    *help = vm_keys[i].help;
    return vm_keys[i].name;
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
        } else if (!old || !json_equal(old, value)) {
            json_object_set(patch, key, value);
        }
    }
    json_object_foreach ((json_t *)from, key, value)
        if (!json_object_get(to, key))
            json_put(patch, key, NULL);
    return patch;
}
