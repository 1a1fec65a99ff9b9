/* The HTTP server: libmicrohttpd's callbacks. Connections come from api.c.
 *
 * Theory of operation. A thread per connection; the callbacks below run on it, blocking and linear:
 *
 *   api_add_*()  ─► on_connection(STARTED)
 *   request line ─► on_target()      a request begins
 *   head         ─► on_request() #1  request_check(): all that can be said before the body
 *   body, pieces ─► on_request() …   collected up to the limit; a file: taken by intake_add()
 *   end of body  ─► on_request() #n  the handler, the reply
 *   reply sent   ─► on_completed()
 *   hung up      ─► on_connection(CLOSED)
 *
 * A request that is refused while a body is still to come is answered at once and the connection is
 * closed: libmicrohttpd itself does that for POST and PUT only and would read on for the others, so
 * the answer is written past it (reply_refuse()).
 *
 * Stopping: libmicrohttpd shuts all sockets down and then waits for its threads. So everything that
 * waits inside a callback must be woken first, and gets a moment to send its last words. Hence
 * api_stop(): 'stopping', core_interrupt(), until 'active' is 0, MHD_stop_daemon(), watchdog. */
#include "api/server.h"

#include "api/auth.h"
#include "api/intake.h"
#include "api/problem.h"
#include "api/routes.h"
#include "api/trail.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/user/sight.h"

#include <inttypes.h>
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>

#define POOL_BYTES  (24u << 10) /* of a connection: bounds its head */
#define STACK_BYTES (1u << 20)  /* reserved, not used: core's calls run on it */

static void log_http(void *cls, const char *fmt, va_list args)
    __attribute__((format(printf, 2, 0)));
static void log_http(void *cls, const char *fmt, va_list args)
{
    char line[256];

    (void)cls;
    if (str_starts(fmt, "Setting "))
        return; /* once a reply: unix sockets know no TCP_CORK and no TCP_NODELAY */
    vsnprintf(line, sizeof line, fmt, args);
    line[strcspn(line, "\n")] = 0;
    /* None is more than that: clients hang up, and reply_refuse() closes on purpose. */
    log_debug("http: %s", line);
}

/* libmicrohttpd shall not decode: target.c does it, strictly. */
static size_t keep_encoded(void *cls, struct MHD_Connection *connection, char *text)
{
    (void)cls;
    (void)connection;
    return strlen(text);
}

static void on_connection(void *cls, struct MHD_Connection *mhd, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct api *api = cls;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
        *context = conn_adopt(&api->conns, info->connect_fd);
    } else if (*context) {
        conn_free(*context);
        *context = NULL;
    }
}

static void *on_target(void *cls, const char *uri, struct MHD_Connection *mhd)
{
    struct api *api = cls;
    struct conn *conn =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;

    (void)uri;
    if (!conn)
        return NULL;
    conn_deadline(conn, METER_HEAD, api->config.head_ms);
    request_begin(&conn->request);
    conn->request.api = api;
    conn->request.conn = conn;
    conn->request.mhd = mhd;
    snprintf(conn->request.id, sizeof conn->request.id, "r-%s%08" PRIx32, api->id_prefix,
             atomic_fetch_add(&api->id_counter, 1));
    return &conn->request;
}

/* Either this sees 'stopping', or await_requests() sees the new count. */
static void request_ends(struct api *api)
{
    atomic_fetch_sub(&api->active, 1);
    if (!atomic_load(&api->stopping))
        return;
    lock_take(&api->conns.lock);
    cond_wake_all(&api->conns.changed);
    lock_drop(&api->conns.lock);
}

static void on_completed(void *cls, struct MHD_Connection *mhd, void **context,
                         enum MHD_RequestTerminationCode how)
{
    struct request *rq = *context;

    (void)cls;
    (void)mhd;
    (void)how;
    if (!rq)
        return;
    *context = NULL;
    if (rq->begun)
        request_ends(rq->api);
    request_clear(rq);
    log_set_request(NULL);
    atomic_store(&rq->conn->feed_after, 0);
    conn_deadline(rq->conn, METER_IDLE, rq->api->config.idle_ms);
}

/* A stream counts as done when it begins. */
static void measure(struct request *rq)
{
    size_t route = rq->route ? (size_t)(rq->route - routes) : n_routes;

    meter_request(&rq->api->meter, route, rq->reply.status, clock_mono_us() - rq->began_us);
}

static void log_request(const struct request *rq)
{
    bool notable = rq->reply.status >= 500 ||
                   (strcmp(rq->method, "GET") != 0 && strcmp(rq->method, "HEAD") != 0);

    log_write(notable ? LOG_INFO : LOG_DEBUG, "%.16s %.200s %u %" PRId64 " ms %s %s", rq->method,
              rq->path, rq->reply.status, clock_mono_ms() - rq->began_ms,
              rq->who.principal[0] ? rq->who.principal : "-", rq->conn->peer);
}

static enum MHD_Result finish(struct request *rq)
{
    measure(rq);
    log_request(rq);
    return reply_send(rq) ? MHD_YES : MHD_NO;
}

