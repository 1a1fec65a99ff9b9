/* The guest's serial ports: see serial.h. */
#include "vmmd/worker/serial.h"

#include "core/base/failpoint.h"
#include "core/base/log.h"
#include "core/base/ringlog.h"
#include "vmmd/worker/worker.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIECE        16384
#define TELL_MS      20
#define LOG_CAPACITY (4u << 20) /* of a log that main left empty */
#define MAX_LAST     (1u << 20) /* bytes taken at once where all there are matter */

void serial_init(struct worker *w)
{
    for (unsigned i = 0; i < WORKER_SERIALS; i++)
        w->serial[i].sock = w->serial[i].log = -1;
}

bool serial_open(struct worker *w, unsigned port, int sock, int log, struct err *err)
{
    struct serial *s = &w->serial[port];
    ssize_t n = 0;
    char none[1];
    uint64_t at = UINT64_MAX;

    s->sock = sock;
    s->log = log;
    if (log < 0)
        return true;
    if (!FAILPOINT("worker.serial", err) || !ringlog_open(log, LOG_CAPACITY, err))
        return false;
    n = ringlog_read(log, &at, none, 0, &s->end, err);
    return n >= 0;
}

short serial_wants(const struct worker *w, unsigned port)
{
    return w->serial[port].input.len ? POLLIN | POLLOUT : POLLIN;
}

static void keep(struct serial *s, const char *data, size_t len)
{
    struct err err = {0};

    if (s->log < 0)
        return;
    if (ringlog_append(s->log, data, len, &s->end, &err)) {
        s->news = true;
    } else if (!s->log_failed) {
        s->log_failed = true; /* a full disk costs the console's text, never the guest */
        log_warn("a serial log cannot be written: %s", err.detail);
    }
}

/* Bytes read; 0 when there are none now, -1 at the end. */
static ssize_t read_some(struct serial *s)
{
    char piece[PIECE];
    ssize_t n = recv(s->sock, piece, sizeof piece, MSG_DONTWAIT);

    if (n > 0)
        keep(s, piece, (size_t)n);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    return n ? n : -1;
}

static void give_input(struct serial *s)
{
    while (s->sent < s->input.len) {
        ssize_t n = send(s->sock, s->input.data + s->sent, s->input.len - s->sent,
                         MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return; /* full: POLLOUT says when; gone: POLLIN says so */
        s->sent += (size_t)n;
    }
    strbuf_clear(&s->input);
    s->sent = 0;
}

static void hang_up(struct serial *s)
{
    close(s->sock);
    s->sock = -1;
    strbuf_clear(&s->input);
    s->sent = 0;
}

void serial_ready(struct worker *w, unsigned port, short revents)
{
    struct serial *s = &w->serial[port];

    if (revents & POLLOUT)
        give_input(s);
    if ((revents & (POLLIN | POLLHUP | POLLERR)) && read_some(s) < 0)
        hang_up(s);
}

bool serial_input(struct worker *w, unsigned port, const void *data, size_t len, struct err *err)
{
    struct serial *s = port < WORKER_SERIALS ? &w->serial[port] : NULL;

    if (!s || s->sock < 0)
        return err_set(err, ERR_WRONG_STATE, "the VM has no serial port %u", port);
    if (s->input.len - s->sent + len > SERIAL_MAX_INPUT)
        return err_set(err, ERR_BUSY,
                       "the guest does not read its serial port: %zu bytes wait already",
                       s->input.len - s->sent);
    if (s->sent) { /* forget what was given, or the buffer would grow for ever */
        memmove(s->input.data, s->input.data + s->sent, s->input.len - s->sent);
        s->input.len -= s->sent;
        s->sent = 0;
    }
    strbuf_add(&s->input, data, len);
    give_input(s);
    return true;
}

static void tell(struct worker *w, unsigned port, int64_t now_ms)
{
    struct serial *s = &w->serial[port];
    const struct worker_serial_port note = {.end = s->end, .port = port};

    s->news = false;
    s->told_ms = now_ms;
    if (port)
        daemon_notify(w, WORKER_SERIAL_PORT, &note, sizeof note);
    else
        daemon_notify(w, WORKER_SERIAL, &s->end, sizeof s->end);
}

int64_t serial_tick(struct worker *w, int64_t now_ms)
{
    int64_t next = INT64_MAX;

    if (daemon_is_behind(w))
        return next;
    for (unsigned i = 0; i < WORKER_SERIALS; i++) {
        const struct serial *s = &w->serial[i];
        int64_t by_ms = s->told_ms + TELL_MS;
        if (s->news && now_ms >= by_ms)
            tell(w, i, now_ms);
        else if (s->news && by_ms < next)
            next = by_ms;
    }
    return next;
}

static void read_last(struct serial *s)
{
    ssize_t n = 1;

    for (size_t total = 0; s->sock >= 0 && n > 0 && total < MAX_LAST; total += (size_t)n)
        n = read_some(s);
}

void serial_catch_up(struct worker *w)
{
    for (unsigned i = 0; i < WORKER_SERIALS; i++)
        read_last(&w->serial[i]);
}

static void close_port(struct worker *w, unsigned port)
{
    struct serial *s = &w->serial[port];

    read_last(s);
    if (s->news)
        tell(w, port, 0);
    if (s->sock >= 0)
        hang_up(s);
    if (s->log >= 0)
        close(s->log);
    s->log = -1;
}

void serial_close(struct worker *w)
{
    for (unsigned i = 0; i < WORKER_SERIALS; i++)
        close_port(w, i);
}
