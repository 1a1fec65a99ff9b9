/* Events: as a stream (server-sent events) or as a list.
 *
 * Theory of operation. Both read core's numbered log from a number on. A stream never ends by
 * itself: its callback blocks in event_wait() and gives libmicrohttpd one batch a turn.
 * Filtered-out events move the number on too: it goes along with the heartbeat ("id:" without
 * data), so that a client that reconnects does not ask for what it was spared. When the log no
 * longer has what comes after a number, "event: reset" says so and carries the number to go on
 * from. */
#include "core/event/event.h"

#include "api/handlers.h"
#include "api/server.h"
#include "api/stream.h"
#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/user/sight.h"

#include <inttypes.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

#define BATCH       32
#define BLOCK_BYTES (16u << 10)
#define RETRY_MS    2000

/* What a reader gets. */
struct sieve {
    const char *types; /* "vm,operation.state": these and what lies below them; NULL: all */
    bool audit;        /* the audit trail too */
};

struct feed {
    struct stream stream;
    char *types; /* the sieve's, owned */
    struct sieve sieve;
    uint64_t after;
    int64_t beat_ms;       /* when the next heartbeat is due */
    struct strbuf pending; /* not yet taken by libmicrohttpd, from 'taken' on */
    size_t taken;
};

static bool type_wanted(const struct sieve *sieve, const char *type)
{
    const char *list = sieve->types;

    if (!sieve->audit && str_starts(type, "audit."))
        return false;
    if (!list)
        return true;
    while (*list) {
        size_t n = strcspn(list, ",");
        if (n && strncmp(type, list, n) == 0 && (!type[n] || type[n] == '.'))
            return true;
        list += n;
        list += *list == ',';
    }
    return false;
}

/* Of what 'who' may see. */
static bool is_wanted(struct core *core, const struct who *who, const struct sieve *sieve,
                      const struct event_line *line)
{
    return type_wanted(sieve, line->type) &&
           (who_may(who, RIGHT_EVENT_READ) || sight_event(core, who, line));
}

static void clear_lines(struct event_line *lines, ssize_t n)
{
    for (ssize_t i = 0; i < n; i++)
        event_line_clear(&lines[i]);
}

/* ---- the stream ---- */

static void add_reset(struct feed *f, uint64_t newest)
{
    strbuf_addf(&f->pending, "id: %" PRIu64 "\nevent: reset\ndata: {\"newest\":%" PRIu64 "}\n\n",
                newest, newest);
    f->after = newest;
}

static void add_events(struct feed *f, struct event_line *lines, ssize_t n)
{
    for (ssize_t i = 0; i < n; i++) {
        if (is_wanted(f->stream.api->config.core, &f->stream.who, &f->sieve, &lines[i]))
            strbuf_addf(&f->pending, "id: %" PRIu64 "\nevent: %s\ndata: %s\n\n", lines[i].seq,
                        lines[i].type, lines[i].json);
        f->after = lines[i].seq;
        event_line_clear(&lines[i]);
    }
}

/* One wait; false when the log has nothing more to give. */
static bool feed_wait(struct feed *f)
{
    int64_t wait_ms = clock_left_ms(f->beat_ms);
    struct event_line lines[BATCH];
    struct err err = {0};
    uint64_t newest = 0;
    bool gap = false;
    ssize_t n = event_wait(f->stream.api->config.core, f->after,
                           wait_ms < STREAM_SLICE_MS ? wait_ms : STREAM_SLICE_MS, lines, BATCH,
                           &gap, &newest, &err);

    if (n < 0)
        return false;
    if (!stream_may(&f->stream, &err)) { /* it may be what woke us */
        clear_lines(lines, n);
        return false;
    }
    f->sieve.audit = who_may(&f->stream.who, RIGHT_AUDIT_READ);
    if (gap)
        add_reset(f, newest);
    add_events(f, lines, n);
    if (!f->pending.len && !clock_left_ms(f->beat_ms))
        strbuf_addf(&f->pending, ": alive\nid: %" PRIu64 "\n\n", f->after);
    return true;
}

static ssize_t feed_more(void *cls, uint64_t pos, char *out, size_t cap)
{
    struct feed *f = cls;
    size_t n;

    (void)pos;
    stream_turn_begins(&f->stream);
    while (f->pending.len == f->taken) {
        f->pending.len = f->taken = 0;
        if (!stream_goes_on(&f->stream) || !feed_wait(f))
            return MHD_CONTENT_READER_END_OF_STREAM;
    }
    n = f->pending.len - f->taken;
    n = n < cap ? n : cap;
    memcpy(out, f->pending.data + f->taken, n);
    f->taken += n;
    f->beat_ms = clock_mono_ms() + f->stream.api->config.heartbeat_ms;
    atomic_store(&f->stream.conn->feed_after, f->after + 1);
    stream_turn_ends(&f->stream);
    return (ssize_t)n;
}

static void feed_free(void *cls)
{
    struct feed *f = cls;

    stream_clear(&f->stream);
    strbuf_clear(&f->pending);
    free(f->types);
    mem_free_secret(f, sizeof *f);
}

