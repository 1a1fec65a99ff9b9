/* The conversations with main: see daemon.h.
 *
 * Theory of operation. Up to CONV_MAX sockets are open; a conversation begins with HELLO and an
 * epoch. The highest epoch wins (decision 4): the number is raised in the database by every start
 * of main, so a main that was stopped and goes on later cannot disturb its successor. Only
 * daemon_sweep() closes, once a turn of the loop: a handler may break any conversation, its own
 * too. */
#include "vmmd/worker/daemon.h"

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "vmmd/worker/worker.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HELLO_MS      5000
#define HELLO_PAYLOAD 4096
#define OUT_MAX       (16u << 20)

void daemon_init(struct worker *w)
{
    for (unsigned i = 0; i < CONV_MAX; i++)
        w->daemon.convs[i].sock = -1;
    w->daemon.alone_since_ms = clock_mono_ms();
}

static struct conv *find(struct worker *w, uint32_t number)
{
    for (unsigned i = 0; number && i < CONV_MAX; i++)
        if (w->daemon.convs[i].sock >= 0 && w->daemon.convs[i].number == number)
            return &w->daemon.convs[i];
    return NULL;
}

static void conv_close(struct worker *w, struct conv *c)
{
    if (w->daemon.current == c->number) {
        w->daemon.current = 0;
        w->daemon.alone_since_ms = clock_mono_ms();
    }
    close(c->sock);
    frame_reader_clear(&c->in);
    strbuf_clear(&c->out);
    *c = (struct conv){.sock = -1};
}

/* A free place; when all are taken, that of the oldest one that has not said HELLO. */
static struct conv *make_room(struct worker *w)
{
    struct conv *oldest = NULL;

    for (unsigned i = 0; i < CONV_MAX; i++) {
        struct conv *c = &w->daemon.convs[i];
        if (c->sock < 0)
            return c;
        if (c->number != w->daemon.current && (!oldest || c->number < oldest->number))
            oldest = c;
    }
    conv_close(w, oldest);
    return oldest;
}

void daemon_add(struct worker *w, int sock)
{
    struct conv *c = make_room(w);

    *c = (struct conv){.sock = sock,
                       .number = ++w->daemon.last_number,
                       .hello_by_ms = clock_mono_ms() + HELLO_MS,
                       .in = {.sock = sock, .max_payload = HELLO_PAYLOAD}};
}

void daemon_accept(struct worker *w)
{
    int sock = accept4(w->listen, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct ucred peer;
    socklen_t len = sizeof peer;

    if (sock < 0)
        return; /* the peer gave up, or descriptors are short: it will try again */
    if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 ||
        (peer.uid != 0 && peer.uid != geteuid())) {
        log_warn("a process of another user wanted to talk: refused");
        close(sock);
        return;
    }
    daemon_add(w, sock);
}

/* Sends what the socket takes. */
static void push(struct conv *c)
{
    while (!c->broken && c->sent < c->out.len) {
        ssize_t n =
            send(c->sock, c->out.data + c->sent, c->out.len - c->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0)
            c->broken = true;
        else
            c->sent += (size_t)n;
    }
    strbuf_clear(&c->out);
    c->sent = 0;
    c->broken |= c->closing;
}

static void queue(struct conv *c, uint16_t type, uint32_t id, const void *data, size_t len)
{
    struct frame_header head = {.length = (uint32_t)len, .type = type, .id = id};

    if (c->broken || c->closing)
        return;
    if (c->out.len - c->sent + len > OUT_MAX) {
        log_warn("the daemon does not read its answers: the conversation ends");
        c->broken = true;
        return;
    }
    strbuf_add(&c->out, &head, sizeof head);
    strbuf_add(&c->out, data, len);
    push(c);
}

bool daemon_take_over(struct worker *w, uint32_t number, uint32_t epoch, struct err *err)
{
    struct conv *c = find(w, number), *old = find(w, w->daemon.current);

    if (epoch < w->daemon.epoch)
        return err_set(err, ERR_BUSY, "a newer daemon (epoch %u) talks to this worker",
                       w->daemon.epoch);
    if (old && old != c)
        old->broken = true;
    c->epoch = w->daemon.epoch = epoch;
    c->in.max_payload = 0;
    w->daemon.current = number;
    return true;
}

