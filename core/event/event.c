/* The event log: see event.h.
 *
 * Numbers come from the store, in the transaction of the change they tell about, so an event exists
 * exactly when its change does.
 *
 * Theory of operation. The newest events are kept in memory, rendered (ring.h). One thread, the
 * feeder, reads them from the store once, however many readers there are, and wakes these:
 *
 *   commit ─► events_ring(): dirty ─► feeder: store ─► ring ─► wakes all ─► readers copy
 *
 * A reader that does not want to wait feeds for itself when the ring is dirty; without readers
 * nobody feeds. Readers never get beyond ring.newest, so all of them see the same log; who comes
 * with a number below the ring's first reads from the store until it has caught up. A new daemon
 * begins with an empty ring at the store's newest number: the numbers go on.
 *
 * Who hears of a change and asks for the object must not get it as it was before. Memory follows
 * the commit a moment later, so from its first event until events_ring() a thread holds the log
 * back below that event. A hold is good for a second at the most: a change that failed never rings.
 * The feeder looks again when a hold that stopped it is over. */
#include "core/event/event.h"

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/core/parts.h"
#include "core/event/ring.h"

#include <stdlib.h>
#include <string.h>

#define HOLDS    64
#define HOLD_MS  1000
#define BATCH    256  /* events of one look into the store */
#define RETRY_MS 1000 /* after the store could not be read */

struct hold {
    uint64_t below; /* readers get events with lower numbers only; 0: the place is free */
    int64_t until_ms;
    pthread_t thread;
};

