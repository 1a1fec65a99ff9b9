/* Connections and their watchdog: see conn.h.
 *
 * Theory of operation. libmicrohttpd's own timeout counts inactivity, so a client that sends one
 * byte a second holds a thread for ever. Here every connection has one deadline, moved on by its
 * thread at each step (head, body, reply, idle); the watchdog shuts down the socket of whoever is
 * late, and libmicrohttpd then sees the end of the stream. The descriptor is closed by
 * libmicrohttpd only after it told us (conn_free), which takes the list's lock: so the watchdog
 * never meets a descriptor that has become something else. */
#include "api/conn.h"

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/mem.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

/* Ends who is late; returns when the next one will be, at most a tick from now. */
static int64_t look(struct conn_list *list) REQUIRES(&list->lock)
{
    int64_t now = clock_mono_ms(), next = now + list->tick_ms;

    for (struct conn *c = list->first; c; c = c->next) {
        int64_t deadline = atomic_load(&c->deadline_ms);
        if (!deadline || !c->adopted) /* not yet libmicrohttpd's: perhaps closed already */
            continue;
        if (deadline <= now) {
            log_debug("%s was too slow: closed", c->peer);
            atomic_store(&c->deadline_ms, 0);
            shutdown(c->fd, SHUT_RDWR);
        } else if (deadline < next) {
            next = deadline;
        }
    }
    return next;
}

static void *watch(void *arg)
{
    struct conn_list *list = arg;

    lock_take(&list->lock);
    while (!list->stopping) {
        if (!list->first)
            cond_wait(&list->changed, &list->lock);
        else
            cond_wait_until(&list->changed, &list->lock, look(list));
    }
    lock_drop(&list->lock);
    return NULL;
}

bool conn_list_start(struct conn_list *list, unsigned tick_ms, struct err *err)
{
    lock_init(&list->lock);
    cond_init(&list->changed);
    list->tick_ms = tick_ms;
    if (thread_start(&list->watchdog, "api-watchdog", watch, list, err))
        return true;
    cond_clear(&list->changed);
    lock_clear(&list->lock);
    return false;
}

void conn_list_stop(struct conn_list *list)
{
    struct conn *left;

    lock_take(&list->lock);
    list->stopping = true;
    cond_wake_all(&list->changed);
    lock_drop(&list->lock);
    pthread_join(list->watchdog, NULL);

    lock_take(&list->lock);
    left = list->first;
    list->first = NULL;
    lock_drop(&list->lock);
    while (left) {
        struct conn *next = left->next;
        free(left);
        left = next;
    }
    cond_clear(&list->changed);
    lock_clear(&list->lock);
}

struct conn *conn_new(struct conn_list *list, int fd, unsigned max, unsigned first_ms)
{
    struct conn *c = mem_alloc(sizeof *c);

    c->list = list;
    c->fd = fd;
    conn_deadline(c, first_ms);
    lock_take(&list->lock);
    if (list->count >= max) {
        lock_drop(&list->lock);
        free(c);
        return NULL;
    }
    list->count++;
    c->next = list->first;
    if (c->next)
        c->next->prev = c;
    list->first = c;
    cond_wake_all(&list->changed);
    lock_drop(&list->lock);
    return c;
}

struct conn *conn_adopt(struct conn_list *list, int fd)
{
    struct conn *c;

    lock_take(&list->lock);
    for (c = list->first; c; c = c->next)
        if (c->fd == fd && !c->adopted)
            break;
    if (c)
        c->adopted = true;
    lock_drop(&list->lock);
    return c;
}

void conn_free(struct conn *conn)
{
    struct conn_list *list = conn->list;

    lock_take(&list->lock);
    if (conn->next)
        conn->next->prev = conn->prev;
    if (conn->prev)
        conn->prev->next = conn->next;
    else
        list->first = conn->next;
    list->count--;
    lock_drop(&list->lock);
    free(conn);
}

void conn_deadline(struct conn *conn, int64_t ms_from_now)
{
    atomic_store(&conn->deadline_ms, ms_from_now ? clock_mono_ms() + ms_from_now : 0);
}

bool conn_is_gone(const struct conn *conn)
{
    struct pollfd p = {.fd = conn->fd, .events = POLLRDHUP};

    return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR));
}
