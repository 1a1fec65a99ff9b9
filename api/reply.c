/* Replies: see reply.h. */
#include "api/reply.h"

#include "api/problem.h"
#include "api/server.h"
#include "core/base/clock.h"
#include "core/base/log.h"

#include <microhttpd.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REFUSE_DRAIN_MS    2000
#define REFUSE_DRAIN_BYTES (16u << 20)

#define PAGE_POLICY                                                                                \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "              \
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; "                   \
    "frame-ancestors 'none'"

static bool set_body(struct request *rq, unsigned status, const char *type, char *take, size_t len)
{
    free(rq->reply.is_static ? NULL : rq->reply.body);
    rq->reply.is_static = false;
    rq->reply.status = status;
    rq->reply.type = type;
    rq->reply.body = take;
    rq->reply.len = len;
    return true;
}

static bool set_json(struct request *rq, unsigned status, const char *type, json_t *take)
{
    char *text = json_write(take);

    json_decref(take);
    if (!text) {
        log_error("a reply could not be written as JSON");
        return set_body(rq, 500, NULL, NULL, 0);
    }
    return set_body(rq, status, type, text, strlen(text));
}

bool reply_json(struct request *rq, unsigned status, json_t *take)
{
    return set_json(rq, status, "application/json", take);
}

bool reply_bytes(struct request *rq, const char *type, char *take, size_t len)
{
    return set_body(rq, 200, type, take, len);
}

bool reply_text(struct request *rq, struct strbuf *take)
{
    size_t len = take->len;

    return reply_bytes(rq, "application/json", strbuf_take(take), len);
}

bool reply_static(struct request *rq, const char *type, const char *data, size_t len)
{
    set_body(rq, 200, type, (char *)data, len);
    return rq->reply.is_static = true;
}

bool reply_empty(struct request *rq, unsigned status)
{
    return set_body(rq, status, NULL, NULL, 0);
}

bool reply_stream(struct request *rq, const char *type, struct MHD_Response *take)
{
    set_body(rq, 200, type, NULL, 0);
    rq->reply.stream = take;
    return true;
}

bool reply_upgrade(struct request *rq, struct MHD_Response *take, void *held,
                   void (*drop)(void *held))
{
    set_body(rq, 101, NULL, NULL, 0);
    rq->reply.stream = take;
    rq->reply.held = held;
    rq->reply.drop = drop;
    return true;
}

void reply_header(struct request *rq, const char *name, const char *fmt, ...)
{
    unsigned i = rq->reply.n_headers;
    va_list args;

    if (i == REPLY_MAX_HEADERS)
        return;
    rq->reply.headers[i].name = name;
    va_start(args, fmt);
    vsnprintf(rq->reply.headers[i].value, sizeof rq->reply.headers[i].value, fmt, args);
    va_end(args);
    rq->reply.n_headers++;
}

bool reply_dry_run(struct request *rq, const char *key, json_t *take)
{
    json_t *body = json_object();

    json_put_bool(body, "dry_run", true);
    if (key)
        json_put(body, key, take);
    return reply_json(rq, 200, body);
}

bool reply_problem(struct request *rq, const struct err *err)
{
    const char *instance = rq->reply.instance[0] ? rq->reply.instance : rq->path;

    if (err->code != ERR_METHOD) /* which has its Allow */
        rq->reply.n_headers = 0;
    if (err->code == ERR_UNAUTHENTICATED)
        reply_header(rq, "WWW-Authenticate", "Bearer realm=\"vmmd\"");
    if (!rq->reply.retry_s)
        rq->reply.retry_s = problem_retry_s(err->code);
    if (rq->reply.retry_s)
        reply_header(rq, "Retry-After", "%u", rq->reply.retry_s);
    return set_json(rq, (unsigned)err_status(err->code), PROBLEM_TYPE,
                    problem_json(err, instance, rq->id, rq->reply.retry_s, rq->reply.blockers));
}

bool reply_is_blocked(const struct err *err)
{
    const int status = err_status(err->code);

    return status == 409 || status == 501 || status == 503 || status == 507;
}

void reply_blockers(struct request *rq, json_t *take, const struct err *err)
{
    json_t *list = json_object_get(take, "blockers");

    if (list) {
        json_add_err(list, err);
        json_decref(rq->reply.blockers);
        rq->reply.blockers = json_incref(list);
    }
    json_decref(take);
}

