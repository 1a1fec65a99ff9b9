/* vmmctl disk …: disks of VMs, also while they run. Images on their way to the host:
 * disk_upload.c. */
#include "cli/disk.h"

#include "cli/list.h"
#include "cli/member.h"
#include "cli/quantity.h"
#include "cli/spec.h"
#include "cli/wait.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/model/vm.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS 90000 /* the service looks into an image for 60 s before it answers */

static bool disk_list_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool disk_show_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool disk_add_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool disk_import_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool disk_imports_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool disk_remove_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool disk_grow_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool disk_limit_run(struct cli *cli, struct fault *fault) MUST_USE;

static const struct column columns[] = {
    {"ID", "id", CELL_TEXT, false},
    {"VM", "vm", CELL_TEXT, false},
    {"#", "position", CELL_TEXT, false},
    {"SIZE", "size_bytes", CELL_BYTES, false},
    {"USED", "file_bytes", CELL_BYTES, false},
    {"FORMAT", "format", CELL_TEXT, false},
    {"BUS", "bus", CELL_TEXT, false},
    {"FILES", "files", CELL_TEXT, true},
    {"POOL", "pool", CELL_TEXT, true},
    {"CREATED", "created_at", CELL_TIME, true},
    {0},
};
static const struct column import_columns[] = {
    {"NAME", "name", CELL_TEXT, false},           {"SIZE", "size_bytes", CELL_BYTES, false},
    {"USED", "file_bytes", CELL_BYTES, false},    {"ROOT", "root", CELL_TEXT, false},
    {"STATE", "state", CELL_TEXT, false},         {"UPLOADED", "uploaded_bytes", CELL_BYTES, true},
    {"CHANGED", "modified_at", CELL_TIME, false}, {0},
};
static const struct flag import_flags[] = {
    {"format", 0, "FORMAT", "auto (default), qcow2, raw, vhd, vhdx or vmdk"},
    {"root", 0, "ROOT", "pool root with the image; else that of the disk's pool"},
    {"disk", 0, "KEY=VALUE...", "of the new disk: pool=, format=, bus=, size_bytes=, limits.…"},
    {"check", 0, NULL, "say what the image is and what would come of it; change nothing"},
    {0},
};
static const struct column plan_columns[] = {
    {"FILE", "file", CELL_TEXT, false},
    {"FORMAT", "image_format", CELL_TEXT, false},
    {"SIZE", "image_bytes", CELL_BYTES, false},
    {"COPY TAKES", "bytes", CELL_BYTES, false},
    {"BECOMES", "format", CELL_TEXT, false},
    {"BUS", "bus", CELL_TEXT, false},
    {"OF", "size_bytes", CELL_BYTES, false},
    {"POOL", "pool", CELL_TEXT, false},
    {0},
};
static const struct flag list_flags[] = {
    {"vm", 0, "VM", "only those of this VM"},
    {0},
};
static const struct flag limit_flags[] = {
    {"none", 0, NULL, "no limits any more"},
    {0},
};

