/* The pump between TLS and main: see relay.h.
 *
 * Theory of operation. Two flows, each with its buffer, in one thread:
 *
 *            SSL_read          send
 *   client ───────────► up ─────────► main
 *          ◄─────────── down ◄───────
 *            SSL_write         recv
 *
 * A flow reads only when its buffer is empty and writes at once what it read, so the common case (a
 * small request, a small reply) costs one poll, one read and one write each. Neither direction
 * waits for the other: a client that sends without reading stops only its own flow.
 *
 * Ends: the client's close_notify closes main's input, the reply still comes; a client that
 * vanishes without one ends everything (a truncated request must not look whole); main's close ends
 * the connection when the rest is sent; main closing its input only makes further input vanish. */
#include "vmmd/front/relay.h"

#include "core/base/clock.h"
#include "core/base/mem.h"

#include <errno.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#define BUFFER    65536
#define LINGER_MS 2000
#define REJECT_MS 5000

struct flow {
    size_t from, to; /* bytes held: buffer[from..to) */
    bool eof;        /* nothing more will come in */
    char buffer[BUFFER];
};

struct relay {
    SSL *ssl;
    int tcp, stream;
    bool tls_starved; /* OpenSSL needs more bytes before SSL_read() can give any */
    bool read_wants_write, write_wants_read; /* OpenSSL's own messages are stuck */
    bool discard;                            /* main does not read any more */
    struct flow up, down;
};

static bool is_empty(const struct flow *f)
{
    return f->from == f->to;
}

/* ---- up ---- */

/* 1: bytes came, 0: not now, -1: the connection is broken. */
static int read_tls(struct relay *r)
{
    struct flow *f = &r->up;
    int n;

    ERR_clear_error();
    n = SSL_read(r->ssl, f->buffer + f->to, (int)(BUFFER - f->to));
    r->read_wants_write = false;
    if (n > 0) {
        f->to += (size_t)n;
        return 1;
    }
    switch (SSL_get_error(r->ssl, n)) {
    case SSL_ERROR_WANT_READ:
        r->tls_starved = true;
        return 0;
    case SSL_ERROR_WANT_WRITE:
        r->read_wants_write = true;
        return 0;
    case SSL_ERROR_ZERO_RETURN:
        f->eof = true;
        return 0;
    default:
        return -1;
    }
}

static bool fill_up(struct relay *r)
{
    int got;

    r->up.from = r->up.to = 0;
    do
        got = read_tls(r);
    while (got > 0 && r->up.to < BUFFER && SSL_has_pending(r->ssl));
    return got >= 0;
}

static void drain_up(struct relay *r)
{
    struct flow *f = &r->up;

    while (!is_empty(f) && !r->discard) {
        ssize_t n =
            send(r->stream, f->buffer + f->from, f->to - f->from, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0)
            f->from += (size_t)n;
        else if (errno == EAGAIN)
            return;
        else if (errno != EINTR)
            r->discard = true;
    }
    f->from = f->to;
    if (f->eof)
        shutdown(r->stream, SHUT_WR);
}

/* ---- down ---- */

static void fill_down(struct relay *r)
{
    struct flow *f = &r->down;
    ssize_t n = recv(r->stream, f->buffer, BUFFER, MSG_DONTWAIT);

    f->from = f->to = 0;
    if (n > 0)
        f->to = (size_t)n;
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        f->eof = true;
}

static bool drain_down(struct relay *r)
{
    struct flow *f = &r->down;

    while (!is_empty(f)) {
        int n, why;
        ERR_clear_error();
        n = SSL_write(r->ssl, f->buffer + f->from, (int)(f->to - f->from));
        r->write_wants_read = false;
        if (n > 0) {
            f->from += (size_t)n;
            continue;
        }
        why = SSL_get_error(r->ssl, n);
        r->write_wants_read = why == SSL_ERROR_WANT_READ;
        return why == SSL_ERROR_WANT_WRITE || why == SSL_ERROR_WANT_READ;
    }
    return true;
}

/* ---- both ---- */

static bool wants_tls(const struct relay *r)
{
    return is_empty(&r->up) && !r->up.eof;
}

