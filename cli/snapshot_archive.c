/* vmmctl snapshot archive, snapshot unarchive: the guest's memory of a snapshot, compressed. */
#include "cli/snapshot.h"

#include "cli/quantity.h"
#include "cli/wait.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"

const struct flag snapshot_archive_flags[] = {
    {"dry-run", 0, NULL, "say what stands in the way, change nothing"},
    {0},
};

static bool run(struct cli *cli, const char *action, struct fault *fault)
{
    const bool dry = args_has(cli->args, "dry-run");
    CLEANUP(mem_freep) char *found = snapshot_path(cli, fault);
    CLEANUP(mem_freep)
    char *path =
        found ? str_format("%s/actions/%s%s", found, action, dry ? "?dry_run=true" : "") : NULL;
    CLEANUP(json_decrefp) json_t *end = NULL;
    char before[QUANTITY_TEXT], after[QUANTITY_TEXT];
    const json_t *result;

    if (path && dry) {
        const struct http_request request = {.method = "POST", .path = path};
        CLEANUP(json_decrefp) json_t *reply = http_json(cli->http, &request, fault);
        if (reply)
            cli_say(cli, "nothing stands in the way");
        return reply != NULL;
    }
    if (!path || !wait_post(cli, path, NULL, &end, fault) || !end)
        return !fault->exit;
    result = json_object_get(end, "result");
    size_text(json_get_u64(result, "before_bytes", 0), before);
    size_text(json_get_u64(result, "after_bytes", 0), after);
    cli_say(cli, "the memory of %s took %s and takes %s now", cli_word(cli, 1), before, after);
    return true;
}

bool snapshot_archive_run(struct cli *cli, struct fault *fault)
{
    return run(cli, "archive", fault);
}

bool snapshot_unarchive_run(struct cli *cli, struct fault *fault)
{
    return run(cli, "unarchive", fault);
}
