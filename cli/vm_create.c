/* vmmctl vm create: flags and a file become one VmSpec. */
#include "cli/spec.h"
#include "cli/vm.h"
#include "cli/wait.h"
#include "core/base/json.h"
#include "core/base/mem.h"

#include <string.h>

const struct flag vm_create_flags[] = {
    {"vcpus", 0, "N", "virtual processors (default 1)"},
    {"memory", 0, "SIZE", "memory, such as 512M or 2G (default 512M)"},
    {"disk", 0, "size=SIZE,...",
     "a new disk; more keys: pool=NAME, format=qcow2|raw, bus=virtio|scsi|ide; may be repeated"},
    {"nic", 0, "none|user|...",
     "a network card; also network=user,model=virtio|e1000e,mac=MAC; may be repeated"},
    {"kernel", 0, "ENTRY", "boot this entry of the host directly (see: vmmctl host)"},
    {"cmdline", 0, "TEXT", "command line for that kernel"},
    {"label", 0, "KEY=VALUE", "may be repeated"},
    {"notes", 0, "TEXT", "free text"},
    {"machine", 0, "q35|pc", "board the guest sees"},
    {"accel", 0, "auto|kvm|tcg", "how it runs"},
    {"backend", 0, "qemu|fake", "fake has no guest; for work on user interfaces"},
    {"file", 'f', "FILE", "take the VM from this JSON file (- for standard input)"},
    {"start", 0, NULL, "start it when it is created"},
    {"dry-run", 0, NULL, "check everything, print what would be created, change nothing"},
    {0},
};

static json_t *read_spec(struct cli *cli, const char *path, struct fault *fault)
{
    CLEANUP(mem_freep) char *text = NULL;
    size_t len = 0;
    json_t *spec;
    struct err err;

    if (!cli_read_input(cli, path, &text, &len, fault))
        return NULL;
    spec = json_read(text, len, &err);
    if (!spec) {
        fault_set(fault, CLI_USAGE, "%.100s: %s", path, err.detail);
        return NULL;
    }
    if (json_is_object(spec))
        return spec;
    fault_set(fault, CLI_USAGE, "%.100s: a JSON object is expected", path);
    json_decref(spec);
    return NULL;
}

/* Flags whose value goes through spec_set()'s table. */
static bool add_simple(const struct args *args, json_t *spec, struct fault *fault)
{
    static const char *const names[] = {"vcpus",   "memory", "kernel", "cmdline",
                                        "machine", "accel",  "notes"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const char *value = args_text(args, names[i]);
        CLEANUP(mem_freep) char *set = value ? str_format("%s=%s", names[i], value) : NULL;

        if (set && !*value)
            return fault_set(fault, CLI_USAGE, "--%s is empty", names[i]);
        if (set && !spec_set(set, spec, fault))
            return false;
    }
    if (args_text(args, "backend"))
        json_put_text(spec, "backend", args_text(args, "backend"));
    return true;
}

static bool add_disks(const struct args *args, json_t *spec, struct fault *fault)
{
    json_t *disks = json_object_get(spec, "disks");
    const char *text;

    for (size_t i = 0; (text = args_nth(args, "disk", i)); i++) {
        json_t *disk = spec_disk(text, fault);

        if (!disk)
            return false;
        if (!json_is_array(disks)) {
            disks = json_array();
            json_put(spec, "disks", disks);
        }
        json_array_append_new(disks, disk);
    }
    return true;
}

static bool add_nics(const struct args *args, json_t *spec, struct fault *fault)
{
    json_t *nics = NULL;
    const char *text;

    for (size_t i = 0; (text = args_nth(args, "nic", i)); i++) {
        json_t *nic = NULL;

        if (!nics) {
            nics = json_array();
            json_put(spec, "nics", nics);
        }
        if (str_eq(text, "none")) {
            if (i || args_nth(args, "nic", 1))
                return fault_set(fault, CLI_USAGE, "--nic none stands alone");
            continue;
        }
        nic = spec_nic(text, fault);
        if (!nic)
            return false;
        json_array_append_new(nics, nic);
    }
    return true;
}

static bool add_labels(const struct args *args, json_t *spec, struct fault *fault)
{
    json_t *labels = json_object_get(spec, "labels");
    const char *text;

    for (size_t i = 0; (text = args_nth(args, "label", i)); i++) {
        if (!json_is_object(labels)) {
            labels = json_object();
            json_put(spec, "labels", labels);
        }
        if (!spec_label(text, labels, fault))
            return false;
    }
    return true;
}

static json_t *make_spec(struct cli *cli, struct fault *fault)
{
    const struct args *args = cli->args;
    const char *file = args_text(args, "file"), *name = cli_word(cli, 0);
    CLEANUP(json_decrefp) json_t *spec = file ? read_spec(cli, file, fault) : json_object();

    if (!spec)
        return NULL;
    if (name && !str_is_utf8(name, strlen(name))) {
        fault_set(fault, CLI_USAGE, "the name is not UTF-8");
        return NULL;
    }
    if (name)
        json_put_text(spec, "name", name);
    if (!json_object_get(spec, "name")) {
        fault_set(fault, CLI_USAGE, "NAME is missing: vmmctl vm create NAME");
        return NULL;
    }
    if (!add_simple(args, spec, fault) || !add_disks(args, spec, fault) ||
        !add_nics(args, spec, fault) || !add_labels(args, spec, fault))
        return NULL;
    return TAKE(spec);
}

static bool dry_run(struct cli *cli, const json_t *spec, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/vms?dry_run=true");
    CLEANUP(json_decrefp) json_t *reply = http_post(cli->http, path, spec, fault);
    const json_t *inner = json_object_get(reply, "spec");

    if (!reply)
        return false;
    cli_say(cli, "nothing was created; it would be this:");
    return output_object(cli, json_is_object(inner) ? inner : reply, vm_columns, fault);
}

bool vm_create_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/vms");
    CLEANUP(json_decrefp) json_t *spec = make_spec(cli, fault);
    CLEANUP(json_decrefp) json_t *end = NULL;
    const char *ref;

    if (!spec)
        return false;
    if (args_has(cli->args, "dry-run"))
        return dry_run(cli, spec, fault);
    if (args_has(cli->args, "start") && !cli->wait)
        return fault_set(fault, CLI_USAGE, "--start needs the created VM: leave --no-wait out");
    if (!wait_post(cli, path, spec, &end, fault) || !end)
        return fault->exit == CLI_OK;
    ref = json_get_text(json_object_get(end, "object"), "id");
    if (!ref)
        ref = json_get_text(spec, "name");
    cli_say(cli, "%s is created", json_get_text(spec, "name"));
    if (args_has(cli->args, "start") && !vm_action(cli, ref, "start", NULL, fault))
        return false;
    return vm_print(cli, ref, true, fault);
}
