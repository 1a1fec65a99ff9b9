/* The life of a connection: counted, handshake, handed to main, relayed, closed. See conn.h. */
#include "vmmd/front/conn.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/sock.h"
#include "vmmd/front/count.h"
#include "vmmd/front/gate.h"
#include "vmmd/front/relay.h"
#include "vmmd/front/tls.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HANDSHAKE_MS 5000
#if defined(__SANITIZE_ADDRESS__) || defined(VMMD_TSAN)
#define STACK (1u << 20)
#else
#define STACK                                                                                      \
    (128u << 10) /* a handshake takes less than 32 KiB; the relay's buffers lie on the heap */
#endif

#define UNAVAILABLE_BODY                                                                           \
    "{\"type\":\"about:blank\",\"title\":\"Not available at the moment\",\"status\":503,"          \
    "\"code\":\"unavailable\",\"detail\":\"vmmd is being started or restarted: try again in a "    \
    "moment.\"}"
_Static_assert(sizeof UNAVAILABLE_BODY - 1 == 164, "Content-Length below");
static const char unavailable[] = "HTTP/1.1 503 Service Unavailable\r\n"
                                  "Content-Type: application/problem+json\r\n"
                                  "Content-Length: 164\r\n"
                                  "Retry-After: 5\r\n"
                                  "Connection: close\r\n\r\n" UNAVAILABLE_BODY;

struct conn {
    int tcp;
    struct sockaddr_storage peer;
    struct count_key key;
    uint64_t id;
};

static SSL_CTX *context;
static void (*on_end)(void);
static uint64_t last_id;            /* of the accepting thread */
static _Atomic uint32_t handshakes; /* that came to nothing */

void conn_init(SSL_CTX *ctx, void (*on_end_)(void))
{
    context = ctx;
    on_end = on_end_;
}

static struct front_conn describe(const struct conn *c)
{
    struct front_conn out = {.version = FRONT_VERSION, .family = c->peer.ss_family, .id = c->id};
    const struct sockaddr_in *in = (const struct sockaddr_in *)&c->peer;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&c->peer;

    if (c->peer.ss_family == AF_INET) {
        memcpy(out.address, &in->sin_addr, 4);
        out.port = ntohs(in->sin_port);
    } else {
        memcpy(out.address, &in6->sin6_addr, 16);
        out.port = ntohs(in6->sin6_port);
    }
    count_refused(&out.refused_full, &out.refused_address);
    out.handshakes = atomic_load(&handshakes);
    return out;
}

/* Makes the stream and gives main its end. Our end, or -1. */
static int hand_over(const struct conn *c, SSL *ssl, struct err *err)
{
    struct front_conn message = describe(c);
    int pair[2];
    CLEANUP(closep) int ours = -1;
    CLEANUP(closep) int theirs = -1;

    if (!sock_pair(SOCK_STREAM, pair, err))
        return -1;
    tls_client(ssl, message.cert_sha256);
    ours = pair[0];
    theirs = pair[1];
    return gate_pass(&message, theirs, err) ? TAKE_FD(ours) : -1;
}

static void serve(const struct conn *c, SSL *ssl)
{
    struct err err = {0};
    CLEANUP(closep) int stream = -1;

    if (SSL_set_fd(ssl, c->tcp) != 1 ||
        !relay_handshake(ssl, c->tcp, clock_mono_ms() + HANDSHAKE_MS)) {
        atomic_fetch_add(&handshakes, 1);
        log_debug("connection %llu: no TLS handshake", (unsigned long long)c->id);
        return;
    }
    stream = hand_over(c, ssl, &err);
    if (stream >= 0) {
        relay_run(ssl, c->tcp, stream);
        return;
    }
    log_warn("connection %llu gets 503: %s", (unsigned long long)c->id, err.detail);
    relay_reject(ssl, c->tcp, unavailable);
}

static void conn_free(struct conn *c)
{
    close(c->tcp);
    count_leave(&c->key);
    free(c);
    on_end();
}

static void *run(void *arg)
{
    struct conn *c = arg;
    SSL *ssl = SSL_new(context);

    pthread_setname_np(pthread_self(), "conn");
    if (ssl)
        serve(c, ssl);
    SSL_free(ssl);
    conn_free(c);
    return NULL;
}

static int start_thread(struct conn *c)
{
    pthread_attr_t attr;
    pthread_t thread;
    int e;

    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, STACK);
    e = pthread_create(&thread, &attr, run, c);
    pthread_attr_destroy(&attr);
    return e;
}

bool conn_start(int tcp, const struct sockaddr_storage *peer, struct err *err)
{
    struct count_key key = count_key(peer);
    struct conn *c;
    int one = 1;
    int e;

    if (!count_enter(&key)) {
        close(tcp);
        return err_set(err, ERR_RATE_LIMITED, "too many connections, in all or from one address");
    }
    setsockopt(tcp, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(tcp, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    c = mem_alloc(sizeof *c);
    *c = (struct conn){.tcp = tcp, .peer = *peer, .key = key, .id = ++last_id};
    e = start_thread(c);
    if (e == 0)
        return true;
    conn_free(c);
    return err_errno(err, e, "start a connection's thread");
}
