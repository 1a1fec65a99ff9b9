/* A conversation with a worker: see link.h.
 *
 * Theory of operation
 *
 *   caller 1 ─┐ send (one frame at a time)                   ┌─► reply to the caller by id
 *   caller 2 ─┼──────────────► socket ──► watcher: frame_read ┼─► event ► sink, in order
 *   caller n ─┘                                              └─► end of stream ► fails all calls
 *
 * A caller puts itself into the list of calls before it sends, so a reply cannot come too early,
 * and takes itself out before it returns, so a late reply finds nobody and is dropped. Whatever
 * ends the stream sets 'dead' under the same lock: a call is either in the list and failed by it,
 * or sees 'dead' and does not begin.
 *
 * A frame that could be sent only in part would leave the worker in mid-frame: after a failed send
 * the socket is shut down, and the watcher does the rest.
 *
 * Events are numbered by the worker. Numbers up to the last one seen are dropped, so an event that
 * comes again after a reconnect is not delivered twice; a gap is logged. */
#include "backends/qemu/link.h"

#include "core/base/clock.h"
#include "core/base/json_reply.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/base/thread.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define SEND_LIMIT_S 10

struct call {
    struct call *next;
    uint32_t id;
    bool done, ok;
    json_t *reply;
    struct err err;
    struct cond answered;
};

struct link {
    int sock;
    uint32_t epoch;
    atomic_bool closing;

    struct lock sending; /* one frame at a time; held for at most SEND_LIMIT_S */

    struct lock lock;
    struct call *calls GUARDED_BY(lock);
    uint32_t last_id GUARDED_BY(lock);
    bool dead GUARDED_BY(lock);
    struct cond idle; /* 'calls' became empty */

    /* of whoever reads: the only caller before link_watch(), then the watcher */
    struct frame_reader reader;
    uint64_t last_seq;
    json_t *early; /* events that came before the watcher */

    struct link_sink sink;
    pthread_t watcher;
    bool watched;
};

struct link *link_new(int sock, uint32_t epoch)
{
    struct link *link = mem_alloc(sizeof *link);
    struct timeval limit = {.tv_sec = SEND_LIMIT_S};

    *link = (struct link){.sock = sock, .epoch = epoch, .reader = {.sock = sock}};
    lock_init(&link->sending);
    lock_init(&link->lock);
    cond_init(&link->idle);
    link->early = json_array();
    if (setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) < 0)
        log_warn("a worker's socket takes no time limit: %s", strerror(errno));
    return link;
}

bool link_closing(const struct link *link)
{
    return atomic_load(&link->closing);
}

/* ---- the list of calls ---- */

static bool call_begin(struct link *link, struct call *call, struct err *err)
{
    bool dead;

    cond_init(&call->answered);
    lock_take(&link->lock);
    dead = link->dead;
    if (!dead) {
        if (++link->last_id == 0)
            link->last_id = 1;
        call->id = link->last_id;
        call->next = link->calls;
        link->calls = call;
    }
    lock_drop(&link->lock);
    if (!dead)
        return true;
    cond_clear(&call->answered);
    return err_set(err, ERR_UNAVAILABLE, "the VM's worker does not answer any more");
}

static void call_end(struct link *link, struct call *call)
{
    lock_take(&link->lock);
    for (struct call **at = &link->calls; *at; at = &(*at)->next)
        if (*at == call) {
            *at = call->next;
            break;
        }
    if (!link->calls)
        cond_wake_all(&link->idle);
    lock_drop(&link->lock);
    cond_clear(&call->answered);
}

static void fail_calls(struct link *link)
{
    lock_take(&link->lock);
    link->dead = true;
    for (struct call *c = link->calls; c; c = c->next) {
        if (c->done)
            continue;
        c->done = true;
        err_set(&c->err, ERR_UNAVAILABLE, "the VM's worker hung up before it answered");
        cond_wake_all(&c->answered);
    }
    lock_drop(&link->lock);
}

static bool is_done(struct link *link, struct call *call)
{
    bool done;

    lock_take(&link->lock);
    done = call->done;
    lock_drop(&link->lock);
    return done;
}

static void complete(struct link *link, uint32_t id, bool ok, json_t *reply, const struct err *err)
{
    struct call *call;

    lock_take(&link->lock);
    for (call = link->calls; call && call->id != id; call = call->next)
        ;
    if (call && !call->done) {
        call->done = true;
        call->ok = ok;
        call->reply = TAKE(reply);
        call->err = *err;
        cond_wake_all(&call->answered);
    }
    lock_drop(&link->lock);
    if (!call)
        log_debug("a reply came too late and is dropped");
    json_decref(reply);
}

/* ---- what a frame means ---- */

