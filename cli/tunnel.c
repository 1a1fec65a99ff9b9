/* See tunnel.h. libcurl makes the connection, with its certificate checks, and then only passes on
 * bytes (CONNECT_ONLY). */
#include "cli/tunnel.h"

#include "cli/http_inside.h"
#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define CONNECT_MS  15000L
#define ANSWER_MS   60000 /* QEMU is started before there is one */
#define HEAD_MAX    (64u << 10)
#define PIECE_BYTES (64u << 10)

struct tunnel {
    struct http *http;
    int local, remote, stop_fd;
    struct strbuf head;   /* of the answer, and what came behind it */
    char up[PIECE_BYTES]; /* read of 'local', not yet sent */
    size_t up_at, up_len;
    char down[PIECE_BYTES];
    size_t down_at, down_len;
};

static bool is_done(CURLcode result)
{
    return result != CURLE_OK && result != CURLE_AGAIN;
}

/* Until the socket is ready, or the end of everything; false: it is time to end. */
static bool wait_for(struct tunnel *t, short local, short remote, int ms)
{
    struct pollfd p[3] = {{.fd = t->local, .events = local},
                          {.fd = t->remote, .events = remote},
                          {.fd = t->stop_fd, .events = POLLIN}};

    return poll(p, 3, ms) >= 0 ? !p[2].revents : errno == EINTR;
}

/* ---- asking ---- */

