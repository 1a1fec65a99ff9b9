/* A client of NBD (the protocol's "fixed newstyle" handshake, structured replies, one meta context)
 * that asks for block status and nothing else. Called by exact.c. See nbd_map.h.
 *
 *   greeting -> STRUCTURED_REPLY -> SET_META_CONTEXT -> GO -> BLOCK_STATUS, again and again -> DISC
 *
 * Nothing is sent before the reply to what was sent last is there, so that any other reply than the
 * one that is waited for is a fault. */
#include "core/snap/nbd_map.h"

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define GREETING     "NBDMAGICIHAVEOPT"
#define OPTION_MAGIC 0x49484156454f5054ull /* IHAVEOPT */
#define ANSWER_MAGIC 0x0003e889045565a9ull
#define ASK_MAGIC    0x25609513u
#define CHUNK_MAGIC  0x668e33efu

#define FIXED_NEWSTYLE 1u /* of the greeting, and ours */
#define NO_ZEROES      2u

enum option { OPTION_GO = 7, OPTION_STRUCTURED = 8, OPTION_SET_CONTEXT = 10 };
enum answer { ANSWER_ACK = 1, ANSWER_INFO = 3, ANSWER_CONTEXT = 4 };
enum chunk { CHUNK_STATUS = 5 };
enum ask { ASK_DISCONNECT = 2, ASK_STATUS = 7 };

#define CHUNK_DONE   1u
#define INFO_EXPORT  0
#define ANSWERS_MAX  16           /* to one option */
#define ANSWER_BYTES 4096         /* more in one is of no interest to us */
#define ASK_BYTES    (1ull << 30) /* of the export at a time */
#define STATUS_BYTES (8u << 20)   /* of a reply at most: it could not be longer */
#define EXTENT_BYTES 8
#define EXTENTS_ONCE 512
#define LOOK_MS      200

struct talk {
    int fd;
    int64_t deadline_ms;
    const atomic_bool *stop;
    uint32_t context; /* its number, once the server has given it one */
    uint64_t size;
    uint64_t at; /* so far it is known */
    nbd_map_each *each;
    void *ctx;
};

/* ---- bytes ---- */

static bool ready(struct talk *t, short events, struct err *err)
{
    struct pollfd p = {.fd = t->fd, .events = events};

    for (;;) {
        const int64_t left_ms = clock_left_ms(t->deadline_ms);
        if (atomic_load(t->stop))
            return err_set(err, ERR_UNAVAILABLE, "the daemon ends");
        if (left_ms <= 0)
            return err_set(err, ERR_TIMEOUT, "QEMU did not say in time what is where in the disk");
        if (poll(&p, 1, (int)(left_ms < LOOK_MS ? left_ms : LOOK_MS)) > 0)
            return true;
    }
}

static bool strange(struct err *err, const char *what)
{
    return err_set(err, ERR_HYPERVISOR, "QEMU does not say what is where in the disk: %s", what);
}

