/* vmmctl snapshot export: a disk of a snapshot as an image file. */
#include "cli/snapshot.h"

#include "cli/wait.h"
#include "core/base/fs.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct flag snapshot_export_flags[] = {
    {"format", 0, "FORMAT", "qcow2 (default), raw, vhd or vhdx"},
    {"disk", 0, "N", "which of the VM's disks, from 0 on (default 0)"},
    {"root", 0, "ROOT", "pool root for the image"},
    {"file", 'f', "FILE", "download it, and delete it on the host"},
    {0},
};

static json_t *make_request(struct cli *cli, struct fault *fault)
{
    const char *format = args_text(cli->args, "format"), *root = args_text(cli->args, "root");
    const char *disk = args_text(cli->args, "disk");
    CLEANUP(json_decrefp) json_t *request = json_object();
    char *end;

    if (format)
        json_put_text(request, "format", format);
    if (root)
        json_put_text(request, "root", root);
    if (disk) {
        unsigned long n = strtoul(disk, &end, 10);
        if (*end || end == disk) {
            fault_set(fault, CLI_USAGE, "--disk takes a number");
            return NULL;
        }
        json_put_u64(request, "disk", n);
    }
    return TAKE(request);
}

struct sink {
    int fd;
    struct err err;
};

static bool write_some(void *arg, const char *data, size_t len)
{
    struct sink *sink = arg;

    return fs_write_all(sink->fd, data, len, &sink->err);
}

static bool download(struct cli *cli, const char *name, const char *file, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/exports/{}/content", name);
    CLEANUP(closep) int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct sink sink = {.fd = fd};
    CLEANUP(http_reply_clear) struct http_reply reply = {0};
    const struct http_request request = {
        .method = "GET", .path = path, .timeout_ms = -1, .sink = write_some, .sink_arg = &sink};

    if (fd < 0)
        return fault_set(fault, CLI_FAILED, "%.200s: %s", file, strerror(errno));
    if (!http_call(cli->http, &request, &reply, fault))
        return false;
    return !sink.err.code || fault_err(fault, CLI_FAILED, &sink.err);
}

static bool remove_it(struct cli *cli, const char *name, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/exports/{}", name);
    CLEANUP(http_reply_clear) struct http_reply reply = {0};
    const struct http_request request = {.method = "DELETE", .path = path};

    return http_call(cli->http, &request, &reply, fault);
}

bool snapshot_export_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *found = snapshot_path(cli, fault);
    CLEANUP(mem_freep) char *path = found ? str_format("%s/actions/export", found) : NULL;
    CLEANUP(json_decrefp) json_t *request = path ? make_request(cli, fault) : NULL;
    CLEANUP(json_decrefp) json_t *end = NULL;
    const char *file = args_text(cli->args, "file"), *name;

    if (!request || !wait_post(cli, path, request, &end, fault) || !end)
        return !fault->exit;
    name = json_get_text(json_object_get(end, "result"), "export");
    if (!name)
        return fault_set(fault, CLI_FAILED, "the reply names no export; is this vmmd?");
    if (!file) {
        fprintf(cli->out, "%s\n", name);
        return true;
    }
    if (!download(cli, name, file, fault) || !remove_it(cli, name, fault))
        return false;
    cli_say(cli, "saved %s", file);
    return true;
}
