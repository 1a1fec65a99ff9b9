/* The event log: see event.h.
 *
 * Numbers come from the store, in the transaction of the change they tell about, so an event exists
 * exactly when its change does. Waiting readers are rung after the commit and read from the store:
 * what they see is durable, in order and without gaps.
 *
 * Who hears of a change and asks for the object must not get it as it was before. Memory follows
 * the commit a moment later, so from its first event until events_ring() a thread holds the log
 * back below that event. A hold is good for a second at the most: a change that failed never rings.
 */
#include "core/event/event.h"

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/core/parts.h"

#include <stdlib.h>
#include <string.h>

#define HOLDS   64
#define HOLD_MS 1000

struct hold {
    uint64_t below; /* readers get events with lower numbers only; 0: the place is free */
    int64_t until_ms;
    pthread_t thread;
};

struct events {
    struct core *core;
    struct lock lock;
    struct cond rung;
    uint64_t rings GUARDED_BY(lock);
    bool interrupted GUARDED_BY(lock);
};

/* Of the process: event_add() knows only its transaction, and there is one core. */
static struct {
    struct lock lock;
    struct hold places[HOLDS];
} holds = {.lock = {PTHREAD_MUTEX_INITIALIZER}};

/* Holds the log back below 'seq' unless this thread does so for an earlier event already. */
static void hold(uint64_t seq)
{
    int64_t now = clock_mono_ms();
    struct hold *place = NULL;

    lock_take(&holds.lock);
    for (unsigned i = 0; i < HOLDS; i++) {
        struct hold *h = &holds.places[i];
        bool live = h->below && h->until_ms > now;

        if (live && pthread_equal(h->thread, pthread_self())) {
            place = NULL;
            break;
        }
        if (!live && !place)
            place = h;
    }
    if (place)
        *place = (struct hold){seq, now + HOLD_MS, pthread_self()};
    lock_drop(&holds.lock);
}

static void let_go(void)
{
    lock_take(&holds.lock);
    for (unsigned i = 0; i < HOLDS; i++)
        if (holds.places[i].below && pthread_equal(holds.places[i].thread, pthread_self()))
            holds.places[i].below = 0;
    lock_drop(&holds.lock);
}

/* The lowest number that readers may not have yet. Asked after the log was read: what was read had
 * its hold before it was committed. */
static uint64_t held_below(void)
{
    uint64_t least = UINT64_MAX;
    int64_t now = clock_mono_ms();

    lock_take(&holds.lock);
    for (unsigned i = 0; i < HOLDS; i++)
        if (holds.places[i].below && holds.places[i].until_ms > now &&
            holds.places[i].below < least)
            least = holds.places[i].below;
    lock_drop(&holds.lock);
    return least;
}

struct events *events_new(struct core *core, struct err *err)
{
    struct events *events = mem_alloc(sizeof *events);

    events->core = core;
    lock_init(&events->lock);
    cond_init(&events->rung);
    return events;
}

void events_free(struct events *events)
{
    cond_clear(&events->rung);
    lock_clear(&events->lock);
    free(events);
}

void events_interrupt(struct events *events)
{
    lock_take(&events->lock);
    events->interrupted = true;
    cond_wake_all(&events->rung);
    lock_drop(&events->lock);
}

void events_ring(struct core *core)
{
    struct events *events = core->events;

    let_go();
    lock_take(&events->lock);
    events->rings++;
    cond_wake_all(&events->rung);
    lock_drop(&events->lock);
}

bool event_add(struct store_txn *txn, const char *type, const char *object_type,
               const struct uuid *object, json_t *data, struct err *err)
{
    CLEANUP(json_decrefp) json_t *owned = data ? data : json_object();
    CLEANUP(mem_freep) char *text = json_write(owned);
    const struct event_record record = {.at_ms = clock_wall_ms(),
                                        .type = type,
                                        .object_type = object_type,
                                        .object = *object,
                                        .data = text};

    uint64_t seq;

    if (!store_event_add(txn, &record, &seq, err))
        return false;
    hold(seq);
    return true;
}

struct fill {
    struct event_line *out;
    unsigned n;
};

static bool keep_line(void *ctx, const struct event_record *r)
{
    struct fill *fill = ctx;
    struct event_line *line = &fill->out[fill->n++];
    CLEANUP(json_decrefp) json_t *whole = json_object();
    json_t *object = json_object();

    json_put_u64(whole, "seq", r->seq);
    json_put_time(whole, "at", r->at_ms);
    json_put_text(whole, "type", r->type);
    json_put_text(object, "type", r->object_type);
    json_put_text(object, "id", UUID_STR(&r->object));
    json_put(whole, "object", object);
    json_put(whole, "data", json_loads(r->data, 0, NULL));
    line->seq = r->seq;
    str_copy(line->type, sizeof line->type, r->type);
    line->json = json_write(whole);
    return true;
}

/* One look at the store. */
static ssize_t look(struct core *core, uint64_t after, struct event_line *out, unsigned cap,
                    bool *gap, uint64_t *newest, struct err *err)
{
    struct fill fill = {.out = out};
    uint64_t oldest;

    if (!store_event_bounds(core->store, &oldest, newest, err))
        return -1;
    *gap = after > *newest || (oldest && after + 1 < oldest);
    if (*gap)
        return 0;
    if (!store_event_each(core->store, after, cap, keep_line, &fill, err)) {
        for (unsigned i = 0; i < fill.n; i++)
            event_line_clear(&out[i]);
        return -1;
    }
    for (uint64_t below = held_below(); fill.n && out[fill.n - 1].seq >= below; fill.n--)
        event_line_clear(&out[fill.n - 1]);
    return fill.n;
}

ssize_t event_wait(struct core *core, uint64_t after, int64_t wait_ms, struct event_line *out,
                   unsigned cap, bool *gap, uint64_t *newest, struct err *err)
{
    int64_t deadline = clock_mono_ms() + wait_ms;
    struct events *events = core->events;
    bool in_time = true, interrupted;
    uint64_t rings;
    ssize_t n;

    for (;;) {
        lock_take(&events->lock);
        rings = events->rings;
        interrupted = events->interrupted;
        lock_drop(&events->lock);
        if (interrupted) {
            err_set(err, ERR_UNAVAILABLE, "the daemon is stopping");
            return -1;
        }
        n = look(core, after, out, cap, gap, newest, err);
        if (n || *gap || !in_time)
            return n;
        lock_take(&events->lock);
        while (events->rings == rings && in_time && !events->interrupted)
            in_time = cond_wait_until(&events->rung, &events->lock, deadline);
        lock_drop(&events->lock);
    }
}

void event_line_clear(struct event_line *line)
{
    free(line->json);
    line->json = NULL;
}

uint64_t event_newest(struct core *core)
{
    uint64_t oldest, newest = 0;
    struct err err = {0};

    err_ignore(store_event_bounds(core->store, &oldest, &newest, &err), &err);
    return newest;
}