/* False when the conversation cannot go on. */
static bool take_frame(struct worker *w, struct conv *c, struct frame *f)
{
    struct request from = {.conv = c->number, .id = f->head.id};
    struct err err = {0};
    bool hello = f->head.type == WORKER_HELLO;

    if (hello != (c->epoch == 0) || f->head.epoch == 0 || (c->epoch && f->head.epoch != c->epoch)) {
        log_warn("a conversation broke the order of HELLO and epochs");
        return false;
    }
    if (requests_handle(w, &from, f, &err))
        return true;
    daemon_fail(w, &from, &err);
    c->closing = hello; /* refused: nothing else can follow */
    if (hello && c->sent == c->out.len)
        return false;
    return true;
}

static void receive(struct worker *w, struct conv *c)
{
    struct err err = {0};
    struct frame f;
    int got = frame_fill(&c->in, &err);

    if (got < 0 && err.code == ERR_TIMEOUT)
        return;
    if (got <= 0) {
        c->broken = true;
        return;
    }
    while (!c->broken && !c->closing && (got = frame_next(&c->in, &f, &err)) > 0) {
        if (!take_frame(w, c, &f))
            c->broken = true;
        frame_close_fds(&f);
    }
    if (got < 0) {
        log_warn("a daemon broke the framing: the conversation ends");
        c->broken = true;
    }
}

void daemon_ready(struct worker *w, unsigned slot, short revents)
{
    struct conv *c = &w->daemon.convs[slot];

    if (revents & POLLOUT)
        push(c);
    if (revents & POLLIN)
        receive(w, c);
    else if (revents & (POLLHUP | POLLERR))
        c->broken = true;
}

int64_t daemon_sweep(struct worker *w, int64_t now_ms)
{
    int64_t next = INT64_MAX;

    for (unsigned i = 0; i < CONV_MAX; i++) {
        struct conv *c = &w->daemon.convs[i];
        bool late = c->sock >= 0 && c->epoch == 0 && now_ms >= c->hello_by_ms;
        if (c->sock >= 0 && (c->broken || late))
            conv_close(w, c);
        else if (c->sock >= 0 && c->epoch == 0 && c->hello_by_ms < next)
            next = c->hello_by_ms;
    }
    return next;
}

void daemon_reply(struct worker *w, const struct request *to, const char *json_text)
{
    struct conv *c = find(w, to->conv);
    size_t len = strlen(json_text);

    if (c && len <= FRAME_MAX_PAYLOAD) {
        queue(c, WORKER_OK, to->id, json_text, len);
    } else if (c) {
        struct err err = {0};
        err_set(&err, ERR_TOO_LARGE, "the answer has %zu bytes", len);
        daemon_fail(w, to, &err);
    }
}

void daemon_fail(struct worker *w, const struct request *to, const struct err *err)
{
    CLEANUP(json_decrefp) json_t *body = json_object();
    CLEANUP(mem_freep) char *text = NULL;
    struct conv *c = find(w, to->conv);

    if (!c)
        return;
    json_put_text(body, "code", err_slug(err->code));
    json_put_text(body, "detail", err->detail);
    text = json_write(body);
    queue(c, WORKER_ERROR, to->id, text, strlen(text));
}

void daemon_notify(struct worker *w, uint16_t type, const void *data, size_t len)
{
    struct conv *c = find(w, w->daemon.current);

    if (c)
        queue(c, type, 0, data, len);
}

bool daemon_is_behind(const struct worker *w)
{
    const struct conv *c = find((struct worker *)w, w->daemon.current);

    return c && c->sent < c->out.len;
}

void daemon_flush(struct worker *w, int ms)
{
    int64_t until = clock_mono_ms() + ms;

    for (;;) {
        struct conv *c = find(w, w->daemon.current);
        struct pollfd p = {.fd = c ? c->sock : -1, .events = POLLOUT};
        int left = (int)clock_left_ms(until);
        if (!c || c->broken || c->sent == c->out.len || left == 0)
            return;
        if (poll(&p, 1, left) > 0)
            push(c);
    }
}
