/* vmmctl vm …: list, show, the actions, delete; vm_create.c and vm_edit.c have the rest. */
#include "cli/vm.h"

#include "cli/quantity.h"
#include "cli/wait.h"
#include "core/base/json.h"
#include "core/base/mem.h"

#include <string.h>

static bool vm_list_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool vm_show_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool vm_start_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool vm_stop_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool vm_shutdown_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool vm_pause_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool vm_resume_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool vm_reset_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool vm_delete_run(struct cli *cli, struct fault *fault) MUST_USE;

#define MANY 256 /* VMs on one command line */

const struct column vm_columns[] = {
    {"NAME", "name", CELL_TEXT, false},
    {"STATE", "state", CELL_TEXT, false},
    {"VCPUS", "vcpus", CELL_TEXT, false},
    {"MEMORY", "memory_bytes", CELL_BYTES, false},
    {"DISKS", "disks", CELL_COUNT, false},
    {"CREATED", "created_at", CELL_TIME, false},
    {"REASON", "run.reason", CELL_TEXT, true},
    {"ACCEL", "run.accel", CELL_TEXT, true},
    {"LABELS", "labels", CELL_TEXT, true},
    {"ID", "id", CELL_TEXT, true},
    {0},
};

static const struct flag list_flags[] = {
    {"filter", 0, "EXPR", "only VMs for which all comparisons hold: state==running,label.ci==true"},
    {0},
};
static const struct flag stop_flags[] = {
    {"force", 0, NULL, "switch off at once, as by pulling the plug"},
    {"grace", 0, "TIME", "how long the guest may take (default: the VM's own setting)"},
    {0},
};
static const struct flag shutdown_flags[] = {
    {"grace", 0, "TIME", "how long the guest may take (default: the VM's own setting)"},
    {0},
};
static const struct flag delete_flags[] = {
    {"force", 0, NULL, "switch the VM off first if it runs"},
    {0},
};

#define ACT (USES_WAIT | USES_OUTPUT)

const struct command vm_commands[] = {
    {"create", "NAME", 0, 1, ACT, vm_create_flags, "create a VM with its disks",
     "Without --disk the VM has none, without --nic one network card with outgoing connections. "
     "Flags change what -f brings.",
     "  vmmctl vm create web --vcpus 2 --memory 1G --disk size=8G,pool=main --start\n"
     "  vmmctl vm create tiny --kernel tiny --nic none --label ci=true\n"
     "  vmmctl vm create win --profile windows-11 --cdrom win11.iso --disk size=64G --set "
     "cpu.cores=4\n"
     "  vmmctl vm create -f web.yaml",
     vm_create_run, false},
    {"list", "", 0, 0, USES_OUTPUT, list_flags, "list VMs, ordered by name", NULL,
     "  vmmctl vm list --filter state==running -o name\n"
     "  vmmctl vm list --fields name,run.state,run.accel",
     vm_list_run, false},
    {"show", "VM", 1, 1, USES_OUTPUT, NULL, "show everything about a VM", NULL,
     "  vmmctl vm show web -o json", vm_show_run, false},
    {"start", "VM...", 1, MANY, ACT, NULL, "start VMs", NULL, "  vmmctl vm start web db",
     vm_start_run, false},
    {"stop", "VM...", 1, MANY, ACT, stop_flags, "shut VMs down, or switch them off by --force",
     "Asks the guest to shut down (ACPI power button) and waits. A guest that does not react goes "
     "on running; --force switches it off.",
     "  vmmctl vm stop web --grace 30s\n  vmmctl vm stop web --force", vm_stop_run, false},
    {"shutdown", "VM...", 1, MANY, ACT, shutdown_flags,
     "ask guests to shut down (ACPI power button)", NULL, "  vmmctl vm shutdown web",
     vm_shutdown_run, false},
    {"pause", "VM...", 1, MANY, ACT, NULL, "stop the processors of VMs", NULL,
     "  vmmctl vm pause web", vm_pause_run, false},
    {"resume", "VM...", 1, MANY, ACT, NULL, "let paused VMs go on", NULL, "  vmmctl vm resume web",
     vm_resume_run, false},
    {"reset", "VM...", 1, MANY, ACT, NULL, "reset VMs, as by the reset button", NULL,
     "  vmmctl vm reset web", vm_reset_run, false},
    {"delete", "VM...", 1, MANY, ACT | USES_CONFIRM, delete_flags, "delete VMs and their disks",
     "A running VM is not deleted without --force.", "  vmmctl vm delete web --yes", vm_delete_run,
     false},
    {"edit", "VM", 1, 1, USES_OUTPUT, vm_edit_flags, "change a VM's configuration",
     "Without --set and --patch the configuration is opened in $VISUAL or $EDITOR as YAML, and "
     "again with the reason when it is refused or when somebody else changed the VM meanwhile. "
     "What a running VM cannot change at once changes at its next start.",
     "  vmmctl vm edit web --set memory=2G --set label.tier=front\n"
     "  vmmctl vm edit web --patch '{\"notes\":\"the shop\"}'",
     vm_edit_run, false},
    {"rename", "VM NAME", 2, 2, USES_OUTPUT, NULL, "give a VM another name", NULL,
     "  vmmctl vm rename web shop", vm_rename_run, false},
    {0},
};

