/* vmmctl webhook …: events sent to an address. */
#include "cli/delete.h"
#include "cli/list.h"
#include "core/base/json.h"
#include "core/base/mem.h"

#include <string.h>

static bool webhook_create_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool webhook_list_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool webhook_show_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool webhook_edit_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool webhook_delete_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool webhook_test_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool webhook_deliveries_run(struct cli *cli, struct fault *fault) MUST_USE;

static const struct column columns[] = {
    {"NAME", "name", CELL_TEXT, false},
    {"STATE", "state", CELL_TEXT, false},
    {"URL", "url", CELL_TEXT, false},
    {"POSITION", "position", CELL_TEXT, false},
    {"NEXT", "next_attempt_at", CELL_TIME, true},
    {"CREATED", "created_at", CELL_TIME, true},
    {"BY", "created_by", CELL_TEXT, true},
    {"ID", "id", CELL_TEXT, true},
    {0},
};
static const struct column delivery_columns[] = {
    {"EVENT", "seq", CELL_TEXT, false},
    {"TYPE", "type", CELL_TEXT, false},
    {"STATE", "state", CELL_TEXT, false},
    {"STATUS", "status", CELL_TEXT, false},
    {"ATTEMPTS", "attempts", CELL_TEXT, false},
    {"LAST", "last_at", CELL_TIME, false},
    {"NEXT", "next_at", CELL_TIME, false},
    {"ERROR", "error", CELL_TEXT, false},
    {"ID", "id", CELL_TEXT, true},
    {0},
};
static const struct flag create_flags[] = {
    {"to", 0, "URL", "where events are sent, https://… or http://…"},
    {"types", 0, "A,B", "types or their first words, such as vm.state,operation (default: all)"},
    {"secret-file", 0, "FILE", "the secret is the first line of this file (default: one is made)"},
    {"disabled", 0, NULL, "do not send yet"},
    {0},
};
static const struct flag edit_flags[] = {
    {"name", 0, "NAME", "rename it"},
    {"to", 0, "URL", "where events are sent"},
    {"types", 0, "A,B", "types or their first words; an empty value: all"},
    {"secret-file", 0, "FILE", "the secret is the first line of this file"},
    {"new-secret", 0, NULL, "make a new secret and print it"},
    {"enable", 0, NULL, "send, from where it stopped"},
    {"disable", 0, NULL, "do not send any more"},
    {0},
};

const struct command webhook_commands[] = {
    {"create", "NAME", 1, 1, USES_OUTPUT, create_flags, "send events to an address",
     "The secret that vmmd makes is printed on stdout this one time.",
     "  vmmctl webhook create ci --to https://ci.example.org/vmmd --types vm.state,operation",
     webhook_create_run, false},
    {"list", "", 0, 0, USES_LIST | USES_OUTPUT, NULL, "list webhooks", NULL, NULL, webhook_list_run,
     false},
    {"show", "WEBHOOK", 1, 1, USES_OUTPUT, NULL, "show everything about a webhook but its secret",
     "WEBHOOK is its name or id.", NULL, webhook_show_run, false},
    {"edit", "WEBHOOK", 1, 1, USES_OUTPUT, edit_flags, "change a webhook",
     "A delivery that waits is tried at once.", "  vmmctl webhook edit ci --enable",
     webhook_edit_run, false},
    {"test", "WEBHOOK", 1, 1, USES_OUTPUT, NULL,
     "send a webhook.test event and tell what came of it", NULL, NULL, webhook_test_run, false},
    {"deliveries", "WEBHOOK", 1, 1, USES_OUTPUT, NULL, "show the last deliveries", NULL, NULL,
     webhook_deliveries_run, false},
    {"delete", "WEBHOOK", 1, 1, USES_OUTPUT | USES_CONFIRM, NULL, "delete a webhook", NULL, NULL,
     webhook_delete_run, false},
    {0},
};

static void put_types(json_t *spec, const char *list)
{
    json_t *types = json_array();

    for (const char *p = list; *p; p += strcspn(p, ","), p += *p == ',')
        json_array_append_new(types, json_stringn(p, strcspn(p, ",")));
    json_put(spec, "types", types);
}

/* The members that both commands take. */
static bool put_common(struct cli *cli, json_t *spec, struct fault *fault)
{
    const char *file = args_text(cli->args, "secret-file");
    CLEANUP(mem_freep) char *text = NULL;
    size_t len;

    if (args_has(cli->args, "to"))
        json_put_text(spec, "url", args_text(cli->args, "to"));
    if (args_has(cli->args, "types"))
        put_types(spec, args_text(cli->args, "types"));
    if (!file)
        return true;
    if (!cli_read_input(cli, file, &text, &len, fault))
        return false;
    text[strcspn(text, "\r\n")] = 0;
    json_put_text(spec, "secret", text);
    explicit_bzero(text, len);
    return true;
}

