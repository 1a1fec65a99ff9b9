/* vmmctl op …: operations. */
#include "cli/list.h"
#include "cli/quantity.h"
#include "cli/wait.h"
#include "core/base/json.h"
#include "core/base/mem.h"

#include <string.h>

static bool op_list_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool op_show_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool op_wait_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool op_cancel_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool op_limit_run(struct cli *cli, struct fault *fault) MUST_USE;

static const struct column columns[] = {
    {"ID", "id", CELL_TEXT, false},
    {"KIND", "kind", CELL_TEXT, false},
    {"OBJECT", "object.name", CELL_TEXT, false},
    {"STATE", "state", CELL_TEXT, false},
    {"STEP", "step", CELL_TEXT, false},
    {"DONE", "progress", CELL_PERCENT, false},
    {"CREATED", "created_at", CELL_TIME, false},
    {"BY", "created_by", CELL_TEXT, true},
    {"ENDED", "ended_at", CELL_TIME, true},
    {"ERROR", "error.detail", CELL_TEXT, true},
    {0},
};
static const struct flag list_flags[] = {
    {"vm", 0, "VM", "only those of this VM"},
    {"state", 0, "STATE",
     "queued, running, cancelling, succeeded, failed, cancelled or interrupted"},
    {0},
};
/* op wait always waits, so it has the time limit only */
static const struct flag wait_only_flags[] = {
    {"timeout", 0, "TIME", "give up waiting after this time, such as 90s or 5m (default 120s)"},
    {0},
};

const struct command op_commands[] = {
    {"list", "", 0, 0, USES_LIST | USES_OUTPUT, list_flags, "list operations, newest first", NULL,
     "  vmmctl op list --state running", op_list_run, false},
    {"show", "ID", 1, 1, USES_OUTPUT, NULL, "show everything about an operation", NULL, NULL,
     op_show_run, false},
    {"wait", "ID...", 1, 256, USES_OUTPUT, wait_only_flags, "wait until operations have ended",
     "The exit code says how: 0 succeeded, 1 failed or cancelled, 7 still running.",
     "  vmmctl op wait \"$(vmmctl vm start web --no-wait)\"", op_wait_run, false},
    {"cancel", "ID", 1, 1, USES_OUTPUT | USES_WAIT, NULL, "ask an operation to end", NULL, NULL,
     op_cancel_run, false},
    {"limit", "ID RATE", 2, 2, USES_OUTPUT, NULL,
     "say how much a running operation copies a second",
     "RATE is a size such as 50M; 0 for no limit.", "  vmmctl op limit 5d1c8a04-… 100M",
     op_limit_run, false},
    {0},
};

static bool op_list_run(struct cli *cli, struct fault *fault)
{
    const char *vm = args_text(cli->args, "vm"), *state = args_text(cli->args, "state");
    CLEANUP(mem_freep)
    char *path = vm && state ? http_path("/operations?vm={}&state={}", vm, state)
                 : vm        ? http_path("/operations?vm={}", vm)
                 : state     ? http_path("/operations?state={}", state)
                             : http_path("/operations");

    return list_print(cli, path, columns, fault);
}

static bool op_show_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/operations/{}", cli_word(cli, 0));

    return output_shown(cli, path, columns, fault);
}

static bool print_ended(struct cli *cli, const json_t *operation, struct fault *fault)
{
    if (!operation || (!cli->output_given && !cli->quiet && !cli->fields))
        return true;
    return output_object(cli, operation, columns, fault);
}

static bool op_wait_run(struct cli *cli, struct fault *fault)
{
    for (size_t i = 0; i < cli->args->n_words; i++) {
        CLEANUP(json_decrefp) json_t *end = NULL;

        if (!wait_id(cli, cli_word(cli, i), &end, fault) || !print_ended(cli, end, fault))
            return false;
    }
    return true;
}

static bool op_cancel_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/operations/{}/actions/cancel", cli_word(cli, 0));
    CLEANUP(json_decrefp) json_t *operation = http_post(cli->http, path, NULL, fault);
    CLEANUP(json_decrefp) json_t *end = NULL;

    if (!operation)
        return false;
    if (!cli->wait)
        return print_ended(cli, operation, fault);
    if (wait_follow(cli, operation, &end, fault))
        return fault_set(fault, CLI_CONFLICT, "the operation was faster: it has succeeded");
    if (!str_eq(fault->code, "cancelled"))
        return false;
    *fault = (struct fault){0};
    cli_say(cli, "the operation is cancelled");
    return true;
}

static bool op_limit_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/operations/{}", cli_word(cli, 0));
    CLEANUP(json_decrefp) json_t *patch = json_object(), *done = NULL;
    CLEANUP(mem_freep) char *body = NULL;
    struct http_request request = {
        .method = "PATCH", .path = path, .content_type = "application/merge-patch+json"};
    uint64_t rate;

    if (!size_parse(cli_word(cli, 1), &rate))
        return fault_set(fault, CLI_USAGE, "'%.32s' is no rate: say for example 50M, or 0",
                         cli_word(cli, 1));
    json_put_u64(patch, "bandwidth", rate);
    body = json_write(patch);
    request.body = body;
    request.body_len = strlen(body);
    done = http_json(cli->http, &request, fault);
    if (!done)
        return false;
    if (cli->output_given || cli->quiet)
        return output_object(cli, done, columns, fault);
    cli_say(cli, rate ? "it copies %s a second at most" : "it copies as fast as it can",
            cli_word(cli, 1));
    return true;
}
