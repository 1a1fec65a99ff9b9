/* vmmctl vm export and vm import: a VM becomes a folder to carry to another host, and a folder one.
 */
#include "cli/quantity.h"
#include "cli/vm.h"
#include "cli/wait.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <inttypes.h>
#include <string.h>

#define BANDWIDTH_TEXT "so much a second at most, such as 100M; 0: no limit"

const struct flag vm_export_flags[] = {
    {"to", 0, "POOL", "the bundle goes to this pool's root: a name or an id"},
    {"as", 0, "NAME", "of the bundle (default: the VM's)"},
    {"no-snapshots", 0, NULL, "the present state alone"},
    {"memory", 0, NULL, "of a VM that runs: with the guest's memory, or not at all"},
    {"disk-only", 0, NULL, "of a VM that runs: as after a power cut"},
    {"bandwidth", 0, "SIZE", BANDWIDTH_TEXT},
    {"dry-run", 0, NULL, "say what would be copied and what stands in the way"},
    {0},
};

const struct flag vm_import_flags[] = {
    {"pool", 'p', "POOL", "for its files: a name or an id"},
    {"as", 0, "NAME", "of the VM (default: as it was called)"},
    {"keep-identity", 0, NULL, "with the ids and MAC addresses that it had"},
    {"drop-memory", 0, NULL, "off, and snapshots with their disks alone"},
    {"start", 0, NULL, "start it afterwards"},
    {"bandwidth", 0, "SIZE", BANDWIDTH_TEXT},
    {"check", 0, NULL, "say what differs here and what stands in the way, change nothing"},
    {0},
};

static const struct column finding_columns[] = {
    {"CODE", "code", CELL_TEXT, false},
    {"EFFECT", "effect", CELL_TEXT, false},
    {"DETAIL", "detail", CELL_TEXT, false},
    {"REMEDY", "remedy", CELL_TEXT, false},
    {0},
};

static const struct column plan_columns[] = {
    {"BUNDLE", "bundle", CELL_TEXT, false},     {"FILES", "files", CELL_TEXT, false},
    {"BYTES", "bytes", CELL_BYTES, false},      {"SECONDS", "estimate_s", CELL_TEXT, false},
    {"BLOCKERS", "blockers", CELL_TEXT, false}, {0},
};

static bool put_bandwidth(struct cli *cli, json_t *body, struct fault *fault)
{
    uint64_t bandwidth;

    if (!args_size(cli->args, "bandwidth", 0, &bandwidth, fault))
        return false;
    if (args_has(cli->args, "bandwidth"))
        json_put_u64(body, "bandwidth", bandwidth);
    return true;
}

static json_t *ask_plan(struct cli *cli, const char *path, const json_t *body, struct fault *fault)
{
    CLEANUP(mem_freep) char *dry = str_format("%s?dry_run=true", path);
    CLEANUP(mem_freep) char *text = json_write(body);
    const struct http_request request = {.method = "POST",
                                         .path = dry,
                                         .content_type = "application/json",
                                         .body = text,
                                         .body_len = strlen(text)};

    return http_json(cli->http, &request, fault);
}

/* ---- export ---- */

static json_t *export_body(struct cli *cli, struct fault *fault)
{
    CLEANUP(json_decrefp) json_t *body = json_object();

    if (!args_text(cli->args, "to")) {
        fault_set(fault, CLI_USAGE, "--to is missing: to which pool's root should %.63s go?",
                  cli_word(cli, 0));
        fault_hint(fault, "vmmctl pool list shows the pools");
        return NULL;
    }
    json_put_text(body, "pool", args_text(cli->args, "to"));
    if (args_text(cli->args, "as"))
        json_put_text(body, "name", args_text(cli->args, "as"));
    if (args_has(cli->args, "no-snapshots"))
        json_put_bool(body, "snapshots", false);
    if (args_has(cli->args, "memory"))
        json_put_text(body, "consistency", "running");
    else if (args_has(cli->args, "disk-only"))
        json_put_text(body, "consistency", "disk");
    return put_bandwidth(cli, body, fault) ? TAKE(body) : NULL;
}

static void print_export(struct cli *cli, const json_t *plan)
{
    char bytes[QUANTITY_TEXT];
    const json_t *blocker;
    size_t i;

    size_text(json_get_u64(plan, "bytes", 0), bytes);
    fprintf(cli->out, "%" PRIu64 " files, %s, to the bundle %s; about %" PRIu64 " s\n",
            json_get_u64(plan, "files", 0), bytes, json_get_text(plan, "bundle"),
            json_get_u64(plan, "estimate_s", 0));
    json_array_foreach (json_object_get(plan, "blockers"), i, blocker)
        fprintf(cli->out, "not possible: %s\n", json_get_text(blocker, "detail"));
}

