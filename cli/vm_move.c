/* vmmctl vm move-storage: a VM's disks go to another pool. */
#include "cli/quantity.h"
#include "cli/vm.h"
#include "cli/wait.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <inttypes.h>
#include <string.h>

const struct flag vm_move_flags[] = {
    {"pool", 'p', "POOL", "where to: a name or an id"},
    {"disk", 0, "DISK", "only this one: its position, from 0 on, or its id; may be repeated"},
    {"format", 0, "FORMAT", "change the format on the way; for disks without snapshots"},
    {"bandwidth", 0, "SIZE",
     "so much a second at most, such as 100M; 0: no limit (default: as much as the guest hardly "
     "notices)"},
    {"keep-source", 0, NULL, "leave the old files behind, as moved-…"},
    {"dry-run", 0, NULL, "say what would be moved and what stands in the way"},
    {0},
};

static const struct column plan_columns[] = {
    {"POOL", "pool", CELL_TEXT, false},         {"FILES", "files", CELL_TEXT, false},
    {"BYTES", "bytes", CELL_BYTES, false},      {"FREE", "free_bytes", CELL_BYTES, false},
    {"BLOCKERS", "blockers", CELL_TEXT, false}, {0},
};

static json_t *body_of(struct cli *cli, struct fault *fault)
{
    CLEANUP(json_decrefp) json_t *body = json_object();
    json_t *disks = json_array();
    uint64_t bandwidth;
    const char *disk;

    if (!args_text(cli->args, "pool")) {
        fault_set(fault, CLI_USAGE, "--pool is missing: where should %.63s go?", cli_word(cli, 0));
        fault_hint(fault, "vmmctl pool list shows the pools");
        json_decref(disks);
        return NULL;
    }
    json_put_text(body, "pool", args_text(cli->args, "pool"));
    for (size_t i = 0; (disk = args_nth(cli->args, "disk", i)); i++)
        json_array_append_new(disks, json_string(disk));
    if (json_array_size(disks))
        json_object_set(body, "disks", disks);
    json_decref(disks);
    if (args_has(cli->args, "format"))
        json_put_text(body, "format", args_text(cli->args, "format"));
    if (args_has(cli->args, "keep-source"))
        json_put_bool(body, "delete_source", false);
    if (!args_size(cli->args, "bandwidth", 0, &bandwidth, fault))
        return NULL;
    if (args_has(cli->args, "bandwidth"))
        json_put_u64(body, "bandwidth", bandwidth);
    return TAKE(body);
}

/* ---- a dry run ---- */

static void print_plan(struct cli *cli, const json_t *plan)
{
    char bytes[QUANTITY_TEXT], room[QUANTITY_TEXT];
    const json_t *blocker;
    size_t i;

    size_text(json_get_u64(plan, "bytes", 0), bytes);
    size_text(json_get_u64(plan, "free_bytes", 0), room);
    fprintf(cli->out, "%" PRIu64 " files, %s, to the pool %s (%s free); about %" PRIu64 " s\n",
            json_get_u64(plan, "files", 0), bytes, json_get_text(plan, "pool"), room,
            json_get_u64(plan, "estimate_s", 0));
    json_array_foreach (json_object_get(plan, "blockers"), i, blocker)
        fprintf(cli->out, "not possible: %s\n", json_get_text(blocker, "detail"));
}

static bool dry_run(struct cli *cli, const json_t *body, struct fault *fault)
{
    CLEANUP(mem_freep)
    char *path = http_path("/vms/{}/actions/move-storage?dry_run=true", cli_word(cli, 0));
    CLEANUP(mem_freep) char *text = json_write(body);
    const struct http_request request = {.method = "POST",
                                         .path = path,
                                         .content_type = "application/json",
                                         .body = text,
                                         .body_len = strlen(text)};
    CLEANUP(json_decrefp) json_t *reply = http_json(cli->http, &request, fault);
    const json_t *plan = json_object_get(reply, "plan");

    if (!reply)
        return false;
    if (cli->output_given)
        return output_object(cli, plan, plan_columns, fault);
    print_plan(cli, plan);
    return true;
}

bool vm_move_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/vms/{}/actions/move-storage", cli_word(cli, 0));
    CLEANUP(json_decrefp) json_t *body = body_of(cli, fault);
    CLEANUP(json_decrefp) json_t *end = NULL;
    const json_t *result;
    char bytes[QUANTITY_TEXT];
    uint64_t pause_us;

    if (!body)
        return false;
    if (args_has(cli->args, "dry-run"))
        return dry_run(cli, body, fault);
    if (!wait_post(cli, path, body, &end, fault) || !end)
        return !fault->exit;
    result = json_object_get(end, "result");
    pause_us = json_get_u64(result, "pause_us", 0);
    size_text(json_get_u64(result, "bytes", 0), bytes);
    if (pause_us)
        cli_say(cli, "%s moved to %s (%s); it paused for %.1f ms", cli_word(cli, 0),
                args_text(cli->args, "pool"), bytes, (double)pause_us / 1000);
    else
        cli_say(cli, "%s moved to %s (%s)", cli_word(cli, 0), args_text(cli->args, "pool"), bytes);
    return vm_print(cli, cli_word(cli, 0), false, fault);
}