const struct command disk_commands[] = {
    {"list", "", 0, 0, USES_LIST | USES_OUTPUT, list_flags, "list disks", NULL,
     "  vmmctl disk list --vm web", disk_list_run, false},
    {"show", "DISK", 1, 1, USES_OUTPUT, NULL, "show everything about a disk",
     "DISK is its id, or VM/N for the one with the number N that 'disk list' shows.", NULL,
     disk_show_run, false},
    {"add", "VM SIZE[,KEY=VALUE...]", 2, 2, USES_OUTPUT | USES_WAIT, NULL,
     "add a new, empty disk to a VM",
     "After the size may come pool=, format= (qcow2, raw, vhd, vhdx), bus= (virtio, scsi, ide, "
     "usb, "
     "nvme) and limits.… as of 'vm create --disk'. A running VM gets it at once, but for ide.",
     "  vmmctl disk add web 8G\n  vmmctl disk add web 100G,pool=big,bus=scsi", disk_add_run, false},
    {"import", "VM FILE", 2, 2, USES_OUTPUT | USES_WAIT, import_flags,
     "make a disk of a VM out of an image",
     "FILE is the name of a qcow2, raw, vhd, vhdx or vmdk image in the folder imports of a pool "
     "root, where 'vmmctl disk upload' or somebody with access to the host has put it: 'vmmctl "
     "disk imports' lists them. "
     "It is copied and stays as it is. An image without a header is only taken with --format raw. "
     "The disk is as large as that in the image unless --disk size_bytes= says more.",
     "  vmmctl disk import web old.vhdx\n"
     "  vmmctl disk import web data.img --format raw --disk pool=big,format=raw,bus=scsi",
     disk_import_run, false},
    {"imports", "", 0, 0, USES_LIST | USES_OUTPUT, NULL, "list images that can be imported", NULL,
     NULL, disk_imports_run, false},
    {"upload", "FILE", 1, 1, 0, disk_upload_flags,
     "bring an image to the host, to be imported there",
     "Goes into the folder imports of a pool root. The same command goes on with an upload that "
     "was "
     "broken off, for seven days; a broken connection is taken up by itself. The image is there "
     "when the host has found it to be whole.",
     "  vmmctl disk upload old.vhdx\n  vmmctl disk import web old.vhdx", disk_upload_run, false},
    {"delete-image", "IMAGE", 1, 1, USES_CONFIRM, disk_delete_image_flags,
     "delete an image to import, or what has been uploaded of it",
     "Disks that were made of it are not touched.", NULL, disk_delete_image_run, false},
    {"remove", "DISK", 1, 1, USES_OUTPUT | USES_WAIT | USES_CONFIRM, NULL,
     "remove a disk and its data",
     "DISK is its id, or VM/N. A running guest has 30 s to let go of it: unmount it there first. "
     "What snapshots have of it stays.",
     "  vmmctl disk remove web/1", disk_remove_run, false},
    {"grow", "DISK SIZE", 2, 2, USES_OUTPUT | USES_WAIT, NULL, "make a disk larger",
     "DISK is its id, or VM/N. SIZE is what it has then, or +SIZE what it gets more. Its "
     "partitions "
     "and file systems are the guest's to grow.",
     "  vmmctl disk grow web/0 20G\n  vmmctl disk grow web/0 +10G", disk_grow_run, false},
    {"limit", "DISK [LIMIT=N]...", 1, 20, USES_OUTPUT, limit_flags,
     "limit what a guest may do to a disk",
     "DISK is its id, or VM/N. LIMIT is iops, iops_read, iops_write, bytes_per_s, "
     "read_bytes_per_s, write_bytes_per_s; each with _burst for a higher one that holds for "
     "burst_s seconds. A running VM has them at once; N of 0 takes one away.",
     "  vmmctl disk limit web/0 iops=500 iops_burst=2000 burst_s=10\n"
     "  vmmctl disk limit web/0 write_bytes_per_s=50M\n  vmmctl disk limit web/0 --none",
     disk_limit_run, false},
    {0},
};

/* ---- finding one ---- */

/* "web/1": the disk of the VM with this position. */
static json_t *find_by_number(struct cli *cli, const char *ref, const char *slash,
                              struct fault *fault)
{
    CLEANUP(mem_freep) char *vm = str_format("%.*s", (int)(slash - ref), ref);
    CLEANUP(mem_freep) char *path = http_path("/vms/{}/disks", vm);
    CLEANUP(json_decrefp) json_t *list = list_fetch(cli, path, 0, fault);
    char *end;
    unsigned long n = strtoul(slash + 1, &end, 10);
    json_t *one;
    size_t i;

