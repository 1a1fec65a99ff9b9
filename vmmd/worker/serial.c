/* The guest's first serial port: see serial.h. */
#include "vmmd/worker/serial.h"

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
#define MAX_LAST     (1u << 20) /* bytes taken from a QEMU that has ended */

bool serial_open(struct worker *w, int sock, int log, struct err *err)
{
    ssize_t n = 0;
    char none[1];
    uint64_t at = UINT64_MAX;

    w->serial.sock = sock;
    w->serial.log = log;
    if (log < 0)
        return true;
    if (!ringlog_open(log, LOG_CAPACITY, err))
        return false;
    n = ringlog_read(log, &at, none, 0, &w->serial.end, err);
    return n >= 0;
}

short serial_wants(const struct worker *w)
{
    return w->serial.input.len ? POLLIN | POLLOUT : POLLIN;
}

static void keep(struct worker *w, const char *data, size_t len)
{
    struct err err = {0};

    if (w->serial.log < 0)
        return;
    if (ringlog_append(w->serial.log, data, len, &w->serial.end, &err)) {
        w->serial.news = true;
    } else if (!w->serial.log_failed) {
        w->serial.log_failed = true; /* a full disk costs the console's text, never the guest */
        log_warn("the serial log cannot be written: %s", err.detail);
    }
}

/* Bytes read; 0 when there are none now, -1 at the end. */
static ssize_t read_some(struct worker *w)
{
    char piece[PIECE];
    ssize_t n = recv(w->serial.sock, piece, sizeof piece, MSG_DONTWAIT);

    if (n > 0)
        keep(w, piece, (size_t)n);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    return n ? n : -1;
}

static void give_input(struct worker *w)
{
    struct serial *s = &w->serial;

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

static void hang_up(struct worker *w)
{
    close(w->serial.sock);
    w->serial.sock = -1;
    strbuf_clear(&w->serial.input);
    w->serial.sent = 0;
}

void serial_ready(struct worker *w, short revents)
{
    if (revents & POLLOUT)
        give_input(w);
    if ((revents & (POLLIN | POLLHUP | POLLERR)) && read_some(w) < 0)
        hang_up(w);
}

bool serial_input(struct worker *w, const void *data, size_t len, struct err *err)
{
    struct serial *s = &w->serial;

    if (s->sock < 0)
        return err_set(err, ERR_WRONG_STATE, "the VM has no serial port");
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
    give_input(w);
    return true;
}

static void tell(struct worker *w, int64_t now_ms)
{
    w->serial.news = false;
    w->serial.told_ms = now_ms;
    daemon_notify(w, WORKER_SERIAL, &w->serial.end, sizeof w->serial.end);
}

int64_t serial_tick(struct worker *w, int64_t now_ms)
{
    if (!w->serial.news || daemon_is_behind(w))
        return INT64_MAX;
    if (now_ms - w->serial.told_ms < TELL_MS)
        return w->serial.told_ms + TELL_MS;
    tell(w, now_ms);
    return INT64_MAX;
}

void serial_close(struct worker *w)
{
    ssize_t n = 1;

    for (size_t total = 0; w->serial.sock >= 0 && n > 0 && total < MAX_LAST; total += (size_t)n)
        n = read_some(w);
    if (w->serial.news)
        tell(w, 0);
    if (w->serial.sock >= 0)
        hang_up(w);
    if (w->serial.log >= 0)
        close(w->serial.log);
    w->serial.log = -1;
}
