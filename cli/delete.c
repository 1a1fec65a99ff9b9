/* See delete.h. VMs, snapshots and disks go by operations of their own: vm_delete.c, snapshot.c. */
#include "cli/delete.h"

#include "core/base/mem.h"
#include "core/base/str.h"

bool object_delete(struct cli *cli, const char *collection, const char *ref, const char *question,
                   const char *done, struct fault *fault)
{
    CLEANUP(mem_freep) char *pattern = str_format("%s/{}", collection);
    CLEANUP(mem_freep) char *path = http_path(pattern, ref);
    CLEANUP(http_reply_clear) struct http_reply reply = {0};
    struct http_request request = {.method = "DELETE", .path = path};

    if (!cli_confirm(cli, question, fault) || !http_call(cli->http, &request, &reply, fault))
        return false;
    cli_say(cli, "%s is %s", ref, done);
    return true;
}