static bool wants_stream(const struct relay *r)
{
    return is_empty(&r->down) && !r->down.eof;
}

/* Waits until something can move. */
static void wait_ready(struct relay *r, struct pollfd p[2])
{
    bool tls_in = wants_tls(r) || r->write_wants_read;
    bool tls_out = (!is_empty(&r->down) && !r->write_wants_read) || r->read_wants_write;
    short stream = (short)((wants_stream(r) ? POLLIN : 0) | (is_empty(&r->up) ? 0 : POLLOUT));
    bool decrypted = wants_tls(r) && !r->tls_starved && SSL_has_pending(r->ssl);

    p[0] = (struct pollfd){.fd = r->tcp,
                           .events = (short)((tls_in ? POLLIN : 0) | (tls_out ? POLLOUT : 0))};
    /* A closed stream always reports POLLHUP: it must not be polled while nothing is wanted. */
    p[1] = (struct pollfd){.fd = stream ? r->stream : -1, .events = stream};
    while (poll(p, 2, decrypted ? 0 : -1) < 0 && errno == EINTR)
        ;
    if (decrypted)
        p[0].revents |= POLLIN;
    if (p[0].revents)
        r->tls_starved = false;
}

/* One round; false when the connection is over. */
static bool turn(struct relay *r)
{
    struct pollfd p[2];

    wait_ready(r, p);
    if (p[0].revents & (POLLERR | POLLHUP) && !wants_tls(r))
        return false;
    if (p[0].revents && wants_tls(r) && !fill_up(r))
        return false;
    if (!is_empty(&r->up) || r->up.eof)
        drain_up(r);
    if (p[1].revents & (POLLIN | POLLHUP | POLLERR) && wants_stream(r))
        fill_down(r);
    if (!is_empty(&r->down) && !drain_down(r))
        return false;
    return !(r->down.eof && is_empty(&r->down));
}

/* Says goodbye, then throws away what the client still sends: with unread input the kernel would
 * answer with a reset, which may overtake the last reply. */
static void linger(SSL *ssl, int tcp)
{
    int64_t deadline = clock_mono_ms() + LINGER_MS;
    struct pollfd p = {.fd = tcp, .events = POLLIN};
    char sink[4096];
    ssize_t n;

    ERR_clear_error();
    SSL_shutdown(ssl);
    shutdown(tcp, SHUT_WR);
    while (clock_left_ms(deadline) > 0 && poll(&p, 1, (int)clock_left_ms(deadline)) > 0) {
        n = recv(tcp, sink, sizeof sink, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            return;
    }
}

void relay_run(SSL *ssl, int tcp, int stream)
{
    struct relay *r = mem_alloc(sizeof *r);
    bool whole;

    r->ssl = ssl;
    r->tcp = tcp;
    r->stream = stream;
    while (turn(r))
        ;
    whole = r->down.eof && is_empty(&r->down);
    mem_freep(&r);
    if (whole)
        linger(ssl, tcp);
}

/* Waits for what OpenSSL asked for after 'result'; false when it failed or the time is over. */
static bool wait_for_tls(SSL *ssl, int tcp, int result, int64_t deadline)
{
    int why = SSL_get_error(ssl, result);
    struct pollfd p = {.fd = tcp, .events = why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT};
    int64_t left = clock_left_ms(deadline);

    if ((why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) || left == 0)
        return false;
    return poll(&p, 1, (int)left) > 0 || errno == EINTR;
}

bool relay_handshake(SSL *ssl, int tcp, int64_t deadline)
{
    int n;

    do {
        ERR_clear_error();
        n = SSL_accept(ssl);
    } while (n != 1 && wait_for_tls(ssl, tcp, n, deadline));
    return n == 1;
}

void relay_reject(SSL *ssl, int tcp, const char *text)
{
    int64_t deadline = clock_mono_ms() + REJECT_MS;
    size_t left = strlen(text);
    int n;

    while (left) {
        ERR_clear_error();
        n = SSL_write(ssl, text, (int)left);
        if (n > 0) {
            text += n;
            left -= (size_t)n;
        } else if (!wait_for_tls(ssl, tcp, n, deadline)) {
            return;
        }
    }
    linger(ssl, tcp);
}