/* ---- reading ---- */

static bool vm_list_run(struct cli *cli, struct fault *fault)
{
    const char *filter = args_text(cli->args, "filter");
    CLEANUP(mem_freep)
    char *path = filter ? http_path("/vms?filter={}", filter) : http_path("/vms");

    return output_fetched(cli, path, vm_columns, fault);
}

static bool vm_show_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/vms/{}", cli_word(cli, 0));

    return output_shown(cli, path, vm_columns, fault);
}

bool vm_print(struct cli *cli, const char *ref, bool always, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/vms/{}", ref);
    CLEANUP(json_decrefp) json_t *vm = NULL;
    CLEANUP(json_decrefp) json_t *list = json_array();

    if (!always && !cli->output_given && !cli->quiet && !cli->fields)
        return true;
    vm = http_get(cli->http, path, fault);
    if (!vm)
        return false;
    json_array_append(list, vm);
    if (cli->output == OUTPUT_JSON || cli->output == OUTPUT_YAML)
        return output_object(cli, vm, vm_columns, fault);
    return output_list(cli, list, vm_columns, fault);
}

/* ---- actions ---- */

bool vm_action(struct cli *cli, const char *ref, const char *verb, const json_t *body,
               struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/vms/{}/actions/{}", ref, verb);

    return wait_post(cli, path, body, NULL, fault);
}

/* A submitted action on one of several VMs. */
struct errand {
    const char *ref;
    json_t *operation; /* NULL: it was refused */
};

/* Several VMs fail one by one: each failure is said at once, the first one's exit code counts. */
static void note_fault(struct cli *cli, const char *ref, struct fault *one, struct fault *first,
                       bool several)
{
    if (several && *one->detail) {
        struct fault said = *one;
        snprintf(said.detail, sizeof said.detail, "%.60s: %.500s", ref, one->detail);
        fault_print(&said, cli->err, cli->colour);
        one->detail[0] = 0;
    }
    if (first->exit == CLI_OK)
        *first = *one;
}

static void submit(struct cli *cli, struct errand *errand, const char *verb, const json_t *body,
                   struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/vms/{}/actions/{}", errand->ref, verb);

    errand->operation = http_post(cli->http, path, body, fault);
}

/* Submits for all, so that they run side by side, then waits for each. */
static bool act_on_all(struct cli *cli, const char *verb, const char *done, const json_t *body,
                       struct fault *fault)
{
    size_t n = cli->args->n_words;
    CLEANUP(mem_freep) struct errand *errands = mem_array(n, sizeof *errands);
    struct fault first = {0};

    for (size_t i = 0; i < n; i++) {
        struct fault one = {0};
        errands[i].ref = cli_word(cli, i);
        submit(cli, &errands[i], verb, body, &one);
        if (!errands[i].operation)
            note_fault(cli, errands[i].ref, &one, &first, n > 1);
    }
    for (size_t i = 0; i < n; i++) {
        struct fault one = {0};
        bool ok = errands[i].operation && first.exit != CLI_INTERRUPTED &&
                  wait_follow(cli, errands[i].operation, NULL, &one);

        if (ok && cli->wait) {
            cli_say(cli, "%s %s", errands[i].ref, done);
            ok = vm_print(cli, errands[i].ref, false, &one);
        }
        if (!ok && one.exit != CLI_OK)
            note_fault(cli, errands[i].ref, &one, &first, n > 1);
        json_decref(errands[i].operation);
    }
    *fault = first;
    return first.exit == CLI_OK;
}

static bool vm_start_run(struct cli *cli, struct fault *fault)
{
    return act_on_all(cli, "start", "runs", NULL, fault);
}

static bool vm_pause_run(struct cli *cli, struct fault *fault)
{
    return act_on_all(cli, "pause", "is paused", NULL, fault);
}