struct events {
    struct core *core;
    pthread_t feeder;
    struct lock lock;
    struct cond rung;    /* for the feeder: there is something to do */
    struct cond changed; /* for readers: the ring has grown, or feeding has ended */
    struct event_ring ring GUARDED_BY(lock);
    bool dirty GUARDED_BY(lock);       /* the store may have more than the ring */
    bool feeding GUARDED_BY(lock);     /* somebody reads the store for the ring, without the lock */
    int64_t again_ms GUARDED_BY(lock); /* a hold ends: look again then; 0: none */
    unsigned waiting GUARDED_BY(lock); /* readers */
    uint64_t looks GUARDED_BY(lock);   /* into the store, by feeding and by readers that lag */
    bool interrupted GUARDED_BY(lock);
    bool stopping GUARDED_BY(lock);
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

/* The lowest number that readers may not have yet, and until when. Asked after the log was read:
 * what was read had its hold before it was committed. */
static uint64_t held_below(int64_t *until_ms)
{
    uint64_t least = UINT64_MAX;
    int64_t now = clock_mono_ms();

    lock_take(&holds.lock);
    for (unsigned i = 0; i < HOLDS; i++)
        if (holds.places[i].below && holds.places[i].until_ms > now &&
            holds.places[i].below < least) {
            least = holds.places[i].below;
            *until_ms = holds.places[i].until_ms;
        }
    lock_drop(&holds.lock);
    return least;
}

/* ---- feeding ---- */

struct fill {
    struct event_line *out;
    unsigned n;
    uint64_t last; /* no event beyond this number */
};

/* What lies in a VM says which, and an operation what it is about. */
static void find_about(const struct event_record *r, const json_t *data, struct event_line *line)
{
    static const char *const own[] = {"vm", "pool", "template"};
    const char *vm = json_get_text(data, str_eq(r->object_type, "operation") ? "target" : "vm");

    line->about_type[0] = 0;
    line->about = (struct uuid){0};
    for (size_t i = 0; i < ARRAY_LEN(own); i++)
        if (str_eq(r->object_type, own[i])) {
            str_copy(line->about_type, sizeof line->about_type, own[i]);
            line->about = r->object;
            return;
        }
    if (vm && !str_starts(r->type, "audit.") && uuid_parse(vm, &line->about))
        str_copy(line->about_type, sizeof line->about_type, "vm");
}

static bool keep_line(void *ctx, const struct event_record *r)
{
    struct fill *fill = ctx;
    struct event_line *line = &fill->out[fill->n];
    CLEANUP(json_decrefp) json_t *whole = NULL;
    json_t *object = NULL; /* an audit record may be about none */

    if (r->seq > fill->last)
        return false;
    whole = json_object();
    json_put_u64(whole, "seq", r->seq);
    json_put_time(whole, "at", r->at_ms);
    json_put_text(whole, "type", r->type);
    if (!uuid_is_zero(&r->object)) {
        object = json_object();
        json_put_text(object, "type", r->object_type);
        json_put_text(object, "id", UUID_STR(&r->object));
    }
    json_put(whole, "object", object);
    json_put(whole, "data", json_loads(r->data, 0, NULL));
    find_about(r, json_object_get(whole, "data"), line);
    line->seq = r->seq;
    str_copy(line->type, sizeof line->type, r->type);
    line->json = json_write(whole);
    fill->n++;
    return true;
}

/* Reads up to 'cap' events after 'after', none beyond 'last'; -1 on failure. */
static ssize_t read_store(struct core *core, uint64_t after, uint64_t last, struct event_line *out,
                          unsigned cap, struct err *err)
{
    struct fill fill = {.out = out, .last = last};

    if (store_event_each(core->store, after, cap, keep_line, &fill, err))
        return fill.n;
    while (fill.n)
        event_line_clear(&out[--fill.n]);
    return -1;
}

/* What the store has after 'after' and nobody holds back; '*again_ms' when to look again for what
 * is held, 0 when nothing is. */
static ssize_t read_news(struct core *core, uint64_t after, struct event_line *out,
                         int64_t *again_ms)
{
    struct err err = {0};
    int64_t until_ms = 0;
    ssize_t n = read_store(core, after, UINT64_MAX, out, BATCH, &err);
    uint64_t below = held_below(&until_ms);

    *again_ms = 0;
    if (n < 0) {
        log_error("events cannot be read: %s", err.detail);
        *again_ms = clock_mono_ms() + RETRY_MS;
    }
    for (; n > 0 && out[n - 1].seq >= below; n--) {
        event_line_clear(&out[n - 1]);
        *again_ms = until_ms;
    }
    return n;
}

/* Brings the ring up to the store; when somebody is at it already, waits for that. */
static void feed(struct events *events) REQUIRES(events->lock);
static void feed(struct events *events)
{
    while (events->feeding)
        cond_wait(&events->changed, &events->lock);
    while (events->dirty) {
        CLEANUP(mem_freep) struct event_line *lines = mem_array(BATCH, sizeof *lines);
        uint64_t after = events->ring.newest;
        int64_t again_ms;
        ssize_t n;

        events->dirty = false;
        events->feeding = true;
        events->looks++;
        lock_drop(&events->lock);
        n = read_news(events->core, after, lines, &again_ms);
        lock_take(&events->lock);
        for (ssize_t i = 0; i < n; i++)
            event_ring_add(&events->ring, &lines[i]);
        events->dirty |= n == BATCH;
        events->again_ms = again_ms;
        events->feeding = false;
        cond_wake_all(&events->changed);
    }
}

static bool has_work(struct events *events) REQUIRES(events->lock);
static bool has_work(struct events *events)
{
    if (events->again_ms && clock_left_ms(events->again_ms) == 0) {
        events->again_ms = 0;
        events->dirty = true;
    }
    return events->waiting && events->dirty;
}

static void *feeder_main(void *arg)
{
    struct events *events = arg;

    lock_take(&events->lock);
    while (!events->stopping) {
        if (has_work(events))
            feed(events);
        else if (events->again_ms)
            cond_wait_until(&events->rung, &events->lock, events->again_ms);
        else
            cond_wait(&events->rung, &events->lock);
    }
    lock_drop(&events->lock);
    return NULL;
}

/* ---- life ---- */

struct events *events_new(struct core *core, struct err *err)
{
    struct events *events;
    uint64_t oldest, newest;