/* A property of QEMU is a bare word or number, which a JSON text of ours never is. */
static json_t *read_value(const struct frame *frame, struct err *err)
{
    size_t len = frame->head.length;
    CLEANUP(json_decrefp) json_t *array = NULL;
    CLEANUP(mem_freep) char *text = NULL;

    if (len > 0 && strchr("{[", frame->payload[0]))
        return json_read_reply(frame->payload, len, err);
    text = str_format("[%.*s]", (int)len, frame->payload);
    array = json_read(text, strlen(text), err);
    if (!array)
        return NULL;
    if (json_array_size(array) == 1)
        return json_incref(json_array_get(array, 0));
    err_set(err, ERR_MALFORMED, "the reply is no value");
    return NULL;
}

static void on_reply(struct link *link, const struct frame *frame)
{
    struct err err = {0};
    json_t *value = read_value(frame, &err);
    bool ok = value && frame->head.type == WORKER_OK;

    if (!value)
        err.code = ERR_HYPERVISOR;
    else if (!ok) {
        const char *slug = json_get_text(value, "code");
        const char *detail = json_get_text(value, "detail");
        err_set(&err, err_from_slug(slug ? slug : ""), "%s",
                detail ? detail : "the VM's worker refused and did not say why");
    }
    complete(link, frame->head.id, ok, value, &err);
}

static void deliver(struct link *link, const json_t *event)
{
    uint64_t seq = json_get_u64(event, "seq", 0);

    if (seq <= link->last_seq || link_closing(link))
        return;
    if (seq > link->last_seq + 1)
        log_warn("events %llu to %llu of a worker were lost",
                 (unsigned long long)link->last_seq + 1, (unsigned long long)seq - 1);
    link->last_seq = seq;
    link->sink.event(link->sink.ctx, seq, event);
}

static void on_event(struct link *link, const struct frame *frame)
{
    struct err err = {0};
    CLEANUP(json_decrefp) json_t *event = json_read(frame->payload, frame->head.length, &err);

    if (!event || !json_get_text(event, "event"))
        log_warn("a worker sent an event that cannot be read: %s", err.detail);
    else if (link->watched)
        deliver(link, event);
    else if (json_array_size(link->early) < 2 * WORKER_EVENTS)
        json_array_append(link->early, event);
}

static void on_serial(struct link *link, const struct frame *frame)
{
    struct worker_serial_port note = {0};
    bool first = frame->head.type == WORKER_SERIAL; /* its frame is the end alone */
    size_t size = first ? sizeof note.end : sizeof note;

    if (frame->head.length != size || !link->watched || link_closing(link))
        return;
    memcpy(&note, frame->payload, size);
    link->sink.serial(link->sink.ctx, note.port, note.end);
}

static void dispatch(struct link *link, struct frame *frame)
{
    frame_close_fds(frame); /* no reply carries descriptors */
    switch (frame->head.type) {
    case WORKER_OK:
    case WORKER_ERROR:
        on_reply(link, frame);
        break;
    case WORKER_EVENT:
        on_event(link, frame);
        break;
    case WORKER_SERIAL:
    case WORKER_SERIAL_PORT:
        on_serial(link, frame);
        break;
    default:
        log_warn("a worker sent a frame of the unknown type %u", frame->head.type);
    }
}

/* ---- calls ---- */

/* Before there is a watcher, the caller reads until its reply has come. */
static void read_until_done(struct link *link, struct call *call, int64_t deadline_ms)
{
    struct err err = {0};
    struct frame frame;

    while (!is_done(link, call)) {
        struct pollfd p = {.fd = link->sock, .events = POLLIN};
        int got = frame_next(&link->reader, &frame, &err);
        if (got > 0) {
            dispatch(link, &frame);
            continue;
        }
        if (got == 0) {
            int n = poll(&p, 1, (int)clock_left_ms(deadline_ms));
            if (n < 0 && errno == EINTR)
                continue;
            if (n == 0)
                return;
            got = frame_fill(&link->reader, &err);
        }
        if (got <= 0)
            fail_calls(link);
    }
}

static void wait_until_done(struct link *link, struct call *call, int64_t deadline_ms)
{
    lock_take(&link->lock);
    while (!call->done && cond_wait_until(&call->answered, &link->lock, deadline_ms))
        ;
    lock_drop(&link->lock);
}

static bool send_call(struct link *link, const struct call *call, enum worker_type type,
                      const void *payload, size_t len, const int *fds, unsigned n_fds,
                      struct err *err)
{
    struct frame_header head = {.length = (uint32_t)len,
                                .type = (uint16_t)type,
                                .n_fds = (uint16_t)n_fds,
                                .id = call->id,
                                .epoch = link->epoch};
    bool ok;

