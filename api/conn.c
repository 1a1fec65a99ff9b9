/* Connections and their watchdog: see conn.h.
 *
 * Theory of operation. libmicrohttpd's own timeout counts inactivity, so a client that sends one
 * byte a second holds a thread for ever. Here every connection has one deadline, moved on by its
 * thread at each step (head, body, reply, idle); the watchdog shuts down the socket of whoever is
 * late, and libmicrohttpd then sees the end of the stream. An address keeps only a few connections
 * that have shown no good token for some seconds: the watchdog ends those that are too many. The
 * descriptor is closed by libmicrohttpd only after it told us (conn_free), which takes the list's
 * lock: so the watchdog never meets a descriptor that has become something else. */
#include "api/conn.h"

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/mem.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define UNIX_SHARE 4 /* a user who is no administrator has at most a fourth of the socket */

static void hang_up(struct conn_list *list, struct conn *c, enum meter_refusal why)
{
    log_debug("%s: closed: %s", c->peer, meter_refusal_labels[why]);
    meter_count(&list->meter->refused[why]);
    atomic_store(&c->deadline_ms, 0);
    shutdown(c->fd, SHUT_RDWR);
}

static bool is_crowded(struct conn_list *list, const char *address) REQUIRES(&list->lock);
static bool is_crowded(struct conn_list *list, const char *address)
{
    unsigned n = 0;

    for (struct conn *c = list->first; c; c = c->next)
        n += c->stranger && strcmp(c->address, address) == 0;
    return n >= list->strangers_each;
}

/* Counts a connection that has been unknown for too long; true when its address has too many. */
static bool is_unwelcome(struct conn_list *list, struct conn *c, int64_t now) REQUIRES(&list->lock);
static bool is_unwelcome(struct conn_list *list, struct conn *c, int64_t now)
{
    bool crowded;

    if (atomic_load(&c->known)) {
        c->stranger = false;
        return false;
    }
    if (c->stranger || now < c->began_ms + list->stranger_ms)
        return false;
    crowded = is_crowded(list, c->address);
    c->stranger = true;
    return crowded;
}

static int64_t sooner(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Ends who is late; returns when the next one will be, at most a tick from now. */
static int64_t look(struct conn_list *list) REQUIRES(&list->lock)
{
    int64_t now = clock_mono_ms(), next = now + list->tick_ms;

    for (struct conn *c = list->first; c; c = c->next) {
        int64_t deadline = atomic_load(&c->deadline_ms);
        if (!c->adopted) /* not yet libmicrohttpd's: perhaps closed already */
            continue;
        if (is_unwelcome(list, c, now))
            hang_up(list, c, METER_UNAUTHENTICATED);
        else if (deadline && deadline <= now)
            hang_up(list, c, (enum meter_refusal)atomic_load(&c->waits_for));
        else if (deadline)
            next = sooner(next, deadline);
        if (!c->stranger && !atomic_load(&c->known))
            next = sooner(next, c->began_ms + list->stranger_ms);
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

bool conn_list_start(struct conn_list *list, struct err *err)
{
    lock_init(&list->lock);
    cond_init(&list->changed);
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

struct conn *conn_new(int fd)
{
    struct conn *c = mem_alloc(sizeof *c);

    c->fd = fd;
    c->began_ms = clock_mono_ms();
    return c;
}

static enum meter_door door_of(const struct conn *c)
{
    return c->is_unix ? METER_UNIX : METER_TLS;
}

/* Anybody with an account on the host may connect to the unix socket; nobody may fill it, so that
 * the administrators get in. */
static bool has_its_share(struct conn_list *list, const struct conn *new, unsigned max)
    REQUIRES(&list->lock);
static bool has_its_share(struct conn_list *list, const struct conn *new, unsigned max)
{
    unsigned n = 0;

    if (!new->is_unix || new->is_free)
        return false;
    for (const struct conn *c = list->first; c; c = c->next)
        n += c->is_unix && c->uid == new->uid;
    return n >= (max + UNIX_SHARE - 1) / UNIX_SHARE;
}

bool conn_enlist(struct conn_list *list, struct conn *c, unsigned max, unsigned first_ms)
{
    c->list = list;
    conn_deadline(c, METER_HEAD, first_ms);
    lock_take(&list->lock);
    if (list->count[door_of(c)] >= max || has_its_share(list, c, max)) {
        lock_drop(&list->lock);
        meter_count(&list->meter->refused[METER_CONNECTIONS]);
        free(c);
        return false;
    }
    list->count[door_of(c)]++;
    c->next = list->first;
    if (c->next)
        c->next->prev = c;
    list->first = c;
    cond_wake_all(&list->changed);
    lock_drop(&list->lock);
    return true;
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
    list->count[door_of(conn)]--;
    lock_drop(&list->lock);
    free(conn);
}

void conn_deadline(struct conn *conn, enum meter_refusal waits_for, int64_t ms_from_now)
{
    atomic_store(&conn->waits_for, (int)waits_for);
    atomic_store(&conn->deadline_ms, ms_from_now ? clock_mono_ms() + ms_from_now : 0);
}

bool conn_is_gone(const struct conn *conn)
{
    struct pollfd p = {.fd = conn->fd, .events = POLLRDHUP};

    return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

void conn_is_known(struct conn *conn)
{
    atomic_store(&conn->known, true);
}

void conn_list_facts(struct conn_list *list, struct conn_facts *out)
{
    *out = (struct conn_facts){.feed_after = UINT64_MAX};
    lock_take(&list->lock);
    for (struct conn *c = list->first; c; c = c->next) {
        uint64_t after = atomic_load(&c->feed_after);

        out->open[door_of(c)]++;
        out->strangers += !atomic_load(&c->known);
        out->feeds += after != 0;
        if (after && after - 1 < out->feed_after)
            out->feed_after = after - 1;
    }
    lock_drop(&list->lock);
}
