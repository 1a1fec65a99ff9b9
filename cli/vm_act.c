/* vmmctl vm start, stop, wait, …: what changes the state of one VM or several. */
#include "cli/many.h"
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

bool vm_is_live(const json_t *vm)
{
    const char *run = json_get_text(json_object_get(vm, "run"), "state");

    return run && !str_eq(run, "off") && !str_eq(run, "crashed") && !str_eq(run, "saved");
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