static struct MHD_Response *make_response(struct reply *reply)
{
    struct MHD_Response *response = TAKE(reply->stream);

    if (response)
        return response;
    response = MHD_create_response_from_buffer(
        reply->len, reply->body, reply->is_static ? MHD_RESPMEM_PERSISTENT : MHD_RESPMEM_MUST_FREE);
    if (response)
        reply->body = NULL; /* libmicrohttpd's */
    return response;
}

static bool add_headers(const struct request *rq, struct MHD_Response *response)
{
    const struct reply *reply = &rq->reply;
    bool ok = MHD_add_response_header(response, "X-Request-Id", rq->id) == MHD_YES;

    ok &= MHD_add_response_header(response, "Cache-Control",
                                  reply->is_page       ? "no-cache"
                                  : reply->is_constant ? "private, max-age=31536000, immutable"
                                                       : "no-store") == MHD_YES;
    ok &= MHD_add_response_header(response, "X-Content-Type-Options", "nosniff") == MHD_YES;
    if (reply->type)
        ok &= MHD_add_response_header(response, "Content-Type", reply->type) == MHD_YES;
    if (reply->is_page) {
        ok &= MHD_add_response_header(response, "Content-Security-Policy", PAGE_POLICY) == MHD_YES;
        ok &= MHD_add_response_header(response, "Referrer-Policy", "no-referrer") == MHD_YES;
    }
    for (unsigned i = 0; i < reply->n_headers; i++)
        ok &= MHD_add_response_header(response, reply->headers[i].name, reply->headers[i].value) ==
              MHD_YES;
    return ok;
}

bool reply_send(struct request *rq)
{
    size_t len = rq->reply.len;
    struct MHD_Response *response = make_response(&rq->reply);
    bool ok = response && add_headers(rq, response);

    if (ok) {
        /* one byte a millisecond is the least we wait for */
        conn_deadline(rq->conn, METER_REPLY, (int64_t)rq->api->config.send_ms + (int64_t)len);
        ok = MHD_queue_response(rq->mhd, rq->reply.status, response) == MHD_YES;
    }
    if (response)
        MHD_destroy_response(response); /* the queue keeps its own reference */
    return ok;
}

static void drain(int fd)
{
    int64_t deadline = clock_mono_ms() + REFUSE_DRAIN_MS;
    size_t seen = 0;
    char waste[16384];

    while (seen < REFUSE_DRAIN_BYTES) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        ssize_t n;
        if (poll(&p, 1, (int)clock_left_ms(deadline)) <= 0)
            return;
        n = recv(fd, waste, sizeof waste, MSG_DONTWAIT);
        if (n <= 0)
            return;
        seen += (size_t)n;
    }
}

void reply_refuse(struct request *rq, const struct err *err)
{
    CLEANUP(strbuf_clear) struct strbuf text = {0};

    reply_problem(rq, err);
    strbuf_addf(&text, "HTTP/1.1 %u %s\r\nConnection: close\r\nX-Request-Id: %s\r\n",
                rq->reply.status, err_title(err->code), rq->id);
    strbuf_addf(&text, "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n");
    strbuf_addf(&text, "Content-Type: %s\r\nContent-Length: %zu\r\n", rq->reply.type,
                rq->reply.len);
    for (unsigned i = 0; i < rq->reply.n_headers; i++)
        strbuf_addf(&text, "%s: %s\r\n", rq->reply.headers[i].name, rq->reply.headers[i].value);
    strbuf_adds(&text, "\r\n");
    strbuf_add(&text, rq->reply.body, rq->reply.len);
    conn_deadline(rq->conn, METER_REPLY, 2 * REFUSE_DRAIN_MS);
    /* The send buffer is empty here and the text is small: this does not block. */
    if (send(rq->conn->fd, text.data, text.len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)text.len)
        return;
    shutdown(rq->conn->fd, SHUT_WR);
    drain(rq->conn->fd); /* closing with unread bytes would reset the client before it reads */
}

void reply_clear(struct reply *reply)
{
    if (!reply->is_static)
        free(reply->body);
    if (reply->stream)
        MHD_destroy_response(reply->stream);
    if (reply->drop)
        reply->drop(reply->held);
    json_decref(reply->blockers);
    *reply = (struct reply){0};
}
