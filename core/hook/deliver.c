/* The threads that deliver: one a webhook, so that a slow receiver holds up nobody else.
 *
 * Theory of operation. A webhook has a position in the event log; what comes after it is still to
 * be sent. One event is one request, in the order of the log:
 *
 *   event_wait(position) ─► wanted? ─► POST ─► 2xx ─► position = its number ─► saved
 *        ▲                                └─► else: pause, again; after a day: disabled
 *        └── the log was trimmed beyond the position: a delivery "reset", position = the newest
 *
 * The position is saved after the answer, at the end of a batch or every quarter of a second: who
 * kills us in between gets some deliveries twice, under the same ids, and misses none. Positions
 * that moved over unwanted events only are saved now and then; finding out again costs little.
 *
 * A thread looks at 'gone', 'enabled', 'changed' and 'stopping' whenever it has waited; a change
 * of its webhook makes an event, which ends event_wait(). 'stop' ends a request under way. */
#include "core/hook/inside.h"

#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/event/event.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BATCH         32
#define IDLE_MS       60000
#define SAVE_EVERY_MS 250
#define UNWANTED      1000 /* so many may be looked at again after a restart */

/* 'type' is in the list, or lies below one that is; an empty list has all. */
static bool wanted(const char *list, const char *type)
{
    for (const char *p = list; *p; p += strcspn(p, ","), p += *p == ',') {
        size_t n = strcspn(p, ",");
        if (n && strncmp(type, p, n) == 0 && (!type[n] || type[n] == '.'))
            return true;
    }
    return !*list;
}

static bool is_over(struct hooks *hooks, const struct hook *h) REQUIRES(hooks->lock);
static bool is_over(struct hooks *hooks, const struct hook *h)
{
    return h->gone || hooks->stopping;
}

/* Sleeps until there is something to do for this webhook; false when its thread shall end. */
static bool await_enabled(struct hook *h)
{
    struct hooks *hooks = h->core->hooks;
    bool go;

    lock_take(&hooks->lock);
    while (!is_over(hooks, h) && !h->enabled)
        cond_wait(&hooks->changed, &hooks->lock);
    go = !is_over(hooks, h);
    if (go) {
        h->changed = false;
        atomic_store(&h->stop, false);
    }
    lock_drop(&hooks->lock);
    return go;
}

/* Until 'deadline' (monotonic), or until the webhook was changed or is over. */
static void rest(struct hook *h, int64_t deadline)
{
    struct hooks *hooks = h->core->hooks;

    lock_take(&hooks->lock);
    while (!is_over(hooks, h) && !h->changed &&
           cond_wait_until(&hooks->changed, &hooks->lock, deadline))
        ;
    lock_drop(&hooks->lock);
}

/* Makes how far it got durable. */
static bool save(struct hook *h, struct err *err)
{
    struct hooks *hooks = h->core->hooks;
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(h->core->store, err);
    CLEANUP(mem_freep) char *recent = NULL;
    struct webhook_record record;

    if (!txn)
        return false;
    lock_take(&hooks->lock);
    hook_record(h, &record);
    recent = json_write(h->recent);
    lock_drop(&hooks->lock);
    record.recent = recent;
    if (!FAILPOINT("hook.save", err) || !store_webhook_move(txn, &record, err) ||
        !store_commit(&txn, err))
        return false;
    lock_take(&hooks->lock);
    h->saved = record.position;
    lock_drop(&hooks->lock);
    return true;
}

static void save_or_warn(struct hook *h)
{
    struct err err = {0};

    if (!save(h, &err))
        log_warn("a webhook's position was not saved: %s", err.detail);
}

/* The entry of 'd' among the last deliveries, made if need be. */
static json_t *entry_of(struct hooks *hooks, struct hook *h, const struct delivery *d)
    REQUIRES(hooks->lock);