static bool vm_resume_run(struct cli *cli, struct fault *fault)
{
    return act_on_all(cli, "resume", "runs", NULL, fault);
}

static bool vm_reset_run(struct cli *cli, struct fault *fault)
{
    return act_on_all(cli, "reset", "was reset", NULL, fault);
}

static bool vm_shutdown_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(json_decrefp) json_t *body = NULL;
    int64_t grace_ms;

    if (!args_duration(cli->args, "grace", 0, &grace_ms, fault))
        return false;
    if (args_has(cli->args, "grace")) {
        body = json_object();
        json_put_u64(body, "timeout_s", (uint64_t)(grace_ms + 999) / 1000);
        if (!args_has(cli->args, "timeout") && cli->timeout_ms < grace_ms + 10000)
            cli->timeout_ms = grace_ms + 10000; /* whoever grants 10 minutes waits for them */
    }
    return act_on_all(cli, "shutdown", "is off", body, fault);
}

static bool vm_stop_run(struct cli *cli, struct fault *fault)
{
    if (args_has(cli->args, "force"))
        return act_on_all(cli, "stop", "is off", NULL, fault);
    if (vm_shutdown_run(cli, fault))
        return true;
    if (fault->exit == CLI_FAILED || fault->exit == CLI_TIMED_OUT)
        fault_hint(fault, "to switch it off at once: vmmctl vm stop %.63s --force",
                   cli_word(cli, 0));
    return false;
}

/* ---- delete ---- */

static bool confirm_delete(struct cli *cli, const json_t *vm, struct fault *fault)
{
    const json_t *disks = json_object_get(vm, "disks"), *disk;
    const char *name = json_get_text(vm, "name");
    uint64_t bytes = 0;
    char size[QUANTITY_TEXT], question[200];
    size_t i;

    json_array_foreach (disks, i, disk)
        bytes += json_get_u64(disk, "size_bytes", 0);
    size_text(bytes, size);
    snprintf(question, sizeof question, "Delete %s with its %zu disks (%s)?", name ? name : "it",
             json_array_size(disks), size);
    return cli_confirm(cli, question, fault);
}

static bool is_live(const json_t *vm)
{
    const char *run = json_get_text(json_object_get(vm, "run"), "state");

    return run && !str_eq(run, "off") && !str_eq(run, "crashed") && !str_eq(run, "saved");
}

/* --force needs the end of the stop before it can delete, whatever --no-wait says. */
static bool stop_first(struct cli *cli, const char *id, struct fault *fault)
{
    bool wait = cli->wait;
    bool ok;

    cli->wait = true;
    ok = vm_action(cli, id, "stop", NULL, fault);
    cli->wait = wait;
    return ok;
}

static bool delete_one(struct cli *cli, const char *ref, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/vms/{}", ref);
    CLEANUP(json_decrefp) json_t *vm = http_get(cli->http, path, fault);
    CLEANUP(json_decrefp) json_t *operation = NULL;
    const char *id = json_get_text(vm, "id");
    CLEANUP(mem_freep) char *by_id = id ? http_path("/vms/{}", id) : NULL;
    struct http_request request = {.method = "DELETE", .path = by_id};
    bool force = args_has(cli->args, "force");

    if (!vm)
        return false;
    if (!id)
        return fault_set(fault, CLI_FAILED, "the reply is no VM; is this vmmd?");
    if (is_live(vm) && !force) {
        fault_set(fault, CLI_CONFLICT, "%.63s is not off", ref);
        return fault_hint(fault, "shut it down first, or switch it off and delete it by --force");
    }
    if (!confirm_delete(cli, vm, fault) || (is_live(vm) && !stop_first(cli, id, fault)))
        return false;
    operation = http_json(cli->http, &request, fault);
    if (!operation || !wait_follow(cli, operation, NULL, fault))
        return false;
    if (cli->wait && cli->quiet)
        fprintf(cli->out, "%s\n", id);
    if (cli->wait)
        cli_say(cli, "%s is deleted", ref);
    return true;
}

static bool vm_delete_run(struct cli *cli, struct fault *fault)
{
    size_t n = cli->args->n_words;
    struct fault first = {0};

    for (size_t i = 0; i < n && first.exit != CLI_INTERRUPTED; i++) {
        struct fault one = {0};
        if (!delete_one(cli, cli_word(cli, i), &one))
            note_fault(cli, cli_word(cli, i), &one, &first, n > 1);
    }
    *fault = first;
    return first.exit == CLI_OK;
}