    if (!store_event_bounds(core->store, &oldest, &newest, err))
        return NULL;
    events = mem_alloc(sizeof *events);
    events->core = core;
    lock_init(&events->lock);
    cond_init(&events->rung);
    cond_init(&events->changed);
    event_ring_init(&events->ring, newest);
    if (thread_start(&events->feeder, "events", feeder_main, events, err))
        return events;
    event_ring_clear(&events->ring);
    cond_clear(&events->changed);
    cond_clear(&events->rung);
    lock_clear(&events->lock);
    free(events);
    return NULL;
}

void events_free(struct events *events)
{
    lock_take(&events->lock);
    events->stopping = true;
    cond_wake_all(&events->rung);
    lock_drop(&events->lock);
    pthread_join(events->feeder, NULL);
    event_ring_clear(&events->ring);
    cond_clear(&events->changed);
    cond_clear(&events->rung);
    lock_clear(&events->lock);
    free(events);
}

void events_interrupt(struct events *events)
{
    lock_take(&events->lock);
    events->interrupted = true;
    cond_wake_all(&events->changed);
    lock_drop(&events->lock);
}

void events_ring(struct core *core)
{
    struct events *events = core->events;

    let_go();
    lock_take(&events->lock);
    events->dirty = true;
    if (events->waiting)
        cond_wake_all(&events->rung);
    lock_drop(&events->lock);
}

/* ---- writing ---- */

bool event_put(struct store_txn *txn, const char *type, const char *object_type,
               const struct uuid *object, json_t *data, uint64_t *seq, struct err *err)
{
    CLEANUP(json_decrefp) json_t *owned = data ? data : json_object();
    CLEANUP(mem_freep) char *text = json_write(owned);
    const struct event_record record = {.at_ms = clock_wall_ms(),
                                        .type = type,
                                        .object_type = object_type,
                                        .object = *object,
                                        .data = text};
    uint64_t given;

    if (!store_event_add(txn, &record, &given, err))
        return false;
    hold(given);
    if (seq)
        *seq = given;
    return true;
}

bool event_add(struct store_txn *txn, const char *type, const char *object_type,
               const struct uuid *object, json_t *data, struct err *err)
{
    uint64_t seq;

    return event_put(txn, type, object_type, object, data, &seq, err) &&
           audit_attach(txn, object_type, object, seq, err);
}

/* ---- reading ---- */

/* For a reader that lags behind the ring: straight from the store, up to what the ring has. */
static ssize_t read_old(struct core *core, uint64_t after, uint64_t newest, struct event_line *out,
                        unsigned cap, bool *gap, struct err *err)
{
    uint64_t oldest, ignored;
    ssize_t n;

    if (!store_event_bounds(core->store, &oldest, &ignored, err))
        return -1;
    *gap = oldest && after + 1 < oldest;
    n = *gap ? 0 : read_store(core, after, newest, out, cap, err);
    *gap = n == 0; /* there are newer ones, so something should have come */
    return n;
}

/* One look, with the lock, which is dropped for the store's sake; '*newest' is what the reader goes
 * by. */
static ssize_t look(struct events *events, uint64_t after, struct event_line *out, unsigned cap,
                    bool *gap, uint64_t *newest, struct err *err) REQUIRES(events->lock);
static ssize_t look(struct events *events, uint64_t after, struct event_line *out, unsigned cap,
                    bool *gap, uint64_t *newest, struct err *err)
{
    ssize_t n;

    feed(events);
    *newest = events->ring.newest;
    *gap = after > *newest;
    if (*gap || event_ring_covers(&events->ring, after))
        return event_ring_read(&events->ring, after, out, cap);
    events->looks++;
    lock_drop(&events->lock);
    n = read_old(events->core, after, *newest, out, cap, gap, err);
    lock_take(&events->lock);
    return n;
}

/* Waits until the ring has grown beyond 'after'; false at the deadline. */
static bool await_more(struct events *events, uint64_t after, int64_t deadline)
    REQUIRES(events->lock);
static bool await_more(struct events *events, uint64_t after, int64_t deadline)
{
    bool in_time = true;

    events->waiting++;
    if (events->dirty || events->again_ms)
        cond_wake_all(&events->rung);
    while (events->ring.newest <= after && !events->interrupted && in_time)
        in_time = cond_wait_until(&events->changed, &events->lock, deadline);
    events->waiting--;
    return in_time;
}

ssize_t event_wait(struct core *core, uint64_t after, int64_t wait_ms, struct event_line *out,
                   unsigned cap, bool *gap, uint64_t *newest, struct err *err)
{
    int64_t deadline = clock_mono_ms() + wait_ms;
    struct events *events = core->events;
    bool in_time = true;
    ssize_t n = 0;

    lock_take(&events->lock);
    for (;;) {
        if (events->interrupted) {
            err_set(err, ERR_UNAVAILABLE, "the daemon is stopping");
            n = -1;
            break;
        }
        n = look(events, after, out, cap, gap, newest, err);
        if (n || *gap || !in_time || wait_ms <= 0)
            break;
        in_time = await_more(events, after, deadline);
    }
    lock_drop(&events->lock);
    return n;
}

uint64_t event_newest(struct core *core)
{
    struct events *events = core->events;
    uint64_t newest;

    lock_take(&events->lock);
    feed(events);
    newest = events->ring.newest;
    lock_drop(&events->lock);
    return newest;
}

void event_facts(struct core *core, struct event_facts *out)
{
    struct events *events = core->events;

    lock_take(&events->lock);
    feed(events); /* without readers nobody did */
    *out = (struct event_facts){.newest = events->ring.newest,
                                .ring_lines = events->ring.n,
                                .ring_bytes = events->ring.bytes,
                                .looks = events->looks};
    lock_drop(&events->lock);
}
