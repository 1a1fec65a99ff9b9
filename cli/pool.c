/* vmmctl pool …: storage pools. */
#include "cli/delete.h"
#include "cli/list.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <string.h>

static bool pool_list_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool pool_show_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool pool_create_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool pool_edit_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool pool_files_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool pool_delete_run(struct cli *cli, struct fault *fault) MUST_USE;

static const struct column columns[] = {
    {"NAME", "name", CELL_TEXT, false},
    {"ROOT", "root", CELL_TEXT, false},
    {"TOTAL", "total_bytes", CELL_BYTES, false},
    {"FREE", "free_bytes", CELL_BYTES, false},
    {"DISKS", "disks", CELL_TEXT, false},
    {"USED", "file_bytes", CELL_BYTES, false},
    {"LOW", "low_space", CELL_TEXT, false},
    {"QUOTA", "quota_bytes", CELL_BYTES, true},
    {"RESERVE", "reserve_bytes", CELL_BYTES, true},
    {"FORMAT", "default_format", CELL_TEXT, true},
    {"CREATED", "created_at", CELL_TIME, true},
    {"ID", "id", CELL_TEXT, true},
    {0},
};
static const struct column file_columns[] = {
    {"NAME", "name", CELL_TEXT, false},
    {"KIND", "kind", CELL_TEXT, false},
    {"USED", "file_bytes", CELL_BYTES, false},
    {"SIZE", "size_bytes", CELL_BYTES, false},
    {"VM", "vm", CELL_TEXT, false},
    {"DISK", "disk", CELL_TEXT, true},
    {"SNAPSHOT", "snapshot", CELL_TEXT, true},
    {"FORMAT", "format", CELL_TEXT, true},
    {"MODIFIED", "modified_at", CELL_TIME, true},
    {0},
};
#define SETTINGS                                                                                   \
    {"quota", 0, "SIZE", "how much its files may take; 0: all there is"},                          \
        {"reserve", 0, "SIZE", "kept free; \"usual\": 5 % of the file system, at most 1 GiB"},     \
    {                                                                                              \
        "format", 0, "FORMAT", "of new disks that say none: qcow2, raw, vhd, vhdx"                 \
    }
static const struct flag create_flags[] = {
    {"root", 0, "ID", "configured root it lies on (vmmctl host shows them)"},
    SETTINGS,
    {0},
};
static const struct flag edit_flags[] = {
    {"name", 0, "NAME", "another name"},
    SETTINGS,
    {0},
};

const struct command pool_commands[] = {
    {"list", "", 0, 0, USES_LIST | USES_OUTPUT, NULL, "list pools with their free space", NULL,
     NULL, pool_list_run, false},
    {"show", "POOL", 1, 1, USES_OUTPUT, NULL, "show everything about a pool", NULL, NULL,
     pool_show_run, false},
    {"create", "NAME", 1, 1, USES_OUTPUT, create_flags, "create a pool on a configured root", NULL,
     "  vmmctl pool create fast --root main", pool_create_run, false},
    {"edit", "POOL", 1, 1, USES_OUTPUT, edit_flags, "change a pool's name or settings", NULL,
     "  vmmctl pool edit fast --quota 500G --reserve 10G", pool_edit_run, false},
    {"files", "POOL", 1, 1, USES_LIST | USES_OUTPUT, NULL,
     "list what lies in a pool, and whose it is",
     "Files of the kind orphan are not known to the service, which never removes them.",
     "  vmmctl pool files fast --filter kind==orphan", pool_files_run, false},
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

static bool put_size(struct cli *cli, const char *flag, const char *member, json_t *out,
                     struct fault *fault)
{
    uint64_t bytes;

    if (!args_has(cli->args, flag))
        return true;
    if (str_eq(args_text(cli->args, flag), "usual")) {
        json_put(out, member, json_null());
        return true;
    }
    if (!args_size(cli->args, flag, 0, &bytes, fault))
        return false;
    json_put_u64(out, member, bytes);
    return true;
}

static bool put_settings(struct cli *cli, json_t *out, struct fault *fault)
{
    if (args_has(cli->args, "format"))
        json_put_text(out, "default_format", args_text(cli->args, "format"));
    return put_size(cli, "quota", "quota_bytes", out, fault) &&
           put_size(cli, "reserve", "reserve_bytes", out, fault);
}

static bool pool_edit_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/pools/{}", cli_word(cli, 0));
    CLEANUP(json_decrefp) json_t *patch = json_object(), *done = NULL;
    CLEANUP(mem_freep) char *body = NULL;
    struct http_request request = {
        .method = "PATCH", .path = path, .content_type = "application/merge-patch+json"};

    if (args_has(cli->args, "name"))
        json_put_text(patch, "name", args_text(cli->args, "name"));
    if (!put_settings(cli, patch, fault))
        return false;
    if (!json_object_size(patch))
        return fault_set(fault, CLI_USAGE,
                         "say what changes: --name, --quota, --reserve or --format");
    request.body = body = json_write(patch);
    request.body_len = strlen(body);
    done = http_json(cli->http, &request, fault);
    if (!done)
        return false;
    if (cli->output_given || cli->quiet)
        return output_object(cli, done, columns, fault);
    cli_say(cli, "%s is changed", cli_word(cli, 0));
    return true;
}

static bool pool_files_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/pools/{}/files", cli_word(cli, 0));

    return list_print(cli, path, file_columns, fault);
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
    if (!put_settings(cli, spec, fault))
        return false;
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
    CLEANUP(mem_freep) char *question = str_format("Delete the pool %s?", ref);

    return object_delete(cli, "/pools", ref, question, "deleted", fault);
}
