/* GET /snapshots/{id}/nbd: the connection becomes one to an NBD server that reads a disk of the
 * snapshot. Nothing that passes here is looked at: the client talks to a QEMU in a jail.
 *
 * It lasts until one of the two ends it, the token is no longer good, or vmmd ends. A client that
 * does not take what it asked for is cut off; one that asks for nothing is not. */
#include "api/handlers.h"
#include "api/server.h"
#include "api/stream.h"
#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/model/vm.h"
#include "core/snap/serve.h"
#include "core/snap/snap.h"

#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#define LOOK_MS    500
#define HALF_BYTES (64u << 10)

/* One direction. */
struct half {
    int from, to;
    size_t at, len; /* what was read and not yet written */
    bool over;      /* 'from' has ended */
    char data[HALF_BYTES];
};

struct tunnel {
    struct stream stream;
    struct serve *serve;
    int fd; /* to QEMU */
    struct half up, down;
};

static void tunnel_free(void *arg)
{
    struct tunnel *t = arg;

    closep(&t->fd);
    serve_end(t->serve);
    stream_clear(&t->stream);
    mem_free_secret(t, sizeof *t);
}

/* False: this direction is over. */
static bool move(struct half *h)
{
    ssize_t n;

    if (!h->len && !h->over) {
        n = recv(h->from, h->data, sizeof h->data, MSG_DONTWAIT);
        h->over = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
        h->at = 0;
        h->len = n > 0 ? (size_t)n : 0;
    }
    if (h->len) {
        n = send(h->to, h->data + h->at, h->len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        h->at += (size_t)n;
        h->len -= (size_t)n;
    }
    return h->len || !h->over;
}

/* What there is to wait for: 'p' are the client and QEMU. */
static void wait_for(const struct tunnel *t, struct pollfd p[2])
{
    p[0].events = (short)((t->up.len ? 0 : POLLIN) | (t->down.len ? POLLOUT : 0));
    p[1].events = (short)((t->down.len ? 0 : POLLIN) | (t->up.len ? POLLOUT : 0));
    (void)poll(p, 2, LOOK_MS);
}

static void relay(struct tunnel *t, int client)
{
    struct pollfd p[2] = {{.fd = client}, {.fd = t->fd}};
    bool waits = false;

    t->up.from = t->down.to = client;
    t->up.to = t->down.from = t->fd;
    while (stream_goes_on(&t->stream)) {
        if (!move(&t->up) || !move(&t->down))
            return;
        if (t->down.len && !waits)
            stream_turn_ends(&t->stream); /* it has as long as for any reply */
        else if (!t->down.len)
            stream_turn_begins(&t->stream);
        waits = t->down.len > 0;
        wait_for(t, p);
    }
}

/* On the connection's thread; its end ends the connection. */
static void upgraded(void *cls, struct MHD_Connection *mhd, void *context, const char *extra,
                     size_t extra_len, MHD_socket client, struct MHD_UpgradeResponseHandle *handle)
{
    struct tunnel *t = cls;

    (void)mhd;
    (void)context;
    stream_turn_begins(&t->stream);
    if (extra_len <= sizeof t->up.data) {
        memcpy(t->up.data, extra, extra_len);
        t->up.len = extra_len;
        relay(t, client);
    }
    shutdown(client, SHUT_RDWR);
    MHD_upgrade_action(handle, MHD_UPGRADE_ACTION_CLOSE);
}

static bool asks_for_it(const struct request *rq, struct err *err)
{
    return (rq->head.upgrade && strcasecmp(rq->head.upgrade, "nbd") == 0) ||
           err_set(err, ERR_MALFORMED,
                   "this speaks NBD and not HTTP: ask with Connection: Upgrade and Upgrade: nbd");
}

bool snapshots_nbd(struct request *rq, struct err *err)
{
    struct core *core = rq->api->config.core;
    struct MHD_Response *response;
    struct origin origin;
    char vm[UUID_TEXT];
    struct tunnel *t;
    uint64_t disk;

    if (!request_query_u64(rq, "disk", 0, VM_DISKS_MAX - 1, 0, &disk, err) ||
        !asks_for_it(rq, err) || !request_origin(rq, &origin, err) ||
        !snapshot_vm(core, rq->ref, vm, err))
        return false;
    t = mem_alloc(sizeof *t);
    t->fd = -1;
    stream_init(&t->stream, rq);
    if (!snapshot_serve(core, vm, rq->ref, (unsigned)disk, &origin, &t->serve, &t->fd, err)) {
        tunnel_free(t);
        return false;
    }
    response = MHD_create_response_for_upgrade(upgraded, t);
    if (!response || MHD_add_response_header(response, "Upgrade", "nbd") != MHD_YES) {
        tunnel_free(t);
        return err_set(err, ERR_INTERNAL, "the connection cannot be made an NBD server's");
    }
    return reply_upgrade(rq, response, t, tunnel_free);
}