static json_t *entry_of(struct hooks *hooks, struct hook *h, const struct delivery *d)
{
    json_t *entry = json_array_get(h->recent, 0);

    if (str_eq(json_get_text(entry, "id"), UUID_STR(&d->id)))
        return entry;
    entry = json_object();
    json_put_text(entry, "id", UUID_STR(&d->id));
    json_put_u64(entry, "seq", d->seq);
    json_put_text(entry, "type", d->type);
    json_put_time(entry, "first_at", clock_wall_ms());
    json_array_insert_new(h->recent, 0, entry);
    while (json_array_size(h->recent) > HOOK_RECENT)
        json_array_remove(h->recent, json_array_size(h->recent) - 1);
    return entry;
}

/* Writes down what came of an attempt; the time to wait, -1 when it is time to give up. */
static int64_t note_outcome(struct hook *h, const struct delivery *d, bool ok,
                            const struct post_result *result)
{
    struct hooks *hooks = h->core->hooks;
    int64_t now = clock_wall_ms(), pause = 0;
    json_t *entry;

    lock_take(&hooks->lock);
    h->attempts++;
    if (!ok) {
        h->failing_ms = h->failing_ms ? h->failing_ms : now;
        pause = delivery_pause_ms(h->attempts, result->retry_after_s);
        if (result->status == 410 || now - h->failing_ms >= hook_timing.give_up_ms)
            pause = -1;
    }
    h->next_ms = pause > 0 ? now + pause : 0;
    entry = entry_of(hooks, h, d);
    json_put_text(entry, "state", ok ? "delivered" : pause < 0 ? "failed" : "retrying");
    json_put_u64(entry, "attempts", h->attempts);
    json_put_time(entry, "last_at", now);
    json_put_time(entry, "next_at", h->next_ms);
    json_put(entry, "status", result->status ? json_integer(result->status) : NULL);
    json_put_u64(entry, "took_ms", (uint64_t)result->took_ms);
    json_put_text(entry, "error", ok ? NULL : result->error);
    if (ok) {
        h->attempts = 0;
        h->failing_ms = 0;
    }
    lock_drop(&hooks->lock);
    return pause;
}

/* Who does not answer for a day is not asked any more, until an administrator enables it. */
static bool write_disabled(struct hook *h, struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(h->core->store, err);
    struct webhook_record record;
    json_t *data;

    if (!txn)
        return false;
    hook_record(h, &record); /* nobody edits: 'writing' is held */
    record.enabled = false;
    record.recent = "[]";
    data = json_object();
    json_put_text(data, "name", h->name);
    json_put_text(data, "reason", record.disabled_why);
    return store_webhook_put(txn, &record, err) &&
           event_add(txn, "webhook.disabled", "webhook", &h->id, data, err) &&
           store_commit(&txn, err);
}

static void give_up(struct hook *h, const char *why)
{
    struct hooks *hooks = h->core->hooks;
    struct err err = {0};
    bool write;

    lock_take(&hooks->writing);
    lock_take(&hooks->lock);
    write = h->enabled && !h->gone && !h->changed;
    if (write) {
        free(h->disabled_why);
        h->disabled_why = str_dup(why);
        h->next_ms = 0;
        h->enabled = false;
    }
    lock_drop(&hooks->lock);
    if (write && !write_disabled(h, &err))
        log_warn("a webhook that is disabled now may be enabled after a restart: %s", err.detail);
    lock_drop(&hooks->writing);
    if (write)
        events_ring(h->core);
}

/* One attempt with what holds now. */
static bool attempt(struct hook *h, const struct delivery *d, struct post_result *result)
{
    struct hooks *hooks = h->core->hooks;
    CLEANUP(mem_freep) char *url = NULL, *secret = NULL;
    struct err err = {0};
    unsigned number;
    bool ok;

    lock_take(&hooks->lock);
    url = str_dup(h->url);
    secret = str_dup(h->secret);
    number = h->attempts + 1;
    lock_drop(&hooks->lock);
    ok = FAILPOINT("hook.send", &err) && delivery_send(url, secret, d, number, &h->stop, result) &&
         FAILPOINT("hook.sent", &err);
    if (err.code)
        str_copy(result->error, sizeof result->error, err.detail);
    explicit_bzero(secret, strlen(secret));
    return ok;
}

/* Tries until it is delivered. False when the webhook was changed, given up, or is over: whether
 * this event is still to be sent is decided anew. */
