/* The audit trail: see audit.h. This file is the only place that makes its records, so whatever is
 * to be true of all of them belongs into put().
 *
 * Theory of operation. The API knows who asks; core's transactions know what is done. Between the
 * two lies one thread: the request is noted for it, event_add() finds the note and adds the record
 * behind the event of the change. Nothing has to be handed through, no route can forget it, and the
 * record costs no flush of its own. Jobs run on other threads; their record is that of the request
 * that began them, and names the operation, whose events tell the outcome. */
#include "core/event/audit.h"

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/core/parts.h"

#include <stdio.h>
#include <string.h>

#define REFUSALS_AT_ONCE 100
#define REFUSAL_EVERY_MS 1000
#define INPUT_EVERY_MS   60000
#define QUOTAS           128

static _Thread_local struct {
    const struct audit_note *note; /* NULL: no request, or its record is not wanted */
    uint64_t seq;                  /* of the record that was brought along, 0: none yet */
    struct uuid job;               /* of audit_job(), zero: none; about this: */
    const char *type;
    struct uuid object;
    unsigned batch; /* of audit_batch(), 0: none */
} request;

/* How many records a key may still have: a bucket that fills again. The oldest gives way. */
struct quota {
    char key[160];
    unsigned room, suppressed;
    int64_t filled_ms, used_ms;
};

static struct {
    struct lock lock;
    struct quota all[QUOTAS] GUARDED_BY(lock);
} quotas = {.lock = {PTHREAD_MUTEX_INITIALIZER}};

static struct quota *quota_of(const char *key, unsigned most, int64_t now) REQUIRES(quotas.lock);
static struct quota *quota_of(const char *key, unsigned most, int64_t now)
{
    struct quota *oldest = &quotas.all[0];

    for (unsigned i = 0; i < QUOTAS; i++) {
        if (strcmp(quotas.all[i].key, key) == 0)
            return &quotas.all[i];
        if (quotas.all[i].used_ms < oldest->used_ms)
            oldest = &quotas.all[i];
    }
    *oldest = (struct quota){.room = most, .filled_ms = now};
    str_copy(oldest->key, sizeof oldest->key, key);
    return oldest;
}

/* True when 'key' may have one record more; '*suppressed' is what it did not get before. */
static bool quota_take(const char *key, unsigned most, int64_t every_ms, unsigned *suppressed)
{
    int64_t now = clock_mono_ms(), gained;
    struct quota *q;
    bool ok;

    lock_take(&quotas.lock);
    q = quota_of(key, most, now);
    q->used_ms = now;
    gained = (now - q->filled_ms) / every_ms;
    q->filled_ms += gained * every_ms;
    q->room = q->room + gained > most ? most : q->room + (unsigned)gained;
    ok = q->room > 0;
    *suppressed = q->suppressed;
    q->suppressed = ok ? 0 : q->suppressed + 1;
    q->room -= ok;
    lock_drop(&quotas.lock);
    return ok;
}

static json_t *record(const struct audit_note *note, const char *result, unsigned suppressed)
{
    json_t *data = json_object();

    json_put_text(data, "principal", note->principal);
    json_put_text(data, "role", role_names[note->role]);
    json_put_text(data, "from", note->from);
    json_put_text(data, "operation", note->operation);
    json_put_text(data, "path", note->path);
    json_put_text(data, "request_id", note->request_id);
    json_put_text(data, "result", result);
    if (note->changes)
        json_put(data, "changes", json_incref(note->changes));
    if (suppressed)
        json_put_u64(data, "suppressed", suppressed);
    return data;
}

/* The record in its chain: the event's data, and what else the event says. Transactions are one
 * after the other, and one that is rolled back takes its record along: there are no gaps. */
static bool chain(struct store_txn *txn, const char *type, const char *object_type,
                  const struct uuid *object, const json_t *data, struct err *err)
{
    CLEANUP(json_decrefp) json_t *whole = json_copy((json_t *)(uintptr_t)data);
    CLEANUP(mem_freep) char *body = NULL;
    struct audit_row row = {0};

    json_put_time(whole, "at", clock_wall_ms());
    json_put_text(whole, "type", type);
    if (!uuid_is_zero(object)) {
        json_t *about = json_object();
        json_put_text(about, "type", object_type);
        json_put_text(about, "id", UUID_STR(object));
        json_put(whole, "object", about);
    }
    body = chain_body(whole);
    if (!store_audit_last(txn, &row.seq, row.prev, err))
        return false;
    row.seq++;
    row.body = body;
    chain_hash(row.prev, row.seq, body, row.hash);
    return store_audit_add(txn, &row, err);
}

/* Every record of the trail goes through here; takes 'data'. */
static bool put(struct store_txn *txn, const char *type, const char *object_type,
                const struct uuid *object, json_t *data, uint64_t *seq, struct err *err)
{
    CLEANUP(json_decrefp) json_t *held = json_incref(data);

    return event_put(txn, type, object_type, object, data, seq, err) &&
           chain(txn, type, object_type, object, held, err);
}

bool audit_attach(struct store_txn *txn, const char *object_type, const struct uuid *object,
                  uint64_t seq, struct err *err)
{
    bool is_job = !uuid_is_zero(&request.job);
    json_t *data;

    /* A number that does not rise was given back by a transaction that was rolled back. */
    if (!request.note || (request.seq && seq > request.seq))
        return true;
    data = record(request.note, is_job || request.batch ? "accepted" : "done", 0);
    if (is_job)
        json_put_text(data, "job", UUID_STR(&request.job));
    if (request.batch) {
        const struct uuid none = {0};
        json_put_u64(data, "jobs", request.batch);
        return put(txn, "audit.change", "", &none, data, &request.seq, err);
    }
    return put(txn, "audit.change", is_job ? request.type : object_type,
               is_job ? &request.object : object, data, &request.seq, err);
}

void audit_begin(const struct audit_note *note)
{
    request.note = note;
    request.seq = 0;
    request.job = (struct uuid){0};
    request.batch = 0;
}

void audit_job(const struct uuid *job, const char *object_type, const struct uuid *object)
{
    request.job = *job;
    request.type = object_type;
    request.object = *object;
}

void audit_batch(unsigned jobs)
{
    request.batch = jobs;
}

static void write_alone(struct core *core, const char *type, json_t *data)
{
    struct err err = {0};
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(core->store, &err);
    const struct uuid none = {0};

    if (!txn)
        json_decref(data);
    else if (put(txn, type, "", &none, data, NULL, &err) && store_commit(&txn, &err))
        events_ring(core);
    if (err.code)
        log_error("an audit record was not written: %s", err.detail);
}

void audit_end(struct core *core, bool done)
{
    const struct audit_note *note = request.note;
    unsigned suppressed = 0;
    char key[160];

    request.note = NULL; /* what is added now is not a change of the request's */
    if (!note || !done || request.seq)
        return;
    snprintf(key, sizeof key, "%s %s", note->principal, note->path);
    if (note->is_input && !quota_take(key, 1, INPUT_EVERY_MS, &suppressed))
        return;
    write_alone(core, "audit.change", record(note, "done", suppressed));
}

void audit_refusal(struct core *core, const struct audit_note *note, const struct err *why)
{
    unsigned suppressed;
    json_t *data;

    if (!quota_take(note->principal, REFUSALS_AT_ONCE, REFUSAL_EVERY_MS, &suppressed))
        return;
    data = record(note, "refused", suppressed);
    json_put_text(data, "code", err_slug(why->code));
    write_alone(core, "audit.refusal", data);
}
