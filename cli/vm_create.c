/* vmmctl vm create: flags and a file become one VmSpec. */
#include "cli/condition.h"
#include "cli/document.h"
#include "cli/member.h"
#include "cli/spec.h"
#include "cli/vm.h"
#include "cli/wait.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/model/vm.h"

#include <string.h>

const struct flag vm_create_flags[] = {
    {"template", 0, "TEMPLATE", "make it from this template; flags and -f stand above that"},
    {"like", 0, "VM", "make it like another VM, with empty disks of the same sizes"},
    {"start", 0, NULL, "start it when it is created"},
    /* VM_SPEC_FLAGS */
    {"file", 'f', "FILE", "take it from this YAML or JSON file (- for standard input)"},
    {"dry-run", 0, NULL, "check everything, print what would be created, change nothing"},
    {"profile", 0, "GUEST",
     "kind of guest, which chooses the defaults: linux (the default), windows-11, bsd, other, …"},
    {"vcpus", 0, "N", "virtual processors (default 1)"},
    {"max-vcpus", 0, "N", "up to which vcpus can grow while it runs"},
    {"cpu-model", 0, "MODEL", "processor model of QEMU, such as Skylake-Server"},
    {"sockets", 0, "N", "processor sockets"},
    {"cores", 0, "N", "cores a socket"},
    {"threads", 0, "N", "threads a core"},
    {"memory", 0, "SIZE", "memory, such as 512M or 2G (default 512M)"},
    {"overcommit", 0, NULL, "start it even when the host has not that much memory free"},
    {"disk", 0, "SIZE,...",
     "a new disk, such as 8G; more keys: pool=NAME, format=qcow2|raw, bus=virtio|scsi|ide; may be "
     "repeated"},
    {"cdrom", 0, "ISO", "a CD drive with this medium (see: vmmctl media list); may be repeated"},
    {"nic", 0, "none|user|...",
     "a network card; also network=user,model=virtio|e1000e,mac=MAC; may be repeated"},
    {"firmware", 0, "bios|uefi", "what starts the guest"},
    {"secure-boot", 0, NULL, "only signed boot loaders start (with uefi)"},
    {"boot-order", 0, "KINDS", "what the firmware tries: disk,cdrom,network"},
    {"kernel", 0, "ENTRY", "boot this entry of the host directly (see: vmmctl host)"},
    {"cmdline", 0, "TEXT", "command line for that kernel"},
    {"video", 0, "MODEL", "graphics card: std, virtio, qxl, cirrus or none"},
    {"heads", 0, "N", "displays"},
    {"serial-ports", 0, "N", "serial ports; the first one is the console (default 1)"},
    {"clock", 0, "utc|localtime", "what the guest's hardware clock shows"},
    {"watchdog", 0, "none|i6300esb", "a device that says when the guest hangs"},
    {"autostart", 0, NULL, "start it with the host"},
    {"restart", 0, "POLICY", "when it ends by itself: never, on-crash or always"},
    {"label", 0, "KEY=VALUE", "may be repeated"},
    {"notes", 0, "TEXT", "free text"},
    {"machine", 0, "q35|pc", "board the guest sees"},
    {"accel", 0, "auto|kvm|tcg", "how it runs"},
    {"backend", 0, "qemu|fake", "fake has no guest; for work on user interfaces"},
    {"set", 0, "MEMBER=VALUE",
     "any member by its path, such as cpu.max_vcpus=4; man vmmctl-vm lists them; may be repeated"},
    {0},
};

/* Flags that say one member each. */
static const struct member_flag {
    const char *flag, *path;
} member_flags[] = {
    {"profile", "profile"},
    {"vcpus", "vcpus"},
    {"max-vcpus", "cpu.max_vcpus"},
    {"cpu-model", "cpu.model"},
    {"sockets", "cpu.sockets"},
    {"cores", "cpu.cores"},
    {"threads", "cpu.threads"},
    {"memory", "memory_bytes"},
    {"overcommit", "memory_overcommit"},
    {"firmware", "firmware.type"},
    {"secure-boot", "firmware.secure_boot"},
    {"boot-order", "boot.order"},
    {"kernel", "boot.kernel"},
    {"cmdline", "boot.cmdline"},
    {"video", "video.model"},
    {"heads", "video.heads"},
    {"serial-ports", "serial_ports"},
    {"clock", "clock"},
    {"watchdog", "watchdog"},
    {"autostart", "autostart.enabled"},
    {"restart", "restart.policy"},
    {"machine", "machine"},
    {"accel", "accel"},
    {"notes", "notes"},
    {"backend", "backend"},
};

const struct field *vm_flag_field(const struct command *command, const char *flag)
{
    if (command->flags != vm_create_flags && command->flags != vm_create_flags + VM_SPEC_FLAGS)
        return NULL;
    for (size_t i = 0; i < ARRAY_LEN(member_flags); i++)
        if (str_eq(member_flags[i].flag, flag))
            return member_find(&vm_model, member_flags[i].path);
    return NULL;
}

static json_t *read_spec(struct cli *cli, const char *path, struct fault *fault)
{
    CLEANUP(json_decrefp) json_t *documents = document_read(cli, path, fault);
    json_t *spec = json_array_get(documents, 0);

    if (!documents)
        return NULL;
    if (json_array_size(documents) == 1 && json_is_object(spec)) {
        if (str_eq(json_get_text(spec, "kind"), "vm"))
            json_object_del(spec, "kind"); /* as vmmctl apply takes it */
        member_tidy(&vm_model, spec);
        return json_incref(spec);
    }
    fault_set(fault, CLI_USAGE, "%.100s: one VM is expected, a JSON object or a YAML mapping",
              path);
    return NULL;
}

