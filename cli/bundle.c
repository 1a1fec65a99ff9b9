/* vmmctl bundle …: folders that VMs were exported to. Making them and VMs of them: vm_bundle.c. */
#include "cli/delete.h"
#include "cli/list.h"
#include "core/base/mem.h"
#include "core/base/str.h"

static bool bundle_list_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool bundle_delete_run(struct cli *cli, struct fault *fault) MUST_USE;

static const struct column columns[] = {
    {"NAME", "name", CELL_TEXT, false},
    {"VM", "vm", CELL_TEXT, false},
    {"STATE", "state", CELL_TEXT, false},
    {"SIZE", "size_bytes", CELL_BYTES, false},
    {"SNAPSHOTS", "snapshots", CELL_TEXT, false},
    {"CREATED", "created_at", CELL_TIME, false},
    {"ROOT", "root", CELL_TEXT, true},
    {"ON DISK", "file_bytes", CELL_BYTES, true},
    {"DISKS", "disks", CELL_TEXT, true},
    {"MEMORY", "memory", CELL_TEXT, true},
    {"SAVED", "saved", CELL_TEXT, true},
    {"REASON", "reason", CELL_TEXT, true},
    {0},
};

const struct command bundle_commands[] = {
    {"list", "", 0, 0, USES_LIST | USES_OUTPUT, NULL, "list the bundles in the pool roots",
     "A broken one lacks a file, or has one of another length; -o wide says which.",
     "  vmmctl bundle list --filter state==complete", bundle_list_run, false},
    {"delete", "BUNDLE", 1, 1, USES_OUTPUT | USES_CONFIRM, NULL, "delete a bundle",
     "VMs that were made of it have files of their own.", NULL, bundle_delete_run, false},
    {0},
};

static bool bundle_list_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/bundles");

    return list_print(cli, path, columns, fault);
}

static bool bundle_delete_run(struct cli *cli, struct fault *fault)
{
    const char *ref = cli_word(cli, 0);
    CLEANUP(mem_freep) char *question = str_format("Delete the bundle %s?", ref);

    return object_delete(cli, "/bundles", ref, question, "deleted", fault);
}
