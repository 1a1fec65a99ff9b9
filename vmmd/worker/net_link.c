/* The worker's end of vmmd-net: see net_link.h. Its socket is the worker's hold on it: whatever way
 * it closes, vmmd-net and passt end. */
#include "vmmd/worker/net_link.h"

#include "core/base/failpoint.h"
#include "core/base/frame.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "vmmd/net/proto.h"
#include "vmmd/worker/worker.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

bool net_link_check(const struct worker *w, const struct spec *spec, struct err *err)
{
    const char *argv[PASST_MAX_ARGS];

    if (!spec->has_passt)
        return true;
    if (w->net.sock < 0)
        return err_set(err, ERR_UNSUPPORTED, "this worker has no process for its guest's network");
    if (!passt_is_present())
        return err_set(
            err, ERR_UNSUPPORTED,
            "%s is missing: install the package passt, or remove the VM's network adapters",
            PASST_PATH);
    return passt_argv(spec->passt, spec->n_passt, argv, err);
}

bool net_link_run(struct worker *w, const struct spec *spec, int sock, int messages,
                  struct err *err)
{
    CLEANUP(strbuf_clear) struct strbuf words = {0};
    const int fds[NET_ATTACHED] = {[NET_SOCK] = sock, [NET_MESSAGES] = messages};
    struct frame_header head = {.type = NET_RUN, .n_fds = NET_ATTACHED};

    for (unsigned i = 0; i < spec->n_passt; i++)
        strbuf_add(&words, spec->passt[i], strlen(spec->passt[i]) + 1);
    head.length = (uint32_t)words.len;
    if (w->net.sock < 0)
        return err_set(err, ERR_INTERNAL, "the process for the guest's network has ended");
    if (!FAILPOINT("worker.net", err) || !frame_send(w->net.sock, &head, words.data, fds, err))
        return false;
    w->net.asked = true;
    return true;
}

static void say(bool has_status, int status)
{
    if (has_status && WIFSIGNALED(status))
        log_warn("passt was ended by signal %d: the guest has lost its network", WTERMSIG(status));
    else if (has_status)
        log_warn("passt has ended with the status %d: the guest has lost its network",
                 WEXITSTATUS(status));
    else
        log_warn("passt has ended with vmmd-net: the guest has lost its network");
}

void net_link_ready(struct worker *w)
{
    int32_t status = 0;
    const bool has_status =
        recv(w->net.sock, &status, sizeof status, MSG_DONTWAIT) == (ssize_t)sizeof status;

    closep(&w->net.sock);
    if (!w->net.asked) {
        log_warn("vmmd-net has ended before it was asked for anything");
        return;
    }
    say(has_status, status);
    events_add(w, "WORKER_PASST_ENDED", NULL);
}