static bool reply_feed(struct request *rq, const struct sieve *sieve, uint64_t after,
                       struct err *err)
{
    struct feed *f = mem_alloc(sizeof *f);
    struct MHD_Response *response;

    stream_init(&f->stream, rq);
    f->types = str_dup(sieve->types);
    f->sieve = (struct sieve){f->types, sieve->audit};
    f->after = after;
    f->beat_ms = clock_mono_ms() + rq->api->config.heartbeat_ms;
    strbuf_addf(&f->pending, "retry: %d\nid: %" PRIu64 "\n\n", RETRY_MS, after);
    response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES, feed_more, f, feed_free);
    if (!response) {
        feed_free(f);
        return err_set(err, ERR_INTERNAL, "the stream cannot be made");
    }
    return reply_stream(rq, "text/event-stream", response);
}

/* ---- the list ---- */

struct listing {
    struct strbuf text;
    struct sieve sieve;
    struct stream stream; /* whose list it is */
    uint64_t after;
    uint64_t limit, count;
    bool reset;
};

/* Takes what is there after l->after; waits until 'deadline' for the first. -1 on failure, 0 when
 * nothing came. */
static ssize_t list_batch(struct core *core, struct listing *l, int64_t deadline, struct err *err)
{
    struct event_line lines[BATCH];
    uint64_t newest = 0, room = l->limit - l->count;
    bool gap = false;
    ssize_t n = event_wait(core, l->after, clock_left_ms(deadline), lines,
                           room < BATCH ? (unsigned)room : BATCH, &gap, &newest, err);

    if (n >= 0 && !stream_may(&l->stream, err)) {
        clear_lines(lines, n);
        return -1;
    }
    l->sieve.audit = who_may(&l->stream.who, RIGHT_AUDIT_READ);
    if (n >= 0 && gap) {
        l->reset = true;
        l->after = newest;
    }
    for (ssize_t i = 0; i < n; i++) {
        if (is_wanted(core, &l->stream.who, &l->sieve, &lines[i]))
            strbuf_addf(&l->text, "%s%s", l->count++ ? "," : "", lines[i].json);
        l->after = lines[i].seq;
        event_line_clear(&lines[i]);
    }
    return n;
}

static bool reply_list(struct request *rq, struct listing *l, uint64_t wait_s, struct err *err)
{
    int64_t deadline = clock_mono_ms() + (int64_t)wait_s * 1000;
    size_t len;
    ssize_t n;

    strbuf_adds(&l->text, "{\"items\":[");
    do
        /* what is there already is taken without waiting once something was found */
        n = list_batch(rq->api->config.core, l, l->count ? 0 : deadline, err);
    while (n > 0 && !l->reset && l->count < l->limit);
    if (n < 0)
        return false;
    strbuf_addf(&l->text, "],\"next_after\":%" PRIu64 ",\"reset\":%s}", l->after,
                l->reset ? "true" : "false");
    len = l->text.len;
    reply_bytes(rq, "application/json", strbuf_take(&l->text), len);
    return true;
}

/* The audit trail names people and their addresses: it is for administrators. */
static bool make_sieve(const struct request *rq, struct sieve *out, struct err *err)
{
    *out = (struct sieve){request_query(rq, "types"), who_may(&rq->who, RIGHT_AUDIT_READ)};
    for (const char *p = out->types; p && !out->audit; p = strchr(p, ',')) {
        p += *p == ',';
        if (str_starts(p, "audit") && strchr(",.", p[5])) /* the end of the text counts, too */
            return err_set(err, ERR_FORBIDDEN, "the audit trail needs the right audit-read");
    }
    return true;
}

bool events_read(struct request *rq, struct err *err)
{
    bool as_list = request_query(rq, "wait") ||
                   (rq->head.accept && strstr(rq->head.accept, "application/json") &&
                    !strstr(rq->head.accept, "text/event-stream"));
    uint64_t newest = event_newest(rq->api->config.core), after, wait_s;
    struct listing list = {0};
    bool ok;

    if (!make_sieve(rq, &list.sieve, err))
        return false;
    if (!request_query_u64(rq, "after", 0, INT64_MAX, as_list ? 0 : newest, &after, err) ||
        !request_query_u64(rq, "wait", 0, REQUEST_MAX_WAIT_S, 0, &wait_s, err) ||
        !request_query_u64(rq, "page_size", 1, 1000, 100, &list.limit, err))
        return false;
    /* A browser that reconnects repeats the address, 'after' included, and adds where it was. */
    if (rq->head.last_event_id && !str_to_u64(rq->head.last_event_id, &after))
        return err_set(err, ERR_MALFORMED, "Last-Event-ID must be the number of an event");
    if (!as_list)
        return reply_feed(rq, &list.sieve, after, err);
    list.after = after;
    stream_init(&list.stream, rq);
    ok = reply_list(rq, &list, wait_s, err);
    stream_forget(&list.stream);
    strbuf_clear(&list.text);
    return ok;
}