static bool connect_to(struct tunnel *t, struct fault *fault)
{
    CURL *curl = t->http->curl;
    curl_socket_t fd = CURL_SOCKET_BAD;
    CURLcode result;

    curl_easy_setopt(curl, CURLOPT_URL, t->http->connection->url);
    curl_easy_setopt(curl, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    http_set_peer(t->http);
    result = curl_easy_perform(curl);
    if (result != CURLE_OK)
        return http_transport_fault(t->http, result, fault);
    curl_easy_getinfo(curl, CURLINFO_ACTIVESOCKET, &fd);
    t->remote = fd;
    return fd >= 0 || fault_set(fault, CLI_UNREACHABLE, "the service hung up");
}

static char *request_text(const struct tunnel *t, const char *path, const char *protocol)
{
    const char *url = t->http->connection->url, *host = strstr(url, "://");

    return str_format("GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: vmmctl/" VMMD_VERSION
                      "\r\nConnection: Upgrade\r\nUpgrade: %s\r\n%s%s\r\n",
                      path, host ? host + 3 : url, protocol,
                      t->http->authorization ? t->http->authorization : "",
                      t->http->authorization ? "\r\n" : "");
}

static bool send_all(struct tunnel *t, const char *data, size_t len)
{
    while (len) {
        size_t n = 0;
        CURLcode result = curl_easy_send(t->http->curl, data, len, &n);
        if (is_done(result) || (result == CURLE_AGAIN && !wait_for(t, 0, POLLOUT, ANSWER_MS)))
            return false;
        data += n;
        len -= n;
    }
    return true;
}

/* Where the head ends; 0: not yet. */
static size_t head_end(const struct strbuf *b)
{
    const char *end = b->len ? memmem(b->data, b->len, "\r\n\r\n", 4) : NULL;

    return end ? (size_t)(end - b->data) + 4 : 0;
}

/* Where its head ends; 0: it did not come. */
static size_t read_answer(struct tunnel *t)
{
    const int64_t deadline_ms = clock_mono_ms() + ANSWER_MS;

    while (!head_end(&t->head) && t->head.len < HEAD_MAX) {
        char piece[4096];
        size_t n = 0;
        CURLcode result = curl_easy_recv(t->http->curl, piece, sizeof piece, &n);
        if (is_done(result) || (result == CURLE_OK && !n) || !clock_left_ms(deadline_ms))
            break;
        if (result == CURLE_AGAIN && !wait_for(t, 0, POLLIN, (int)clock_left_ms(deadline_ms)))
            break;
        strbuf_add(&t->head, piece, n);
    }
    return head_end(&t->head);
}

static bool refusal(struct tunnel *t, size_t end, struct fault *fault)
{
    const int status = t->head.len > 12 ? atoi(t->head.data + 9) : 0;
    const char *length = strcasestr(t->head.data, "\r\nContent-Length:");
    size_t body = length ? (size_t)strtoul(length + 17, NULL, 10) : 0;

    while (t->head.len < end + body && t->head.len < HEAD_MAX) {
        size_t before = t->head.len;
        char piece[4096];
        size_t n = 0;
        CURLcode result = curl_easy_recv(t->http->curl, piece, sizeof piece, &n);
        strbuf_add(&t->head, piece, n);
        if (is_done(result) || (result == CURLE_OK && t->head.len == before) ||
            (result == CURLE_AGAIN && !wait_for(t, 0, POLLIN, ANSWER_MS)))
            break;
    }
    if (status < 400)
        return fault_set(fault, CLI_FAILED, "the service answered with status %d; is this vmmd?",
                         status);
    return fault_problem(fault, status, t->head.data + end, t->head.len - end, NULL);
}

static bool ask(struct tunnel *t, const char *path, const char *protocol, struct fault *fault)
{
    CLEANUP(mem_freep) char *text = request_text(t, path, protocol);
    size_t end;

    if (!send_all(t, text, strlen(text)))
        return fault_set(fault, CLI_UNREACHABLE, "the service hung up");
    end = read_answer(t);
    if (!end)
        return fault_set(fault, CLI_UNREACHABLE, "the service did not answer");
    if (!str_starts(t->head.data, "HTTP/1.1 101 "))
        return refusal(t, end, fault);
    t->down_len = t->head.len - end;
    if (t->down_len > sizeof t->down)
        return fault_set(fault, CLI_FAILED, "the service says too much at once");
    memcpy(t->down, t->head.data + end, t->down_len);
    return true;
}

/* ---- passing on ---- */

/* False: that direction has ended. */
static bool move_up(struct tunnel *t)
{
    CURLcode result;
    ssize_t got;
    size_t n = 0;

    if (!t->up_len) {
        got = recv(t->local, t->up, sizeof t->up, MSG_DONTWAIT);
        if (got <= 0)
            return got < 0 && (errno == EAGAIN || errno == EINTR);
        t->up_at = 0;
        t->up_len = (size_t)got;
    }
    result = curl_easy_send(t->http->curl, t->up + t->up_at, t->up_len, &n);
    t->up_at += n;
    t->up_len -= n;
    return !is_done(result);
}

/* '*more': libcurl may have more of what it has decrypted. */
static bool move_down(struct tunnel *t, bool *more)
{
    CURLcode result = CURLE_AGAIN;
    ssize_t put;

    *more = false;
    if (!t->down_len) {
        result = curl_easy_recv(t->http->curl, t->down, sizeof t->down, &t->down_len);
        if (is_done(result) || (result == CURLE_OK && !t->down_len))
            return false;
        t->down_at = 0;
    }
    if (!t->down_len)
        return true;
    put = send(t->local, t->down + t->down_at, t->down_len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (put < 0)
        return errno == EAGAIN || errno == EINTR;
    t->down_at += (size_t)put;
    t->down_len -= (size_t)put;
    *more = !t->down_len;
    return true;
}

static void relay(struct tunnel *t)
{
    bool more = true;

    while (more || wait_for(t, (short)((t->up_len ? 0 : POLLIN) | (t->down_len ? POLLOUT : 0)),
                            (short)((t->down_len ? 0 : POLLIN) | (t->up_len ? POLLOUT : 0)), -1))
        if (!move_up(t) || !move_down(t, &more))
            return;
}

bool tunnel_run(const struct connection *connection, const char *path, const char *protocol,
                int local, int stop_fd, struct fault *fault)
{
    struct tunnel *t = mem_alloc(sizeof *t);
    bool ok;

    t->local = local;
    t->remote = -1;
    t->stop_fd = stop_fd;
    t->http = http_open(connection, -1, false, fault);
    ok = t->http && connect_to(t, fault) && ask(t, path, protocol, fault);
    if (ok)
        relay(t);
    http_free(t->http);
    strbuf_clear(&t->head);
    mem_free_secret(t, sizeof *t);
    return ok;
}