    if (!list)
        return NULL;
    json_array_foreach (list, i, one)
        if (slash[1] && !*end && json_get_u64(one, "position", UINT64_MAX) == n)
            return json_incref(one);
    fault_set(fault, CLI_NOT_FOUND, "%.63s has no disk '%.20s'", vm, slash + 1);
    fault_hint(fault, "vmmctl disk list --vm %.63s lists them with their numbers", vm);
    return NULL;
}

/* The disk that the first word of the command line means; owned by the caller. */
static json_t *find(struct cli *cli, struct fault *fault)
{
    const char *ref = cli_word(cli, 0), *slash = strchr(ref, '/');
    CLEANUP(mem_freep) char *path = NULL;

    if (slash)
        return find_by_number(cli, ref, slash, fault);
    path = http_path("/disks/{}", ref);
    return http_get(cli->http, path, fault);
}

static bool print(struct cli *cli, const char *id, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/disks/{}", id);

    return output_shown(cli, path, columns, fault);
}

/* ---- the commands ---- */

static bool disk_list_run(struct cli *cli, struct fault *fault)
{
    const char *vm = args_text(cli->args, "vm");
    CLEANUP(mem_freep) char *path = vm ? http_path("/disks?vm={}", vm) : http_path("/disks");

    return list_print(cli, path, columns, fault);
}

static bool disk_show_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(json_decrefp) json_t *disk = NULL;

    if (!strchr(cli_word(cli, 0), '/'))
        return print(cli, cli_word(cli, 0), fault);
    disk = find(cli, fault);
    return disk && print(cli, json_get_text(disk, "id"), fault);
}

static bool post_disk(struct cli *cli, const json_t *body, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/vms/{}/disks", cli_word(cli, 0));
    CLEANUP(json_decrefp) json_t *operation = NULL;
    CLEANUP(json_decrefp) json_t *end = NULL;
    const char *id;

    operation = http_post_for(cli->http, path, body, LOOK_MS, fault);
    if (!operation || !wait_follow(cli, operation, &end, fault) || !end)
        return !fault->exit;
    id = json_get_text(json_object_get(end, "result"), "disk");
    if (id && cli->output_given)
        return print(cli, id, fault);
    if (id && cli->quiet)
        fprintf(cli->out, "%s\n", id);
    cli_say(cli, "%s has the disk %s", cli_word(cli, 0), id ? id : "");
    return true;
}

static bool disk_add_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(json_decrefp) json_t *body = spec_disk(cli_word(cli, 1), fault);

    return body && post_disk(cli, body, fault);
}

static bool check_import(struct cli *cli, const json_t *body, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/vms/{}/disks?dry_run=true", cli_word(cli, 0));
    CLEANUP(json_decrefp) json_t *reply = http_post_for(cli->http, path, body, LOOK_MS, fault);

    return reply && output_object(cli, json_object_get(reply, "plan"), plan_columns, fault);
}

static bool disk_import_run(struct cli *cli, struct fault *fault)
{
    const char *format = args_text(cli->args, "format"), *root = args_text(cli->args, "root");
    const char *disk = args_text(cli->args, "disk");
    CLEANUP(json_decrefp) json_t *body = disk ? spec_disk_sized(disk, fault) : json_object();
    json_t *source;

    if (!body)
        return false;
    source = json_object();
    json_put_text(source, "file", cli_word(cli, 1));
    if (format)
        json_put_text(source, "format", format);
    if (root)
        json_put_text(source, "root", root);
    json_put(body, "source", source);
    if (args_has(cli->args, "check"))
        return check_import(cli, body, fault);
    return post_disk(cli, body, fault);
}

static bool disk_imports_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/imports");

    return list_print(cli, path, import_columns, fault);
}

