/* vmmctl snapshot diff and snapshot screenshot: what a snapshot was like. */
#include "cli/snapshot.h"

#include "cli/list.h"
#include "cli/picture.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <stdio.h>
#include <string.h>

const struct flag snapshot_screenshot_flags[] = {
    {"file", 'f', "FILE", "where to (default VM-SNAPSHOT.png; - for standard output)"},
    {0},
};

const struct flag snapshot_diff_flags[] = {
    {"exact", 0, NULL, "count what was changed, between two snapshots: takes a second or more"},
    {0},
};

static const struct column diff_columns[] = {
    {"DISK", "position", CELL_TEXT, false},
    {"CHANGED", "changed_bytes", CELL_BYTES, false},
    {"AT MOST", "at_most_bytes", CELL_BYTES, false},
    {"FILES", "files", CELL_TEXT, false},
    {"SIZE THEN", "from_size_bytes", CELL_BYTES, false},
    {"SIZE", "to_size_bytes", CELL_BYTES, false},
    {"ID", "disk", CELL_TEXT, true},
    {0},
};

bool snapshot_diff_run(struct cli *cli, struct fault *fault)
{
    const char *other = cli->args->n_words > 2 ? cli_word(cli, 2) : "current";
    CLEANUP(mem_freep) char *found = snapshot_path(cli, fault);
    CLEANUP(mem_freep) char *to = http_encode(other);
    const char *exact = args_has(cli->args, "exact") ? "&exact=true" : "";
    CLEANUP(mem_freep) char *path = found ? str_format("%s/diff?to=%s%s", found, to, exact) : NULL;
    CLEANUP(json_decrefp) json_t *diff = path ? http_get(cli->http, path, fault) : NULL;

    return diff && output_list(cli, json_object_get(diff, "disks"), diff_columns, fault);
}

bool snapshot_screenshot_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *found = snapshot_path(cli, fault);
    CLEANUP(mem_freep) char *path = found ? str_format("%s/screenshot", found) : NULL;
    CLEANUP(mem_freep) char *name = str_format("%s-%s", cli_word(cli, 0), cli_word(cli, 1));

    return path && picture_fetch(cli, path, name, fault);
}