    if (len > FRAME_MAX_PAYLOAD || n_fds > FRAME_MAX_FDS)
        return err_set(err, ERR_TOO_LARGE, "a request of %zu bytes is too large", len);
    lock_take(&link->sending);
    ok = frame_send(link->sock, &head, payload, fds, err);
    lock_drop(&link->sending);
    if (!ok)
        shutdown(link->sock, SHUT_RDWR);
    return ok;
}

/* Takes the outcome out of a call that is no longer in the list. */
static bool outcome(struct call *call, int64_t wait_ms, json_t **reply, struct err *err)
{
    CLEANUP(json_decrefp) json_t *value = TAKE(call->reply);

    if (!call->done)
        return err_set(err, ERR_TIMEOUT, "the VM's worker did not answer within %lld ms",
                       (long long)wait_ms);
    if (!call->ok) {
        *err = call->err;
        return false;
    }
    if (reply)
        *reply = TAKE(value);
    return true;
}

bool link_call(struct link *link, enum worker_type type, const void *payload, size_t len,
               const int *fds, unsigned n_fds, int64_t wait_ms, json_t **reply, struct err *err)
{
    int64_t deadline_ms = clock_mono_ms() + wait_ms;
    struct call call = {0};
    bool sent;

    if (!call_begin(link, &call, err))
        return false;
    sent = send_call(link, &call, type, payload, len, fds, n_fds, err);
    if (sent && link->watched)
        wait_until_done(link, &call, deadline_ms);
    else if (sent)
        read_until_done(link, &call, deadline_ms);
    call_end(link, &call);
    if (sent)
        return outcome(&call, wait_ms, reply, err);
    json_decref(call.reply);
    return false;
}

bool link_qmp(struct link *link, const char *command, json_t *arguments, const int *fds,
              unsigned n_fds, int64_t wait_ms, json_t **reply, struct err *err)
{
    CLEANUP(json_decrefp) json_t *request = json_object();
    CLEANUP(mem_freep) char *text = NULL;

    json_put_text(request, "execute", command);
    if (arguments)
        json_put(request, "arguments", arguments);
    text = json_write(request);
    return link_call(link, WORKER_QMP, text, strlen(text), fds, n_fds, wait_ms, reply, err);
}

json_t *link_hello(struct link *link, const uint64_t *events_after, int64_t wait_ms,
                   struct err *err)
{
    CLEANUP(mem_freep) char *text = NULL;
    CLEANUP(json_decrefp) json_t *hello = json_object();
    json_t *reply = NULL;

    json_put_u64(hello, "min", WORKER_VERSION);
    json_put_u64(hello, "max", WORKER_VERSION);
    json_put_u64(hello, "events_after", events_after ? *events_after : INT64_MAX);
    text = json_write(hello);
    if (!link_call(link, WORKER_HELLO, text, strlen(text), NULL, 0, wait_ms, &reply, err))
        return NULL;
    if (json_get_u64(reply, "version", 0) != WORKER_VERSION) {
        json_decref(reply);
        err_set(err, ERR_UNAVAILABLE, "the VM's worker speaks another version");
        return NULL;
    }
    link->last_seq = events_after ? *events_after : json_get_u64(reply, "events", 0);
    return reply;
}

/* ---- the watcher ---- */

static void *watch(void *arg)
{
    struct link *link = arg;
    struct err err = {0};
    struct frame frame;
    const json_t *event;
    size_t i;

    json_array_foreach (link->early, i, event)
        deliver(link, event);
    json_array_clear(link->early);
    while (frame_read(&link->reader, &frame, &err))
        dispatch(link, &frame);
    shutdown(link->sock, SHUT_RDWR);
    fail_calls(link);
    if (!link_closing(link))
        link->sink.gone(link->sink.ctx);
    return NULL;
}

bool link_watch(struct link *link, const struct link_sink *sink, struct err *err)
{
    link->sink = *sink;
    link->watched = true;
    if (thread_start(&link->watcher, "vm-watch", watch, link, err))
        return true;
    link->watched = false;
    return false;
}

static void wait_until_idle(struct link *link)
{
    lock_take(&link->lock);
    while (link->calls)
        cond_wait(&link->idle, &link->lock);
    lock_drop(&link->lock);
}

void link_free(struct link *link)
{
    if (!link)
        return;
    atomic_store(&link->closing, true);
    shutdown(link->sock, SHUT_RDWR);
    if (link->watched)
        pthread_join(link->watcher, NULL);
    fail_calls(link);
    wait_until_idle(link);
    close(link->sock);
    frame_reader_clear(&link->reader);
    json_decref(link->early);
    lock_clear(&link->sending);
    lock_clear(&link->lock);
    cond_clear(&link->idle);
    free(link);
}