static enum MHD_Result begin(struct request *rq, const char *method, const char *path)
{
    rq->begun = true;
    atomic_fetch_add(&rq->api->active, 1);
    rq->method = method;
    rq->path = path;
    log_set_request(rq->id);
    conn_deadline(rq->conn, METER_BODY, 0);
    if (request_check(rq, &rq->refusal) && intake_begin(rq, &rq->refusal)) {
        rq->body_began_ms = clock_mono_ms();
        if (rq->head.has_body && !rq->intake)
            conn_deadline(rq->conn, METER_BODY, rq->api->config.stall_ms);
        return MHD_YES;
    }
    rq->refused = true;
    trail_refusal(rq, &rq->refusal);
    if (!rq->head.has_body && !rq->must_close)
        return MHD_YES; /* answered in the next call, and the connection goes on */
    reply_refuse(rq, &rq->refusal);
    measure(rq);
    log_request(rq);
    return MHD_NO;
}

/* From the body's beginning: 1 KiB a second at least, but not for ever. A deadline of 0 would be
 * none. */
static int64_t body_patience_ms(const struct request *rq)
{
    int64_t ms = (int64_t)rq->api->config.stall_ms + (int64_t)rq->body_seen;

    return ms < rq->api->config.body_ms ? ms : rq->api->config.body_ms;
}

/* A file goes on where it belongs at once. What cannot be taken is answered before the rest. */
static enum MHD_Result take_in(struct request *rq, const char *data, size_t len)
{
    struct err err = {0};

    rq->body_seen += len;
    if (intake_add(rq, data, len, &err))
        return MHD_YES;
    trail_refusal(rq, &err);
    reply_refuse(rq, &err);
    measure(rq);
    log_request(rq);
    return MHD_NO;
}

/* Keeps what fits; what is beyond is read and dropped, so that a chunked body that turns out too
 * large gets its 413, but not for ever. */
static enum MHD_Result collect(struct request *rq, const char *data, size_t len)
{
    int64_t spent = clock_mono_ms() - rq->body_began_ms;
    int64_t left;

    rq->body_seen += len;
    if (rq->body_seen <= rq->body_limit)
        strbuf_add(&rq->body, data, len);
    else
        strbuf_clear(&rq->body);
    if (rq->body_seen > 4 * rq->body_limit)
        return MHD_NO;
    left = body_patience_ms(rq) - spent;
    conn_deadline(rq->conn, METER_BODY, left > 0 ? left : 1);
    return MHD_YES;
}

/* For whom it is, and whether they still may: a body can take its time. */
static bool work(struct request *rq, struct err *err)
{
    bool ok;

    if (rq->who.grants && !auth_may(rq, err))
        return false;
    sight_begin(&rq->who, rq->route->right);
    ok = rq->route->handler(rq, err);
    sight_end();
    return ok;
}

static void handle(struct request *rq)
{
    struct err err = {0};

    if (rq->body_seen > rq->body_limit)
        err_set(&err, ERR_TOO_LARGE, "the body may have up to %zu bytes", rq->body_limit);
    else if (work(rq, &err))
        return;
    trail_refusal(rq, &err);
    reply_problem(rq, &err);
}

static void serve(struct request *rq)
{
    struct trail trail = {0};

    trail_begin(rq, &trail);
    handle(rq);
    trail_end(rq, &trail);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *mhd, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *len, void **context)
{
    struct request *rq = *context;

    (void)cls;
    (void)mhd;
    (void)version;
    if (!rq)
        return MHD_NO;
    if (!rq->begun)
        return begin(rq, method, url);
    if (*len) {
        enum MHD_Result result = rq->intake ? take_in(rq, data, *len) : collect(rq, data, *len);
        *len = 0;
        return result;
    }
    conn_deadline(rq->conn, METER_BODY, 0);
    if (rq->refused)
        reply_problem(rq, &rq->refusal);
    else
        serve(rq);
    return finish(rq);
}

/* Connections are counted by conn_enlist(), for each door. libmicrohttpd forgets those that ended
 * only later, perhaps all of them at once while as many come: its own limit is never to be met. */
struct MHD_Daemon *server_start(struct api *api)
{
    return MHD_start_daemon(
        MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL |
            MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC | MHD_USE_ERROR_LOG | MHD_ALLOW_UPGRADE,
        0, NULL, NULL, on_request, api, MHD_OPTION_EXTERNAL_LOGGER, log_http, NULL,
        MHD_OPTION_UNESCAPE_CALLBACK, keep_encoded, NULL, MHD_OPTION_URI_LOG_CALLBACK, on_target,
        api, MHD_OPTION_NOTIFY_CONNECTION, on_connection, api, MHD_OPTION_NOTIFY_COMPLETED,
        on_completed, api, MHD_OPTION_CONNECTION_LIMIT, 4 * api->config.max_connections + 16,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL_BYTES, MHD_OPTION_THREAD_STACK_SIZE,
        (size_t)STACK_BYTES, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
}
