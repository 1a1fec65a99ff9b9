/* vmmctl template …: configurations to make VMs from. */
#include "cli/delete.h"
#include "cli/edit.h"
#include "cli/list.h"
#include "cli/member.h"
#include "cli/spec.h"
#include "cli/vm.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/model/vm.h"

#include <string.h>

static bool template_create_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool template_list_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool template_show_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool template_edit_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool template_rename_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool template_delete_run(struct cli *cli, struct fault *fault) MUST_USE;

static const struct column columns[] = {
    {"NAME", "name", CELL_TEXT, false},
    {"PROFILE", "spec.profile", CELL_TEXT, false},
    {"VCPUS", "spec.vcpus", CELL_TEXT, false},
    {"MEMORY", "spec.memory_bytes", CELL_BYTES, false},
    {"NOTES", "notes", CELL_TEXT, false},
    {"LABELS", "labels", CELL_TEXT, true},
    {"CREATED", "created_at", CELL_TIME, true},
    {"BY", "created_by", CELL_TEXT, true},
    {"ID", "id", CELL_TEXT, true},
    {0},
};

const struct command template_commands[] = {
    {"create", "NAME", 1, 1, USES_OUTPUT, vm_create_flags + VM_SPEC_FLAGS,
     "keep a configuration to make VMs from",
     "It holds what is written and nothing else: the rest is chosen when a VM is made from it. "
     "--label and --notes are those of the VMs.",
     "  vmmctl template create builder --vcpus 2 --memory 2G --disk size=32G\n"
     "  vmmctl vm create b1 --template builder --vcpus 4 --start",
     template_create_run, false},
    {"list", "", 0, 0, USES_LIST | USES_OUTPUT, NULL, "list templates", NULL, NULL,
     template_list_run, false},
    {"show", "TEMPLATE", 1, 1, USES_OUTPUT, NULL, "show everything about a template", NULL,
     "  vmmctl template show builder -o yaml", template_show_run, false},
    {"edit", "TEMPLATE", 1, 1, USES_OUTPUT, vm_edit_flags, "change a template",
     "--set is about the VMs' configuration; without --set and --patch all of it is opened in "
     "$VISUAL or $EDITOR as YAML. VMs that were made from it do not change.",
     "  vmmctl template edit builder --set memory=4G", template_edit_run, false},
    {"rename", "TEMPLATE NAME", 2, 2, USES_OUTPUT, NULL, "give a template another name", NULL, NULL,
     template_rename_run, false},
    {"delete", "TEMPLATE...", 1, 256, USES_OUTPUT | USES_CONFIRM, NULL,
     "delete templates; VMs that were made from them stay", NULL, NULL, template_delete_run, false},
    {0},
};

/* ---- editing ---- */

static json_t *writable(const json_t *template)
{
    static const char *const members[] = {"name", "notes", "labels", "spec"};
    json_t *part = json_object();

    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        if (json_object_get(template, members[i]))
            json_object_set(part, members[i], json_object_get(template, members[i]));
    return part;
}

static bool set(const char *text, const json_t *known, json_t *wanted, struct fault *fault)
{
    json_t *spec = json_object_get(wanted, "spec");

    if (!json_is_object(spec)) {
        spec = json_object();
        json_put(wanted, "spec", spec);
    }
    return spec_set(text, json_object_get(known, "spec"), spec, fault);
}

static void tidy(json_t *page)
{
    if (json_is_object(json_object_get(page, "spec")))
        member_tidy(&vm_model, json_object_get(page, "spec"));
}

static const struct editable editable = {.collection = "/templates",
                                         .what = "template",
                                         .file = "template.yaml",
                                         .columns = columns,
                                         .writable = writable,
                                         .set = set,
                                         .tidy = tidy};

static bool template_edit_run(struct cli *cli, struct fault *fault)
{
    return edit_run(cli, &editable, fault);
}

static bool template_rename_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/templates/{}", cli_word(cli, 0));
    CLEANUP(json_decrefp) json_t *patch = json_object(), *changed = NULL;
    const char *name = cli_word(cli, 1);

    if (!str_is_utf8(name, strlen(name)))
        return fault_set(fault, CLI_USAGE, "the name is not UTF-8");
    json_put_text(patch, "name", name);
    changed = edit_patch(cli, path, patch, NULL, false, fault);
    if (!changed)
        return false;
    cli_say(cli, "%s is called %s now", cli_word(cli, 0), name);
    return !(cli->output_given || cli->quiet || cli->fields) ||
           edit_print(cli, &editable, changed, fault);
}

/* ---- the others ---- */

static bool template_create_run(struct cli *cli, struct fault *fault)
{
    bool dry = args_has(cli->args, "dry-run");
    CLEANUP(mem_freep) char *path = http_path(dry ? "/templates?dry_run=true" : "/templates");
    CLEANUP(json_decrefp) json_t *whole = json_object(), *template = NULL;
    json_t *spec = vm_spec_from_flags(cli, fault);

    if (!spec)
        return false;
    json_object_del(spec, "name"); /* each VM gets its own */
    json_put_text(whole, "name", cli_word(cli, 0));
    json_put(whole, "spec", spec);
    template = http_post(cli->http, path, whole, fault);
    return template && edit_print(cli, &editable, template, fault);
}

static bool template_list_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/templates");

    return list_print(cli, path, columns, fault);
}

static bool template_show_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/templates/{}", cli_word(cli, 0));

    return output_shown(cli, path, columns, fault);
}

static bool delete_one(struct cli *cli, const char *ref, struct fault *fault)
{
    CLEANUP(mem_freep) char *question = str_format("Delete the template %s?", ref);

    return object_delete(cli, "/templates", ref, question, "deleted", fault);
}

static bool template_delete_run(struct cli *cli, struct fault *fault)
{
    for (size_t i = 0; i < cli->args->n_words; i++)
        if (!delete_one(cli, cli_word(cli, i), fault))
            return false;
    return true;
}
