/* vmmctl vm edit, vm rename. */
#include "cli/edit.h"
#include "cli/member.h"
#include "cli/spec.h"
#include "cli/vm.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/model/vm.h"

#include <string.h>

const struct flag vm_edit_flags[] = {
    {"set", 0, "MEMBER=VALUE",
     "memory=2G, cpu.max_vcpus=8, label.KEY=VALUE, …; no value: back to the default; man vmmctl-vm "
     "lists the members; may be repeated"},
    {"patch", 0, "JSON", "a merge patch (RFC 7396); @FILE or - read it from a file or stdin"},
    {"dry-run", 0, NULL, "check everything, print what would come out, change nothing"},
    {0},
};

json_t *vm_writable(const json_t *vm)
{
    json_t *part = json_object();

    for (size_t i = 0; i < vm_model.n_fields; i++) {
        const struct field *f = &vm_model.fields[i];
        json_t *value = json_object_get(vm, f->name);

        if (value && !(f->flags & (FIELD_READ_ONLY | FIELD_CREATE_ONLY)))
            json_object_set(part, f->name, value);
    }
    return part;
}

static void tidy(json_t *page)
{
    member_tidy(&vm_model, page);
}

static const struct editable vm_editable = {.collection = "/vms",
                                            .what = "VM",
                                            .file = "vm.yaml",
                                            .columns = vm_columns,
                                            .writable = vm_writable,
                                            .set = spec_set,
                                            .tidy = tidy};

bool vm_edit_run(struct cli *cli, struct fault *fault)
{
    return edit_run(cli, &vm_editable, fault);
}

bool vm_rename_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/vms/{}", cli_word(cli, 0));
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
           edit_print(cli, &vm_editable, changed, fault);
}
