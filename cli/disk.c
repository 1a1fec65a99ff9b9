/* vmmctl disk …: disks of VMs. They are made and deleted with their VM. */
#include "cli/list.h"
#include "core/base/mem.h"

static bool disk_list_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool disk_show_run(struct cli *cli, struct fault *fault) MUST_USE;

static const struct column columns[] = {
    {"ID", "id", CELL_TEXT, false},
    {"VM", "vm", CELL_TEXT, false},
    {"#", "position", CELL_TEXT, false},
    {"SIZE", "size_bytes", CELL_BYTES, false},
    {"USED", "file_bytes", CELL_BYTES, false},
    {"FORMAT", "format", CELL_TEXT, false},
    {"BUS", "bus", CELL_TEXT, true},
    {"POOL", "pool", CELL_TEXT, true},
    {"CREATED", "created_at", CELL_TIME, true},
    {0},
};
static const struct flag list_flags[] = {
    {"vm", 0, "VM", "only those of this VM"},
    {0},
};

const struct command disk_commands[] = {
    {"list", "", 0, 0, USES_LIST | USES_OUTPUT, list_flags, "list disks", NULL,
     "  vmmctl disk list --vm web", disk_list_run, false},
    {"show", "ID", 1, 1, USES_OUTPUT, NULL, "show everything about a disk", NULL, NULL,
     disk_show_run, false},
    {0},
};

static bool disk_list_run(struct cli *cli, struct fault *fault)
{
    const char *vm = args_text(cli->args, "vm");
    CLEANUP(mem_freep) char *path = vm ? http_path("/disks?vm={}", vm) : http_path("/disks");

    return list_print(cli, path, columns, fault);
}

static bool disk_show_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/disks/{}", cli_word(cli, 0));

    return output_shown(cli, path, columns, fault);
}