static bool export_dry(struct cli *cli, const char *path, const json_t *body, struct fault *fault)
{
    CLEANUP(json_decrefp) json_t *reply = ask_plan(cli, path, body, fault);
    const json_t *plan = json_object_get(reply, "plan");

    if (!reply)
        return false;
    if (cli->output_given)
        return output_object(cli, plan, plan_columns, fault);
    print_export(cli, plan);
    return true;
}

bool vm_export_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/vms/{}/actions/export", cli_word(cli, 0));
    CLEANUP(json_decrefp) json_t *body = export_body(cli, fault);
    CLEANUP(json_decrefp) json_t *end = NULL;
    const json_t *result;

    if (!body)
        return false;
    if (args_has(cli->args, "dry-run"))
        return export_dry(cli, path, body, fault);
    if (!wait_post(cli, path, body, &end, fault) || !end)
        return !fault->exit;
    result = json_object_get(end, "result");
    cli_say(cli, "%s exported to vmmd-bundles/%s in the pool root %s", cli_word(cli, 0),
            json_get_text(result, "bundle"), json_get_text(result, "root"));
    return true;
}

/* ---- import ---- */

static json_t *import_body(struct cli *cli, struct fault *fault)
{
    CLEANUP(json_decrefp) json_t *body = json_object();

    if (!args_text(cli->args, "pool")) {
        fault_set(fault, CLI_USAGE, "--pool is missing: where should the files of %.63s go?",
                  cli_word(cli, 0));
        fault_hint(fault, "vmmctl pool list shows the pools");
        return NULL;
    }
    json_put_text(body, "bundle", cli_word(cli, 0));
    json_put_text(body, "pool", args_text(cli->args, "pool"));
    if (args_text(cli->args, "as"))
        json_put_text(body, "name", args_text(cli->args, "as"));
    if (args_has(cli->args, "keep-identity"))
        json_put_text(body, "identity", "keep");
    if (args_has(cli->args, "drop-memory"))
        json_put_bool(body, "drop_memory", true);
    if (args_has(cli->args, "start"))
        json_put_bool(body, "start", true);
    return put_bandwidth(cli, body, fault) ? TAKE(body) : NULL;
}

static void print_findings(struct cli *cli, const json_t *plan)
{
    char bytes[QUANTITY_TEXT];
    const json_t *one;
    size_t i;

    size_text(json_get_u64(plan, "bytes", 0), bytes);
    fprintf(cli->out, "%" PRIu64 " files, %s; about %" PRIu64 " s\n",
            json_get_u64(plan, "files", 0), bytes, json_get_u64(plan, "estimate_s", 0));
    json_array_foreach (json_object_get(plan, "findings"), i, one)
        fprintf(cli->out, "%s: %s\n  %s\n",
                str_eq(json_get_text(one, "effect"), "blocks") ? "not possible" : "differs",
                json_get_text(one, "detail"), json_get_text(one, "remedy"));
}

/* Whole for programs; of a table the findings are the lines. */
static bool output_findings(struct cli *cli, const json_t *plan, struct fault *fault)
{
    if (cli->output == OUTPUT_JSON || cli->output == OUTPUT_JSONL || cli->output == OUTPUT_YAML)
        return output_object(cli, plan, plan_columns, fault);
    return output_list(cli, json_object_get(plan, "findings"), finding_columns, fault);
}

static bool import_check(struct cli *cli, const char *path, const json_t *body, struct fault *fault)
{
    CLEANUP(json_decrefp) json_t *reply = ask_plan(cli, path, body, fault);
    const json_t *plan = json_object_get(reply, "plan");

    if (!reply)
        return false;
    if (!cli->output_given)
        print_findings(cli, plan);
    else if (!output_findings(cli, plan, fault))
        return false;
    return json_array_size(json_object_get(plan, "blockers")) == 0 ||
           fault_set(fault, CLI_FAILED, "%s cannot be imported like that", cli_word(cli, 0));
}

bool vm_import_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/vms/actions/import");
    CLEANUP(json_decrefp) json_t *body = import_body(cli, fault);
    CLEANUP(json_decrefp) json_t *end = NULL;
    const char *vm;

    if (!body)
        return false;
    if (args_has(cli->args, "check"))
        return import_check(cli, path, body, fault);
    if (!wait_post(cli, path, body, &end, fault) || !end)
        return !fault->exit;
    vm = json_get_text(json_object_get(end, "result"), "vm");
    if (!vm)
        return fault_set(fault, CLI_FAILED, "the reply names no VM; is this vmmd?");
    return vm_print(cli, vm, true, fault);
}