static bool disk_remove_run(struct cli *cli, struct fault *fault)
{
    const char *ref = cli_word(cli, 0);
    CLEANUP(json_decrefp) json_t *disk = find(cli, fault);
    CLEANUP(mem_freep)
    char *question = str_format("Remove the disk %.63s and what is on it?", ref);
    CLEANUP(json_decrefp) json_t *operation = NULL;
    CLEANUP(mem_freep) char *path = NULL;
    struct http_request request = {.method = "DELETE"};

    if (!disk || !cli_confirm(cli, question, fault))
        return false;
    request.path = path = http_path("/disks/{}", json_get_text(disk, "id"));
    operation = http_json(cli->http, &request, fault);
    if (!operation || !wait_follow(cli, operation, NULL, fault))
        return false;
    if (cli->wait)
        cli_say(cli, "the disk %s is removed", ref);
    return true;
}

/* "20G", or "+10G" beyond what there is. */
static bool wanted_size(const char *text, uint64_t now, uint64_t *out, struct fault *fault)
{
    bool more = *text == '+';

    if (!size_parse(text + more, out) || (more && *out > UINT64_MAX - now))
        return fault_set(fault, CLI_USAGE, "'%.40s' is no size: write 20G, or +10G for more", text);
    if (more)
        *out += now;
    return true;
}

static bool disk_grow_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(json_decrefp) json_t *disk = find(cli, fault), *body = json_object();
    CLEANUP(mem_freep) char *path = NULL;
    char text[QUANTITY_TEXT];
    uint64_t size;

    if (!disk || !wanted_size(cli_word(cli, 1), json_get_u64(disk, "size_bytes", 0), &size, fault))
        return false;
    path = http_path("/disks/{}/actions/grow", json_get_text(disk, "id"));
    json_put_u64(body, "size_bytes", size);
    if (!wait_post(cli, path, body, NULL, fault))
        return false;
    size_text(size, text);
    if (cli->wait)
        cli_say(cli, "the disk %s has %s", cli_word(cli, 0), text);
    return true;
}

/* One "iops=100" into 'limits'; what is in bytes may be written 10M. */
static bool put_limit(json_t *limits, const char *text, struct fault *fault)
{
    static const struct member_of of = {&disk_limits_model, "disk limit", NULL};
    const char *equals = strchr(text, '=');
    CLEANUP(mem_freep)
    char *key = equals ? str_format("%.*s", (int)(equals - text), text) : NULL;
    CLEANUP(mem_freep) char *number = NULL;
    uint64_t bytes;

    if (!key || !equals[1])
        return fault_set(fault, CLI_USAGE, "'%.60s': write LIMIT=N, such as iops=500", text);
    if (strstr(key, "bytes_per_s") && size_parse(equals + 1, &bytes))
        number = str_format("%" PRIu64, bytes);
    return member_set(&of, limits, key, number ? number : equals + 1, fault);
}

static json_t *limits_of(struct cli *cli, struct fault *fault)
{
    json_t *patch = json_object(), *limits = json_object();
    bool none = args_has(cli->args, "none"), ok = true;

    for (size_t i = 1; ok && i < cli->args->n_words; i++)
        ok = put_limit(limits, cli_word(cli, i), fault);
    if (ok && none == (cli->args->n_words > 1))
        ok = fault_set(fault, CLI_USAGE, "say the limits (iops=500) or --none");
    if (none)
        json_decref(limits);
    json_put(patch, "limits", none ? json_null() : limits);
    if (ok)
        return patch;
    json_decref(patch);
    return NULL;
}

static bool disk_limit_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(json_decrefp) json_t *patch = limits_of(cli, fault), *disk = NULL, *done = NULL;
    CLEANUP(mem_freep) char *path = NULL, *body = NULL;
    struct http_request request = {.method = "PATCH",
                                   .content_type = "application/merge-patch+json"};

    disk = patch ? find(cli, fault) : NULL;
    if (!disk)
        return false;
    request.path = path = http_path("/disks/{}", json_get_text(disk, "id"));
    request.body = body = json_write(patch);
    request.body_len = strlen(body);
    done = http_json(cli->http, &request, fault);
    if (!done)
        return false;
    if (cli->output_given || cli->quiet)
        return output_object(cli, done, columns, fault);
    cli_say(cli, "the limits of %s are set", cli_word(cli, 0));
    return true;
}
