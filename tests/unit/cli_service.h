/* A scripted HTTP service on a unix socket, for tests of vmmctl. Included by cli_line.h only.
 *
 * A script is a list of steps. A request takes the first step that is left and whose line it begins
 * with; a step may wait until others were taken, which orders the console's two connections. */
#pragma once
#include "tests/lib/harness.h"

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/base/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_STEPS 16

struct step {
    const char *line;  /* beginning of "METHOD /path" */
    int status;        /* 0: hang up without a reply */
    const char *body;  /* of the reply */
    const char *head;  /* more header lines, each ended by \r\n */
    const char *wants; /* must stand in the request, head or body */
    unsigned after;    /* this many steps must have been taken before the reply is sent */
    bool open;         /* no Content-Length: the body ends with the connection */
    bool may_miss;     /* nothing is wrong if it is never asked */
    int signal;        /* comes before the reply, to vmmctl; 0: none */
    unsigned again;    /* it comes again every 300 ms until so many steps were taken */
};

struct service {
    struct lock lock;
    struct cond changed;
    const struct step *steps;
    unsigned n_steps, n_taken;
    bool taken[MAX_STEPS];
    bool closing;
    char wrong[512]; /* first complaint */
    char last_key[128];
    unsigned same_keys; /* how often a key came again */
    int listener;
    int connections[MAX_STEPS * 2];
    pthread_t threads[MAX_STEPS * 2], acceptor;
    unsigned n_connections;
};

struct conversation {
    struct service *s;
    int sock;
};

static struct service service;

static void complain(struct service *s, const char *what, const char *request)
{
    lock_take(&s->lock);
    if (!s->wrong[0])
        snprintf(s->wrong, sizeof s->wrong, "%s: %.400s", what, request);
    lock_drop(&s->lock);
}

/* Head and body of the next request; NULL at the connection's end. */
static char *read_request(int sock)
{
    struct strbuf b = {0};
    char piece[4096];

    for (;;) {
        const char *end = b.data ? strstr(b.data, "\r\n\r\n") : NULL;
        const char *length = b.data ? strcasestr(b.data, "content-length:") : NULL;
        size_t body = length && length < end ? strtoul(length + 15, NULL, 10) : 0;
        ssize_t n;

        if (end && b.len >= (size_t)(end + 4 - b.data) + body)
            return strbuf_take(&b);
        n = recv(sock, piece, sizeof piece, 0);
        if (n <= 0) {
            strbuf_clear(&b);
            return NULL;
        }
        strbuf_add(&b, piece, (size_t)n);
    }
}

static void note_key(struct service *s, const char *request)
{
    const char *key = strcasestr(request, "idempotency-key:");
    char line[128] = "";

    snprintf(line, sizeof line, "%.*s", key ? (int)strcspn(key, "\r") : 0, key ? key : "");
    lock_take(&s->lock);
    s->same_keys += key && strcmp(line, s->last_key) == 0;
    str_copy(s->last_key, sizeof s->last_key, line);
    lock_drop(&s->lock);
}

static const struct step *take_step(struct service *s, const char *request)
{
    const struct step *found = NULL;

    lock_take(&s->lock);
    for (unsigned i = 0; i < s->n_steps && !found; i++)
        if (!s->taken[i] && str_starts(request, s->steps[i].line))
            found = &s->steps[i];
    if (found) {
        s->taken[found - s->steps] = true;
        s->n_taken++;
        cond_wake_all(&s->changed);
        while (!s->closing && s->n_taken < found->after)
            cond_wait(&s->changed, &s->lock);
    }
    lock_drop(&s->lock);
    return found;
}

/* A key is pressed, and again until it has shown its effect. */
static void press(struct service *s, const struct step *step)
{
    bool in_time = false;

    while (!in_time) {
        int64_t next = clock_mono_ms() + 300;

        in_time = true;
        kill(getpid(), step->signal);
        lock_take(&s->lock);
        while (in_time && !s->closing && s->n_taken < step->again)
            in_time = cond_wait_until(&s->changed, &s->lock, next);
        lock_drop(&s->lock);
    }
}

static void reply(int sock, const struct step *step)
{
    struct strbuf b = {0};
    const char *body = step->body ? step->body : "";

    strbuf_addf(&b, "HTTP/1.1 %d X\r\nX-Request-Id: r-test\r\n%s", step->status,
                step->head ? step->head : "");
    if (step->open)
        strbuf_adds(&b, "Connection: close\r\n\r\n");
    else
        strbuf_addf(&b, "Content-Length: %zu\r\n\r\n", strlen(body));
    strbuf_adds(&b, body);
    while (send(sock, b.data, b.len, MSG_NOSIGNAL) < 0 && errno == EINTR)
        continue; /* a client that left is no failure: the test looks at its outcome */
    strbuf_clear(&b);
}

static bool serve_one(struct conversation *c, const char *request)
{
    const struct step *step = take_step(c->s, request);

    if (!step) {
        complain(c->s, "not in the script", request);
        return false;
    }
    if (step->wants && !strstr(request, step->wants))
        complain(c->s, step->wants, request);
    note_key(c->s, request);
    if (step->signal)
        press(c->s, step);
    if (step->status)
        reply(c->sock, step);
    return step->status && !step->open;
}

static void *converse(void *arg)
{
    struct conversation c = *(struct conversation *)arg;
    bool more = true;

    free(arg);
    while (more) {
        char *request = read_request(c.sock);

        more = request && serve_one(&c, request);
        free(request);
    }
    shutdown(c.sock, SHUT_RDWR);
    return NULL;
}

static void *accept_all(void *arg)
{
    struct service *s = arg;
    struct err err;
    int sock;

    while ((sock = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        struct conversation *c = mem_alloc(sizeof *c);

        *c = (struct conversation){s, sock};
        s->connections[s->n_connections] = sock;
        if (s->n_connections + 1 == ARRAY_LEN(s->connections) ||
            !thread_start(&s->threads[s->n_connections], "conversation", converse, c, &err))
            abort();
        s->n_connections++;
    }
    return NULL;
}

/* Listens on 'path' and follows the script; one at a time. */
static void service_start(const char *path, const struct step *steps, unsigned n)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct err err;

    memset(&service, 0, sizeof service);
    lock_init(&service.lock);
    cond_init(&service.changed);
    service.steps = steps;
    service.n_steps = n;
    str_copy(address.sun_path, sizeof address.sun_path, path);
    unlink(path);
    service.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(service.listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(service.listener, 16), 0);
    assert_true(thread_start(&service.acceptor, "service", accept_all, &service, &err));
}

/* Fails the test when a request was not in the script, or a step was never asked for. */
static void service_end(void)
{
    shutdown(service.listener, SHUT_RDWR);
    pthread_join(service.acceptor, NULL);
    lock_take(&service.lock);
    service.closing = true;
    cond_wake_all(&service.changed);
    lock_drop(&service.lock);
    for (unsigned i = 0; i < service.n_connections; i++) {
        shutdown(service.connections[i], SHUT_RDWR);
        pthread_join(service.threads[i], NULL);
        close(service.connections[i]);
    }
    close(service.listener);
    if (service.wrong[0])
        fail_msg("%s", service.wrong);
    for (unsigned i = 0; i < service.n_steps; i++)
        if (!service.taken[i] && !service.steps[i].may_miss)
            fail_msg("never asked: %s", service.steps[i].line);
    cond_clear(&service.changed);
    lock_clear(&service.lock);
}