static bool get(struct talk *t, void *out, size_t len, struct err *err)
{
    char *at = out;

    while (len) {
        ssize_t n;
        if (!ready(t, POLLIN, err))
            return false;
        n = recv(t->fd, at, len, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (n <= 0)
            return strange(err, "it ended");
        at += n;
        len -= (size_t)n;
    }
    return true;
}

static bool put(struct talk *t, const void *data, size_t len, struct err *err)
{
    const char *at = data;

    while (len) {
        ssize_t n;
        if (!ready(t, POLLOUT, err))
            return false;
        n = send(t->fd, at, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (n <= 0)
            return strange(err, "it ended");
        at += n;
        len -= (size_t)n;
    }
    return true;
}

static uint32_t u32_at(const void *at)
{
    uint32_t v;

    memcpy(&v, at, sizeof v);
    return be32toh(v);
}

static uint64_t u64_at(const void *at)
{
    uint64_t v;

    memcpy(&v, at, sizeof v);
    return be64toh(v);
}

static void put_u32(struct strbuf *b, uint32_t v)
{
    v = htobe32(v);
    strbuf_add(b, &v, sizeof v);
}

static void put_u64(struct strbuf *b, uint64_t v)
{
    v = htobe64(v);
    strbuf_add(b, &v, sizeof v);
}

/* ---- before the export is opened ---- */

static bool greet(struct talk *t, struct err *err)
{
    const uint32_t ours = htobe32(FIXED_NEWSTYLE | NO_ZEROES);
    char hello[18];
    uint16_t flags;

    if (!get(t, hello, sizeof hello, err))
        return false;
    memcpy(&flags, hello + 16, sizeof flags);
    flags = be16toh(flags);
    if (memcmp(hello, GREETING, 16) != 0 || (flags & 3) != (FIXED_NEWSTYLE | NO_ZEROES))
        return strange(err, "it does not speak NBD");
    return put(t, &ours, sizeof ours, err);
}

static bool ask_option(struct talk *t, enum option option, const void *data, size_t len,
                       struct err *err)
{
    CLEANUP(strbuf_clear) struct strbuf b = {0};

    put_u64(&b, OPTION_MAGIC);
    put_u32(&b, option);
    put_u32(&b, (uint32_t)len);
    strbuf_add(&b, data, len);
    return put(t, b.data, b.len, err);
}

/* What comes before an option's ACK. */
static bool note_answer(struct talk *t, uint32_t type, const char *data, uint32_t len, bool *seen,
                        struct err *err)
{
    if (type == ANSWER_CONTEXT && len >= 4) {
        t->context = u32_at(data);
        *seen = true;
    } else if (type == ANSWER_INFO && len >= 2) {
        if (data[0] || data[1] != INFO_EXPORT)
            return true; /* more than was asked for */
        if (len < 12 || u64_at(data + 2) != t->size)
            return strange(err, "it has not the size that is recorded");
        *seen = true;
    } else {
        return strange(err, "it refused");
    }
    return true;
}

/* Up to the ACK. 'seen' is what must have come before it; NULL: nothing. */
static bool hear_option(struct talk *t, enum option option, bool *seen, struct err *err)
{
    char head[20], data[ANSWER_BYTES];

    for (unsigned i = 0; i < ANSWERS_MAX; i++) {
        uint32_t type, len;
        if (!get(t, head, sizeof head, err))
            return false;
        type = u32_at(head + 12);
        len = u32_at(head + 16);
        if (u64_at(head) != ANSWER_MAGIC || u32_at(head + 8) != option || len > sizeof data)
            return strange(err, "its answer cannot be read");
        if (!get(t, data, len, err))
            return false;
        if (type == ANSWER_ACK)
            return !seen || *seen || strange(err, "it does not offer that");
        if (!seen)
            return strange(err, "it refused");
        if (!note_answer(t, type, data, len, seen, err))
            return false;
    }
    return strange(err, "it answers without end");
}

static bool open_export(struct talk *t, const char *context, struct err *err)
{
    static const char go[6] = {0}; /* the empty name, and no questions */
    CLEANUP(strbuf_clear) struct strbuf set = {0};
    bool has_context = false, has_size = false;

    put_u32(&set, 0); /* the same name */
    put_u32(&set, 1);
    put_u32(&set, (uint32_t)strlen(context));
    strbuf_adds(&set, context);
    return ask_option(t, OPTION_STRUCTURED, "", 0, err) &&
           hear_option(t, OPTION_STRUCTURED, NULL, err) &&
           ask_option(t, OPTION_SET_CONTEXT, set.data, set.len, err) &&
           hear_option(t, OPTION_SET_CONTEXT, &has_context, err) &&
           ask_option(t, OPTION_GO, go, sizeof go, err) &&
           hear_option(t, OPTION_GO, &has_size, err);
}

/* ---- and then ---- */

static bool ask(struct talk *t, enum ask type, uint64_t length, struct err *err)
{
    CLEANUP(strbuf_clear) struct strbuf b = {0};

    put_u32(&b, ASK_MAGIC);
    put_u32(&b, type); /* no flags */
    put_u64(&b, t->at);
    put_u64(&b, t->at);
    put_u32(&b, (uint32_t)length);
    return put(t, b.data, b.len, err);
}

/* 'n' extents; one may go beyond what was asked about, none beyond the end counts. */
static bool hear_extents(struct talk *t, size_t n, struct err *err)
{
    char data[EXTENTS_ONCE * EXTENT_BYTES];

    if (!get(t, data, n * EXTENT_BYTES, err))
        return false;
    for (size_t i = 0; i < n; i++) {
        uint64_t length = u32_at(data + i * EXTENT_BYTES);
        const uint32_t flags = u32_at(data + i * EXTENT_BYTES + 4);
        if (!length)
            return strange(err, "it speaks of nothing");
        if (length > t->size - t->at)
            length = t->size - t->at;
        if (length)
            t->each(t->ctx, t->at, length, flags);
        t->at += length;
    }
    return true;
}

static bool hear_status(struct talk *t, struct err *err)
{
    char head[20], context[4];
    size_t n, len;

    if (!get(t, head, sizeof head, err))
        return false;
    len = u32_at(head + 16);
    if (u32_at(head) != CHUNK_MAGIC || u32_at(head + 4) != (CHUNK_DONE << 16 | CHUNK_STATUS) ||
        u64_at(head + 8) != t->at)
        return strange(err, "its reply cannot be read");
    if (len < 4 + EXTENT_BYTES || (len - 4) % EXTENT_BYTES || len > STATUS_BYTES)
        return strange(err, "its reply has no length that it could have");
    if (!get(t, context, sizeof context, err))
        return false;
    if (u32_at(context) != t->context)
        return strange(err, "its reply is about something else");
    for (n = (len - 4) / EXTENT_BYTES; n; n -= n < EXTENTS_ONCE ? n : EXTENTS_ONCE)
        if (!hear_extents(t, n < EXTENTS_ONCE ? n : EXTENTS_ONCE, err))
            return false;
    return true;
}

bool nbd_map(int fd, const char *context, uint64_t size_bytes, nbd_map_each *each, void *ctx,
             int64_t deadline_ms, const atomic_bool *stop, struct err *err)
{
    struct talk t = {.fd = fd,
                     .deadline_ms = deadline_ms,
                     .stop = stop,
                     .size = size_bytes,
                     .each = each,
                     .ctx = ctx};

    if (!greet(&t, err) || !open_export(&t, context, err))
        return false;
    while (t.at < t.size) {
        const uint64_t left = t.size - t.at;
        if (!ask(&t, ASK_STATUS, left < ASK_BYTES ? left : ASK_BYTES, err) || !hear_status(&t, err))
            return false;
    }
    return ask(&t, ASK_DISCONNECT, 0, err);
}