static bool add_members(const struct args *args, json_t *spec, struct fault *fault)
{
    const char *text;

    for (size_t i = 0; i < ARRAY_LEN(member_flags); i++) {
        const struct member_flag *m = &member_flags[i];

        if (!args_has(args, m->flag))
            continue;
        text = args_text_or(args, m->flag, "true");
        if (!*text)
            return fault_set(fault, CLI_USAGE, "--%s is empty", m->flag);
        if (!spec_put(m->path, text, NULL, spec, fault))
            return false;
    }
    return true;
}

static bool add_sets(const struct args *args, json_t *spec, struct fault *fault)
{
    const char *text;

    for (size_t i = 0; (text = args_nth(args, "set", i)); i++)
        if (!spec_set(text, NULL, spec, fault))
            return false;
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

/* An ISO by its name, or "empty" for a drive without one. */
static bool add_cdroms(const struct args *args, json_t *spec, struct fault *fault)
{
    json_t *cdroms = json_object_get(spec, "cdroms");
    const char *text;

    for (size_t i = 0; (text = args_nth(args, "cdrom", i)); i++) {
        json_t *drive = json_object();

        if (!json_is_array(cdroms)) {
            cdroms = json_array();
            json_put(spec, "cdroms", cdroms);
        }
        json_array_append_new(cdroms, drive);
        if (!*text || !str_is_utf8(text, strlen(text)))
            return fault_set(fault, CLI_USAGE, "--cdrom: expected the name of an ISO or 'empty'");
        if (!str_eq(text, "empty"))
            json_put_text(drive, "media", text);
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

json_t *vm_spec_from_flags(struct cli *cli, struct fault *fault)
{
    const struct args *args = cli->args;
    const char *file = args_text(args, "file");
    CLEANUP(json_decrefp) json_t *spec = file ? read_spec(cli, file, fault) : json_object();

    if (spec && add_members(args, spec, fault) && add_disks(args, spec, fault) &&
        add_nics(args, spec, fault) && add_cdroms(args, spec, fault) &&
        add_labels(args, spec, fault) && add_sets(args, spec, fault))
        return TAKE(spec);
    return NULL;
}

/* The request: name and what it is made from, where words of the command line win over the file,
 * and the configuration. NULL with USAGE. */
static json_t *make_request(struct cli *cli, const json_t *spec, const char *name, const char *like,
                            struct fault *fault)
{
    const char *template = args_text(cli->args, "template");
    CLEANUP(json_decrefp) json_t *request = json_object();

    name = name ? name : json_get_text(spec, "name");
    if (!name)
        fault_set(fault, CLI_USAGE, "NAME is missing: vmmctl vm create NAME");
    else if (!str_is_utf8(name, strlen(name)))
        fault_set(fault, CLI_USAGE, "the name is not UTF-8");
    else if (template && like)
        fault_set(fault, CLI_USAGE, "--template or --like, not both");
    if (fault->exit != CLI_OK)
        return NULL;
    json_put_text(request, "name", name);
    json_object_update_missing(request, (json_t *)spec);
    if (template)
        json_put_text(request, "template", template);
    if (like)
        json_put_text(request, "copy_of", like);
    return TAKE(request);
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

/* Starting is a part of the creation, unless what the guest writes from its start on is waited for:
 * then there must be a VM first. */
static bool create(struct cli *cli, json_t *spec, struct condition *condition, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/vms");
    CLEANUP(json_decrefp) json_t *end = NULL;
    bool start = args_has(cli->args, "start");
    const char *ref;

    if (start && !cli->wait_for)
        json_put_bool(spec, "start", true);
    if (!wait_post(cli, path, spec, &end, fault) || !end)
        return fault->exit == CLI_OK;
    ref = json_get_text(json_object_get(end, "object"), "id");
    if (!ref)
        ref = json_get_text(spec, "name");
    cli_say(cli, "%s is created", json_get_text(spec, "name"));
    if (cli->wait_for && (!condition_begin(cli, condition, ref, 0, fault) ||
                          (start && !vm_action(cli, ref, "start", NULL, fault)) ||
                          !condition_wait(cli, condition, ref, fault)))
        return false;
    return vm_print(cli, ref, true, fault);
}

static bool create_from(struct cli *cli, const char *name, const char *like, struct fault *fault)
{
    CLEANUP(json_decrefp) json_t *spec = vm_spec_from_flags(cli, fault);
    CLEANUP(json_decrefp)
    json_t *request = spec ? make_request(cli, spec, name, like, fault) : NULL;
    CLEANUP(condition_clear) struct condition condition = {0};

    if (!request || (cli->wait_for && !condition_init(&condition, cli->wait_for, fault)))
        return false;
    if (args_has(cli->args, "dry-run"))
        return dry_run(cli, request, fault);
    return create(cli, request, &condition, fault);
}

bool vm_create_run(struct cli *cli, struct fault *fault)
{
    return create_from(cli, cli_word(cli, 0), args_text(cli->args, "like"), fault);
}

const struct flag vm_copy_flags[] = {
    {"start", 0, NULL, "start it when it is created"},
    {"label", 0, "KEY=VALUE", "may be repeated"},
    {"set", 0, "MEMBER=VALUE", "what is different: any member by its path; may be repeated"},
    {"dry-run", 0, NULL, "check everything, print what would be created, change nothing"},
    {0},
};

bool vm_copy_run(struct cli *cli, struct fault *fault)
{
    return create_from(cli, cli_word(cli, 1), cli_word(cli, 0), fault);
}
