/* vmmctl vm insert, vm eject: the medium in a CD drive, which a running VM changes at once. */
#include "cli/edit.h"
#include "cli/vm.h"
#include "core/base/json.h"
#include "core/base/mem.h"

#include <string.h>

const struct flag vm_media_flags[] = {
    {"drive", 0, "N", "which CD drive, from 0 on (default 0)"},
    {0},
};

/* The list of drives with another medium in one of them; NULL with a fault. */
static json_t *drives_with(struct cli *cli, const json_t *vm, const char *medium,
                           struct fault *fault)
{
    const json_t *now = json_object_get(vm, "cdroms");
    json_t *drives, *drive;
    uint64_t n;

    if (!args_number(cli->args, "drive", 0, &n, fault))
        return NULL;
    if (n >= json_array_size(now)) {
        fault_set(fault, CLI_CONFLICT, "%.63s has %zu CD drives", cli_word(cli, 0),
                  json_array_size(now));
        fault_hint(fault,
                   "one more comes with its next start: vmmctl vm edit %.63s --set "
                   "cdroms.%zu.media=ISO",
                   cli_word(cli, 0), json_array_size(now));
        return NULL;
    }
    drives = json_deep_copy(now);
    drive = json_array_get(drives, (size_t)n);
    json_put_text(drive, "media", medium);
    return drives;
}

static bool change(struct cli *cli, const char *medium, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/vms/{}", cli_word(cli, 0));
    CLEANUP(http_reply_clear) struct http_reply reply = {0};
    struct http_request get = {.method = "GET", .path = path};
    CLEANUP(json_decrefp) json_t *vm = NULL, *patch = json_object(), *changed = NULL;
    CLEANUP(mem_freep) char *etag = NULL;
    json_t *drives;

    if (!http_call(cli->http, &get, &reply, fault))
        return false;
    etag = http_header(&reply, "ETag");
    vm = http_parse(reply.body.data, reply.body.len, fault);
    drives = vm ? drives_with(cli, vm, medium, fault) : NULL;
    if (!drives)
        return false;
    json_put(patch, "cdroms", drives);
    changed = edit_patch(cli, path, patch, etag, false, fault);
    if (!changed)
        return false;
    if (json_get_text(changed, "pending_reason"))
        cli_say(cli, "it changes at the VM's next start: %s",
                json_get_text(changed, "pending_reason"));
    return vm_print(cli, cli_word(cli, 0), false, fault);
}

bool vm_insert_run(struct cli *cli, struct fault *fault)
{
    const char *medium = cli_word(cli, 1);

    if (!str_is_utf8(medium, strlen(medium)))
        return fault_set(fault, CLI_USAGE, "the name of the medium is not UTF-8");
    return change(cli, medium, fault);
}

bool vm_eject_run(struct cli *cli, struct fault *fault)
{
    return change(cli, NULL, fault);
}
