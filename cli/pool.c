/* vmmctl pool …: storage pools. */
#include "cli/list.h"
#include "core/base/json.h"
#include "core/base/mem.h"

static bool pool_list_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool pool_show_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool pool_create_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool pool_delete_run(struct cli *cli, struct fault *fault) MUST_USE;

static const struct column columns[] = {
    {"NAME", "name", CELL_TEXT, false},
    {"ROOT", "root", CELL_TEXT, false},
    {"TOTAL", "total_bytes", CELL_BYTES, false},
    {"FREE", "free_bytes", CELL_BYTES, false},
    {"DISKS", "disks", CELL_TEXT, false},
    {"CREATED", "created_at", CELL_TIME, true},
    {"ID", "id", CELL_TEXT, true},
    {0},
};
static const struct flag create_flags[] = {
    {"root", 0, "ID", "configured root it lies on (vmmctl host shows them)"},
    {0},
};

const struct command pool_commands[] = {
    {"list", "", 0, 0, USES_LIST | USES_OUTPUT, NULL, "list pools with their free space", NULL,
     NULL, pool_list_run, false},
    {"show", "POOL", 1, 1, USES_OUTPUT, NULL, "show everything about a pool", NULL, NULL,
     pool_show_run, false},
    {"create", "NAME", 1, 1, USES_OUTPUT, create_flags, "create a pool on a configured root", NULL,
     "  vmmctl pool create fast --root main", pool_create_run, false},
    {"delete", "POOL", 1, 1, USES_OUTPUT | USES_CONFIRM, NULL, "delete an empty pool", NULL, NULL,
     pool_delete_run, false},
    {0},
};

static bool pool_list_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/pools");

    return list_print(cli, path, columns, fault);
}

static bool pool_show_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/pools/{}", cli_word(cli, 0));

    return output_shown(cli, path, columns, fault);
}

static bool pool_create_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/pools");
    CLEANUP(json_decrefp) json_t *spec = json_object();
    CLEANUP(json_decrefp) json_t *pool = NULL;
    CLEANUP(json_decrefp) json_t *list = json_array();
    const char *root = args_text(cli->args, "root");

    if (!root)
        return fault_set(fault, CLI_USAGE, "--root is missing (vmmctl host shows the roots)");
    json_put_text(spec, "name", cli_word(cli, 0));
    json_put_text(spec, "root", root);
    pool = http_post(cli->http, path, spec, fault);
    if (!pool)
        return false;
    if (cli->output == OUTPUT_JSON || cli->output == OUTPUT_YAML)
        return output_object(cli, pool, columns, fault);
    json_array_append(list, pool);
    return output_list(cli, list, columns, fault);
}

static bool pool_delete_run(struct cli *cli, struct fault *fault)
{
    const char *ref = cli_word(cli, 0);
    CLEANUP(mem_freep) char *path = http_path("/pools/{}", ref);
    CLEANUP(mem_freep) char *question = str_format("Delete the pool %s?", ref);
    CLEANUP(http_reply_clear) struct http_reply reply = {0};
    struct http_request request = {.method = "DELETE", .path = path};

    if (!cli_confirm(cli, question, fault) || !http_call(cli->http, &request, &reply, fault))
        return false;
    cli_say(cli, "%s is deleted", ref);
    return true;
}
