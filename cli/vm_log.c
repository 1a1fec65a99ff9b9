/* vmmctl vm log: the last lines of what QEMU or the guest's serial port wrote. */
#include "cli/vm.h"
#include "core/base/mem.h"

#include <errno.h>
#include <string.h>

const struct flag vm_log_flags[] = {
    {"serial", 0, "[=PORT]", "of a serial port (default 0) instead of QEMU's log"},
    {"lines", 'n', "N", "so many lines, up to 10000 (default 100)"},
    {0},
};

bool vm_log_run(struct cli *cli, struct fault *fault)
{
    const char *port = args_text_or(cli->args, "serial", "0");
    CLEANUP(mem_freep) char *base = http_path("/vms/{}/log", cli_word(cli, 0));
    CLEANUP(mem_freep) char *encoded = port ? http_encode(port) : NULL;
    CLEANUP(mem_freep) char *path = NULL;
    CLEANUP(http_reply_clear) struct http_reply reply = {0};
    struct http_request request = {.method = "GET"};
    uint64_t lines;

    if (!args_number(cli->args, "lines", 100, &lines, fault))
        return false;
    path = str_format("%s?lines=%llu%s%s", base, (unsigned long long)lines,
                      port ? "&source=serial&port=" : "", port ? encoded : "");
    request.path = path;
    if (!http_call(cli->http, &request, &reply, fault))
        return false;
    return fwrite(reply.body.data ? reply.body.data : "", 1, reply.body.len, cli->out) ==
               reply.body.len ||
           fault_set(fault, CLI_FAILED, "writing the output: %s", strerror(errno));
}
