/* vmmctl vm start, stop, delete, …: what changes the state of one VM or several. */
#include "cli/many.h"
#include "cli/quantity.h"
#include "cli/vm.h"
#include "cli/wait.h"
#include "core/base/json.h"
#include "core/base/mem.h"

#include <string.h>

const struct flag vm_stop_flags[] = {
    {"force", 0, NULL, "switch off at once, as by pulling the plug"},
    {"grace", 0, "TIME", "how long the guest may take (default: the VM's own setting)"},
    {0},
};
const struct flag vm_shutdown_flags[] = {
    {"grace", 0, "TIME", "how long the guest may take (default: the VM's own setting)"},
    {0},
};
const struct flag vm_delete_flags[] = {
    {"force", 0, NULL, "switch the VM off first if it runs"},
    {0},
};

const struct flag vm_wait_flags[] = {
    {"for", 0, "CONDITION", "what to wait for (default running)"},
    {"history", 0, "N", "for serial: look at the last N bytes that were written before, too"},
    {"timeout", 0, "TIME", "give up after this time, such as 90s or 5m (default 120s)"},
    {0},
};

/* ---- actions ---- */

bool vm_action(struct cli *cli, const char *ref, const char *verb, const json_t *body,
               struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/vms/{}/actions/{}", ref, verb);

    return wait_post(cli, path, body, NULL, fault);
}

bool vm_start_run(struct cli *cli, struct fault *fault)
{
    return act_on_all(cli, "start", "runs", NULL, fault);
}

bool vm_pause_run(struct cli *cli, struct fault *fault)
{
    return act_on_all(cli, "pause", "is paused", NULL, fault);
}

bool vm_resume_run(struct cli *cli, struct fault *fault)
{
    return act_on_all(cli, "resume", "runs", NULL, fault);
}

bool vm_save_run(struct cli *cli, struct fault *fault)
{
    return act_on_all(cli, "save", "is saved", NULL, fault);
}

bool vm_discard_run(struct cli *cli, struct fault *fault)
{
    return act_on_all(cli, "discard", "is off", NULL, fault);
}

bool vm_reset_run(struct cli *cli, struct fault *fault)
{
    return act_on_all(cli, "reset", "was reset", NULL, fault);
}

bool vm_shutdown_run(struct cli *cli, struct fault *fault)
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

bool vm_stop_run(struct cli *cli, struct fault *fault)
{
    if (args_has(cli->args, "force"))
        return act_on_all(cli, "stop", "is off", NULL, fault);
    if (vm_shutdown_run(cli, fault))
        return true;
    if (fault->exit == CLI_FAILED || fault->exit == CLI_TIMED_OUT)
        fault_hint(fault, "to switch it off at once: vmmctl vm stop %.63s --force",
                   cli_word(cli, 0) ? cli_word(cli, 0) : "VM");
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

bool vm_is_live(const json_t *vm)
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

bool vm_delete_one(struct cli *cli, const char *ref, struct fault *fault)
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
    if (vm_is_live(vm) && !force) {
        fault_set(fault, CLI_CONFLICT, "%.63s is not off", ref);
        return fault_hint(fault, "shut it down first, or switch it off and delete it by --force");
    }
    if (!confirm_delete(cli, vm, fault) || (vm_is_live(vm) && !stop_first(cli, id, fault)))
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

bool vm_delete_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(targets_clear) struct targets targets = {0};
    struct fault first = {0};

    if (!targets_find(cli, &targets, fault))
        return false;
    for (size_t i = 0; i < targets.n && first.exit != CLI_INTERRUPTED; i++) {
        struct fault one = {0};
        if (!vm_delete_one(cli, targets.name[i], &one))
            note_fault(cli, targets.name[i], &one, &first, targets.n > 1);
    }
    *fault = first;
    return first.exit == CLI_OK;
}

/* ---- wait ---- */

bool vm_wait_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(targets_clear) struct targets targets = {0};
    const char *wanted = args_text(cli->args, "for");
    struct errand *errands;
    uint64_t history;
    bool ok;

    if (!args_number(cli->args, "history", 0, &history, fault) ||
        !targets_find(cli, &targets, fault))
        return false;
    cli->wait_for = wanted ? wanted : "running";
    errands = errands_new(cli, &targets, fault);
    ok = errands != NULL;
    for (size_t i = 0; i < targets.n && ok; i++)
        ok = condition_begin(cli, &errands[i].condition, errands[i].ref, history, fault);
    for (size_t i = 0; i < targets.n && ok; i++)
        ok = condition_wait(cli, &errands[i].condition, errands[i].ref, fault) &&
             (errands[i].condition.kind == CONDITION_DELETED ||
              vm_print(cli, errands[i].ref, false, fault));
    errands_free(errands, targets.n);
    return ok;
}
