/* vmmctl vm clone and vm flatten: VMs with what is on the disks of others. */
#include "cli/quantity.h"
#include "cli/vm.h"
#include "cli/wait.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <inttypes.h>

const struct flag vm_flatten_flags[] = {
    {"bandwidth", 0, "SIZE",
     "so much a second at most, such as 100M; 0: no limit (default: as much as the guest hardly "
     "notices)"},
    {0},
};
const struct flag vm_clone_flags[] = {
    {"snapshot", 0, "SNAPSHOT",
     "of this snapshot, by name or id; else one is taken of the VM as it is"},
    {"full", 0, NULL, "copy everything, so that the two share no file"},
    {"pool", 0, "POOL", "for the new files"},
    {"bandwidth", 0, "SIZE",
     "with --full: so much a second at most, such as 100M; 0: no limit (default: as much as the "
     "guest hardly notices)"},
    {"start", 0, NULL, "start it when it is created"},
    {"dry-run", 0, NULL, "check everything, change nothing"},
    {0},
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

static json_t *make_request(struct cli *cli, struct fault *fault)
{
    CLEANUP(json_decrefp) json_t *request = json_object();
    const char *snapshot = args_text(cli->args, "snapshot"), *pool = args_text(cli->args, "pool");

    json_put_text(request, "name", cli_word(cli, 1));
    if (snapshot)
        json_put_text(request, "snapshot", snapshot);
    if (pool)
        json_put_text(request, "pool", pool);
    if (args_has(cli->args, "full"))
        json_put_bool(request, "full", true);
    if (args_has(cli->args, "start"))
        json_put_bool(request, "start", true);
    return put_bandwidth(cli, request, fault) ? TAKE(request) : NULL;
}

/* What the dry run came to: a conflict, of which all is said, unless it would be possible. */
static bool say_plan(struct cli *cli, const json_t *reply, struct fault *fault)
{
    const json_t *plan = json_object_get(reply, "plan");
    const json_t *blockers = json_object_get(plan, "blockers"), *one;
    const uint64_t bytes = json_get_u64(plan, "bytes", 0);
    char size[QUANTITY_TEXT];
    size_t i;

    json_array_foreach (blockers, i, one)
        fprintf(cli->out, "not possible: %s\n", json_get_text(one, "detail"));
    if (json_array_size(blockers))
        return fault_set(fault, CLI_CONFLICT, "%s", "");
    size_text(bytes, size);
    if (bytes)
        fprintf(cli->out, "%s to copy, about %" PRIu64 " s\n", size,
                json_get_u64(plan, "estimate_s", 0));
    cli_say(cli, "nothing was created; it would be possible");
    return true;
}

bool vm_clone_run(struct cli *cli, struct fault *fault)
{
    const bool dry = args_has(cli->args, "dry-run");
    CLEANUP(mem_freep)
    char *path = http_path(dry ? "/vms/{}/actions/clone?dry_run=true" : "/vms/{}/actions/clone",
                           cli_word(cli, 0));
    CLEANUP(json_decrefp) json_t *request = make_request(cli, fault), *end = NULL;
    CLEANUP(json_decrefp)
    json_t *reply = dry && request ? http_post(cli->http, path, request, fault) : NULL;

    if (!request)
        return false;
    if (dry)
        return reply && say_plan(cli, reply, fault);
    if (!wait_post(cli, path, request, &end, fault) || !end)
        return fault->exit == CLI_OK;
    cli_say(cli, "%s is a clone of %s", cli_word(cli, 1), cli_word(cli, 0));
    return vm_print(cli, cli_word(cli, 1), false, fault);
}

bool vm_flatten_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(json_decrefp) json_t *body = json_object();

    if (!put_bandwidth(cli, body, fault) ||
        !vm_action(cli, cli_word(cli, 0), "flatten", body, fault))
        return false;
    return vm_print(cli, cli_word(cli, 0), false, fault);
}
