/* vmmctl token …: API tokens. */
#include "cli/delete.h"
#include "cli/list.h"
#include "core/base/json.h"
#include "core/base/mem.h"

static bool token_create_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool token_list_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool token_show_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool token_delete_run(struct cli *cli, struct fault *fault) MUST_USE;

static const struct column columns[] = {
    {"NAME", "name", CELL_TEXT, false},
    {"ROLE", "role", CELL_TEXT, false},
    {"OWNER", "owner", CELL_TEXT, true},
    {"EXPIRES", "expires_at", CELL_TIME, false},
    {"CREATED", "created_at", CELL_TIME, false},
    {"BY", "created_by", CELL_TEXT, true},
    {"ID", "id", CELL_TEXT, true},
    {0},
};
static const struct flag create_flags[] = {
    {"role", 0, "ROLE", "viewer, operator or admin"},
    {"owner", 0, "USER", "with whom it goes (default: whoever creates it, if that is a user)"},
    {"right", 0, "RIGHT",
     "one of its role's rights, such as vm-read; may be repeated (default: all)"},
    {"ttl", 0, "TIME", "how long it is valid, such as 12h or 30d (default: for ever)"},
    {0},
};

const struct command token_commands[] = {
    {"create", "NAME", 1, 1, USES_OUTPUT, create_flags, "create a token",
     "The token is printed on stdout this one time; only its hash is kept.",
     "  VMMD_TOKEN=$(vmmctl token create ci --role operator --ttl 30d)", token_create_run, false},
    {"list", "", 0, 0, USES_LIST | USES_OUTPUT, NULL, "list tokens", NULL, NULL, token_list_run,
     false},
    {"show", "TOKEN", 1, 1, USES_OUTPUT, NULL, "show everything about a token but its text",
     "TOKEN is its name or id.", NULL, token_show_run, false},
    {"delete", "TOKEN...", 1, 256, USES_OUTPUT | USES_CONFIRM, NULL, "revoke tokens",
     "TOKEN is its name or id.", "  vmmctl token delete ci", token_delete_run, false},
    {0},
};

/* NULL: all of the role's. */
static json_t *rights_of(const struct args *args)
{
    json_t *list = NULL;
    const char *word;

    for (size_t i = 0; (word = args_nth(args, "right", i)); i++) {
        list = list ? list : json_array();
        json_array_append_new(list, json_string(word));
    }
    return list;
}

static json_t *make_spec(struct cli *cli, struct fault *fault)
{
    const char *role = args_text(cli->args, "role");
    json_t *spec;
    int64_t ttl_ms;

    if (!role) {
        fault_set(fault, CLI_USAGE, "--role is missing: viewer, operator or admin");
        return NULL;
    }
    if (!args_duration(cli->args, "ttl", 0, &ttl_ms, fault))
        return NULL;
    spec = json_object();
    json_put_text(spec, "name", cli_word(cli, 0));
    json_put_text(spec, "role", role);
    json_put(spec, "rights", rights_of(cli->args));
    if (args_has(cli->args, "owner"))
        json_put_text(spec, "owner", args_text(cli->args, "owner"));
    if (args_has(cli->args, "ttl"))
        json_put_u64(spec, "ttl_s", (uint64_t)(ttl_ms + 999) / 1000);
    return spec;
}

static bool token_create_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/tokens");
    CLEANUP(json_decrefp) json_t *spec = make_spec(cli, fault);
    CLEANUP(json_decrefp) json_t *token = spec ? http_post(cli->http, path, spec, fault) : NULL;
    const char *text = json_get_text(token, "token"), *note = json_get_text(token, "note");

    if (!token)
        return false;
    if (cli->quiet || (cli->output != OUTPUT_TABLE && cli->output != OUTPUT_WIDE))
        return output_object(cli, token, columns, fault);
    if (!text) {
        fault_set(fault, CLI_FAILED, "the token was created, but its text is lost: %s",
                  note ? note : "the connection broke");
        return fault_hint(fault, "delete it and create another one");
    }
    fprintf(cli->out, "%s\n", text);
    cli_say(cli, "this is the only time the token is shown");
    return true;
}

static bool token_list_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/tokens");

    return list_print(cli, path, columns, fault);
}

static bool token_show_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/tokens/{}", cli_word(cli, 0));

    return output_shown(cli, path, columns, fault);
}

static bool delete_one(struct cli *cli, const char *ref, struct fault *fault)
{
    CLEANUP(mem_freep)
    char *question = str_format("Revoke the token %s? Whoever uses it loses access.", ref);

    return object_delete(cli, "/tokens", ref, question, "revoked", fault);
}

static bool token_delete_run(struct cli *cli, struct fault *fault)
{
    for (size_t i = 0; i < cli->args->n_words; i++)
        if (!delete_one(cli, cli_word(cli, i), fault))
            return false;
    return true;
}
