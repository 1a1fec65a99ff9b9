/* vmmctl media …: what can be put into CD drives. */
#include "cli/list.h"
#include "core/base/mem.h"

static bool media_list_run(struct cli *cli, struct fault *fault) MUST_USE;

static const struct column columns[] = {
    {"NAME", "name", CELL_TEXT, false},
    {"SIZE", "size_bytes", CELL_BYTES, false},
    {"ROOT", "root", CELL_TEXT, false},
    {"MODIFIED", "modified_at", CELL_TIME, false},
    {0},
};

const struct command media_commands[] = {
    {"list", "", 0, 0, USES_LIST | USES_OUTPUT, NULL,
     "list the ISO files in the media folders of the host",
     "People put them there; vmmd only reads them.", "  vmmctl media list --filter name~=debian*",
     media_list_run, false},
    {0},
};

static bool media_list_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/media");

    return list_print(cli, path, columns, fault);
}