/* Prints the secret that was made, or else the object. */
static bool show_result(struct cli *cli, json_t *hook, struct fault *fault)
{
    const char *secret = json_get_text(hook, "secret"), *note = json_get_text(hook, "note");
    CLEANUP(json_decrefp) json_t *list = NULL;

    if (cli->quiet || (cli->output != OUTPUT_TABLE && cli->output != OUTPUT_WIDE))
        return output_object(cli, hook, columns, fault);
    if (secret) {
        fprintf(cli->out, "%s\n", secret);
        cli_say(cli, "this is the only time the secret is shown");
        return true;
    }
    if (note)
        cli_say(cli, "%s", note);
    list = json_pack("[O]", hook);
    return output_list(cli, list, columns, fault);
}

static bool webhook_create_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/webhooks");
    CLEANUP(json_decrefp) json_t *spec = json_object();
    CLEANUP(json_decrefp) json_t *hook = NULL;

    if (!args_has(cli->args, "to"))
        return fault_set(fault, CLI_USAGE, "--to is missing: where shall events be sent?");
    json_put_text(spec, "name", cli_word(cli, 0));
    if (args_has(cli->args, "disabled"))
        json_put_bool(spec, "enabled", false);
    if (!put_common(cli, spec, fault))
        return false;
    hook = http_post(cli->http, path, spec, fault);
    return hook && show_result(cli, hook, fault);
}

static bool webhook_list_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/webhooks");

    return list_print(cli, path, columns, fault);
}

static bool webhook_show_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/webhooks/{}", cli_word(cli, 0));

    return output_shown(cli, path, columns, fault);
}

static bool webhook_edit_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/webhooks/{}", cli_word(cli, 0));
    CLEANUP(json_decrefp) json_t *patch = json_object();
    CLEANUP(json_decrefp) json_t *hook = NULL;
    CLEANUP(mem_freep) char *body = NULL;
    struct http_request request = {.method = "PATCH", .path = path};

    if (args_has(cli->args, "enable") && args_has(cli->args, "disable"))
        return fault_set(fault, CLI_USAGE, "--enable or --disable, not both");
    if (args_has(cli->args, "name"))
        json_put_text(patch, "name", args_text(cli->args, "name"));
    if (args_has(cli->args, "enable") || args_has(cli->args, "disable"))
        json_put_bool(patch, "enabled", args_has(cli->args, "enable"));
    if (!put_common(cli, patch, fault))
        return false;
    if (args_has(cli->args, "new-secret"))
        json_put(patch, "secret", NULL);
    if (!json_object_size(patch))
        return fault_set(fault, CLI_USAGE, "nothing to change: see vmmctl webhook edit --help");
    body = json_write(patch);
    request.body = body;
    request.body_len = strlen(body);
    request.content_type = "application/merge-patch+json";
    hook = http_json(cli->http, &request, fault);
    explicit_bzero(body, strlen(body));
    return hook && show_result(cli, hook, fault);
}

static bool webhook_test_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/webhooks/{}/actions/test", cli_word(cli, 0));
    CLEANUP(json_decrefp) json_t *outcome = http_post(cli->http, path, NULL, fault);
    const char *error = json_get_text(outcome, "error");

    if (!outcome)
        return false;
    if (cli->output != OUTPUT_TABLE && cli->output != OUTPUT_WIDE)
        return output_object(cli, outcome, NULL, fault);
    if (!json_get_bool(outcome, "delivered", false))
        return fault_set(fault, CLI_FAILED, "not delivered: %s", error ? error : "no reason given");
    cli_say(cli, "delivered: the receiver answered %llu after %llu ms",
            (unsigned long long)json_get_u64(outcome, "status", 0),
            (unsigned long long)json_get_u64(outcome, "took_ms", 0));
    return true;
}

static bool webhook_deliveries_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/webhooks/{}/deliveries", cli_word(cli, 0));

    return list_print(cli, path, delivery_columns, fault);
}

static bool webhook_delete_run(struct cli *cli, struct fault *fault)
{
    const char *ref = cli_word(cli, 0);
    CLEANUP(mem_freep) char *question = str_format("Delete the webhook %s?", ref);

    return object_delete(cli, "/webhooks", ref, question, "deleted", fault);
}