static bool deliver(struct hook *h, const struct delivery *d)
{
    for (;;) {
        struct post_result result = {0};
        bool ok = attempt(h, d, &result);
        int64_t pause;

        if (!ok && atomic_load(&h->stop))
            return false;
        pause = note_outcome(h, d, ok, &result);
        if (ok)
            return true;
        save_or_warn(h);
        if (pause < 0) {
            give_up(h, result.error);
            return false;
        }
        rest(h, clock_mono_ms() + pause);
        if (atomic_load(&h->stop))
            return false;
    }
}

static void move_to(struct hook *h, uint64_t seq)
{
    lock_take(&h->core->hooks->lock);
    h->position = seq;
    lock_drop(&h->core->hooks->lock);
}

/* Events were trimmed before they could be sent: the receiver must look for itself. */
static void deliver_reset(struct hook *h, uint64_t newest)
{
    CLEANUP(mem_freep)
    char *body =
        str_format("{\"seq\":%" PRIu64 ",\"type\":\"reset\",\"data\":{\"lost_after\":%" PRIu64
                   ",\"newest\":%" PRIu64 "}}",
                   newest, h->position, newest);
    const struct delivery d = {delivery_id(&h->id, newest, "reset"), newest, "reset", body};

    if (!deliver(h, &d))
        return;
    move_to(h, newest);
    save_or_warn(h);
}

static void deliver_batch(struct hook *h, struct event_line *lines, ssize_t n, const char *types)
{
    int64_t saved_ms = clock_mono_ms();
    bool sent = false, goes_on = true;

    for (ssize_t i = 0; i < n; i++) {
        bool is_wanted = goes_on && wanted(types, lines[i].type);
        const struct delivery d = {delivery_id(&h->id, lines[i].seq, lines[i].type), lines[i].seq,
                                   lines[i].type, lines[i].json};

        goes_on = goes_on && (!is_wanted || deliver(h, &d));
        sent |= goes_on && is_wanted;
        if (goes_on)
            move_to(h, lines[i].seq);
        if (sent && clock_mono_ms() - saved_ms >= SAVE_EVERY_MS) {
            save_or_warn(h);
            saved_ms = clock_mono_ms();
            sent = false;
        }
        event_line_clear(&lines[i]);
    }
    if (sent || h->position - h->saved >= UNWANTED)
        save_or_warn(h);
}

static void serve(struct hook *h)
{
    struct hooks *hooks = h->core->hooks;
    CLEANUP(mem_freep) char *types = NULL;
    struct event_line lines[BATCH];
    struct err err = {0};
    uint64_t newest = 0;
    bool gap = false;
    ssize_t n = event_wait(h->core, h->position, IDLE_MS, lines, BATCH, &gap, &newest, &err);

    if (n < 0) {
        rest(h, clock_mono_ms() + 1000);
        return;
    }
    lock_take(&hooks->lock);
    types = str_dup(h->types);
    lock_drop(&hooks->lock);
    if (gap)
        deliver_reset(h, newest);
    else
        deliver_batch(h, lines, n, types);
}

static void leave(struct hook *h)
{
    struct hooks *hooks = h->core->hooks;
    bool gone;

    if (h->position != h->saved && !h->gone)
        save_or_warn(h);
    lock_take(&hooks->lock);
    gone = h->gone;
    if (gone)
        hook_unlink(hooks, h);
    hooks->threads--;
    cond_wake_all(&hooks->changed);
    lock_drop(&hooks->lock);
    if (gone)
        hook_free(h);
}

static void *hook_main(void *arg)
{
    struct hook *h = arg;

    while (await_enabled(h))
        serve(h);
    leave(h);
    return NULL;
}

bool hook_thread_start(struct hook *hook, struct err *err)
{
    struct hooks *hooks = hook->core->hooks;
    bool ok;

    lock_take(&hooks->lock);
    hooks->threads++;
    lock_drop(&hooks->lock);
    ok = thread_start_detached("webhook", hook_main, hook, err);
    if (ok)
        return true;
    lock_take(&hooks->lock);
    hooks->threads--;
    lock_drop(&hooks->lock);
    return false;
}
