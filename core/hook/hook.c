/* Webhooks as objects: made, shown, edited, deleted, tried. See hook.h. Their number is small, so
 * all of them live in one list; each has a thread (deliver.c), which frees it when it is gone. */
#include "core/hook/inside.h"

#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/event/event.h"
#include "core/model/page.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NEW_SECRET_BYTES 32

void hook_free(struct hook *h)
{
    if (h->secret)
        explicit_bzero(h->secret, strlen(h->secret));
    free(h->name);
    free(h->url);
    free(h->types);
    free(h->secret);
    free(h->disabled_why);
    free(h->created_by);
    json_decref(h->recent);
    free(h);
}

void hook_record(const struct hook *h, struct webhook_record *out)
{
    *out = (struct webhook_record){.id = h->id,
                                   .name = h->name,
                                   .url = h->url,
                                   .types = h->types,
                                   .secret = h->secret,
                                   .enabled = h->enabled,
                                   .disabled_why = h->disabled_why,
                                   .position = h->position,
                                   .attempts = h->attempts,
                                   .failing_ms = h->failing_ms,
                                   .recent = "[]",
                                   .created_ms = h->created_ms,
                                   .created_by = h->created_by};
}

/* ---- life of the service ---- */

static struct hook *hook_of(struct core *core, const struct webhook_record *r)
{
    struct hook *h = mem_alloc(sizeof *h);

    h->id = r->id;
    h->core = core;
    h->name = str_dup(r->name);
    h->url = str_dup(r->url);
    h->types = str_dup(r->types);
    h->secret = str_dup(r->secret);
    h->disabled_why = str_dup(r->disabled_why);
    h->created_by = str_dup(r->created_by);
    h->enabled = r->enabled;
    h->position = h->saved = r->position;
    h->attempts = r->attempts;
    h->failing_ms = r->failing_ms;
    h->created_ms = r->created_ms;
    h->recent = json_loads(r->recent, 0, NULL);
    if (!json_is_array(h->recent)) {
        json_decref(h->recent);
        h->recent = json_array();
    }
    return h;
}

/* The list is in the order of the names. */
static void place(struct hooks *hooks, struct hook *h) REQUIRES(hooks->lock);
static void place(struct hooks *hooks, struct hook *h)
{
    struct hook **p = &hooks->first;

    while (*p && strcmp((*p)->name, h->name) < 0)
        p = &(*p)->next;
    h->next = *p;
    *p = h;
}

static void insert(struct hooks *hooks, struct hook *h)
{
    lock_take(&hooks->lock);
    place(hooks, h);
    lock_drop(&hooks->lock);
}

void hook_unlink(struct hooks *hooks, struct hook *h)
{
    struct hook **p = &hooks->first;

    while (*p && *p != h)
        p = &(*p)->next;
    if (*p)
        *p = h->next;
}

static bool load(void *ctx, const struct webhook_record *r)
{
    struct core *core = ctx;

    insert(core->hooks, hook_of(core, r));
    return true;
}

bool hooks_start(struct core *core, struct err *err)
{
    struct hooks *hooks = mem_alloc(sizeof *hooks);

    lock_init(&hooks->lock);
    lock_init(&hooks->writing);
    cond_init(&hooks->changed);
    core->hooks = hooks;
    if (!store_webhook_each(core->store, load, core, err))
        return false;
    for (struct hook *h = hooks->first, *next; h; h = next) {
        next = h->next;
        if (!hook_thread_start(h, err))
            return false;
    }
    return true;
}

void hooks_interrupt(struct core *core)
{
    struct hooks *hooks = core->hooks;

    if (!hooks)
        return;
    lock_take(&hooks->lock);
    hooks->stopping = true;
    for (struct hook *h = hooks->first; h; h = h->next)
        atomic_store(&h->stop, true);
    cond_wake_all(&hooks->changed);
    lock_drop(&hooks->lock);
}

NO_TSA void hooks_stop(struct core *core)
{
    struct hooks *hooks = core->hooks;

    if (!hooks)
        return;
    hooks_interrupt(core);
    lock_take(&hooks->lock);
    while (hooks->threads)
        cond_wait(&hooks->changed, &hooks->lock);
    lock_drop(&hooks->lock);
    while (hooks->first) {
        struct hook *h = hooks->first;
        hooks->first = h->next;
        hook_free(h);
    }
    cond_clear(&hooks->changed);
    lock_clear(&hooks->writing);
    lock_clear(&hooks->lock);
    free(hooks);
    core->hooks = NULL;
}

/* ---- finding and showing ---- */

static struct hook *find(struct hooks *hooks, const char *ref) REQUIRES(hooks->lock);
static struct hook *find(struct hooks *hooks, const char *ref)
{
    struct uuid id;
    bool by_id = uuid_parse(ref, &id);

    for (struct hook *h = hooks->first; h; h = h->next)
        if (!h->gone && (by_id ? uuid_eq(&h->id, &id) : strcmp(h->name, ref) == 0))
            return h;
    return NULL;
}

static bool missing(const char *ref, struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, "there is no webhook '%.64s'", ref);
}

static json_t *types_json(const char *list)
{
    json_t *out = json_array();

    for (const char *p = list; *p; p += strcspn(p, ","), p += *p == ',')
        json_array_append_new(out, json_stringn(p, strcspn(p, ",")));
    return out;
}

static json_t *view(const struct hook *h)
{
    json_t *v = json_object();

    json_put_text(v, "id", UUID_STR(&h->id));
    json_put_text(v, "name", h->name);
    json_put_text(v, "url", h->url);
    json_put(v, "types", types_json(h->types));
    json_put_bool(v, "enabled", h->enabled);
    json_put_text(v, "state", !h->enabled ? "disabled" : h->failing_ms ? "failing" : "ok");
    json_put_text(v, "disabled_reason", h->enabled ? NULL : h->disabled_why);
    json_put_u64(v, "position", h->position);
    json_put_time(v, "failing_since", h->failing_ms);
    json_put_time(v, "next_attempt_at", h->next_ms);
    json_put_time(v, "created_at", h->created_ms);
    json_put_text(v, "created_by", h->created_by);
    return v;
}

json_t *hook_show(struct core *core, const char *ref, struct err *err)
{
    struct hooks *hooks = core->hooks;
    json_t *v = NULL;
    struct hook *h;

    lock_take(&hooks->lock);
    h = find(hooks, ref);
    if (h)
        v = view(h);
    lock_drop(&hooks->lock);
    if (!v)
        missing(ref, err);
    return v;
}

void hook_list(struct core *core, const struct query *query, struct strbuf *out)
{
    CLEANUP(page_clear) struct page page = {.query = query};
    struct hooks *hooks = core->hooks;

    lock_take(&hooks->lock);
    for (struct hook *h = hooks->first; h; h = h->next)
        if (!h->gone)
            page_offer(&page, view(h));
    lock_drop(&hooks->lock);
    page_write(&page, NULL, NULL, out);
}

json_t *hook_deliveries(struct core *core, const char *ref, struct err *err)
{
    struct hooks *hooks = core->hooks;
    json_t *items = NULL, *page;
    struct hook *h;

    lock_take(&hooks->lock);
    h = find(hooks, ref);
    if (h)
        items = json_deep_copy(h->recent);
    lock_drop(&hooks->lock);
    if (!items) {
        missing(ref, err);
        return NULL;
    }
    page = json_object();
    json_put(page, "items", items);
    json_put(page, "next_page_token", NULL);
    return page;
}

/* ---- changing ---- */

static bool check_types(const char *list, struct err *err)
{
    unsigned n = 0;

    for (const char *p = list; *p; p += strcspn(p, ","), p += *p == ',') {
        size_t len = strcspn(p, ",");
        if (!len || len > 47 || ++n > HOOK_TYPES_MAX ||
            strspn(p, "abcdefghijklmnopqrstuvwxyz0123456789-_.") < len)
            return err_field(err, ERR_INVALID, "/types",
                             "types are up to %d words such as vm, operation or vm.state",
                             HOOK_TYPES_MAX);
    }
    return true;
}

static bool check_secret(const char *secret, struct err *err)
{
    size_t n = secret ? strlen(secret) : HOOK_SECRET_MIN;

    for (const char *p = secret; p && *p; p++)
        if (*p < 0x21 || *p > 0x7e)
            n = 0;
    return (n >= HOOK_SECRET_MIN && n <= HOOK_SECRET_MAX) ||
           err_field(err, ERR_INVALID, "/secret",
                     "secret must have %d to %d visible ASCII characters", HOOK_SECRET_MIN,
                     HOOK_SECRET_MAX);
}

/* 'self': the one that is edited, NULL for a new one. */
static bool check_spec(struct hooks *hooks, const struct hook_spec *spec, const struct hook *self,
                       struct err *err)
{
    struct hook *same;
    unsigned n = 0;

    if ((spec->url && !post_url_check(spec->url, err)) ||
        (spec->types && !check_types(spec->types, err)) || !check_secret(spec->secret, err))
        return false;
    lock_take(&hooks->lock);
    same = spec->name ? find(hooks, spec->name) : NULL;
    for (struct hook *h = hooks->first; h; h = h->next)
        n += !h->gone;
    lock_drop(&hooks->lock);
    if (same && same != self)
        return err_field(err, ERR_EXISTS, "/name", "there is a webhook named '%s' already",
                         spec->name);
    return self || n < HOOK_MAX ||
           err_set(err, ERR_WRONG_STATE, "there are %d webhooks already: delete one", HOOK_MAX);
}

static void make_secret(char out[HOOK_SECRET_TEXT])
{
    uint8_t raw[NEW_SECRET_BYTES];

    random_bytes(raw, sizeof raw);
    str_copy(out, HOOK_SECRET_TEXT, "whsec_");
    str_hex(raw, sizeof raw, out + 6);
    explicit_bzero(raw, sizeof raw);
}

/* Row, event and key in one transaction. */
static bool write_row(struct core *core, const struct webhook_record *record, const char *event,
                      const struct origin *origin, struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(core->store, err);
    json_t *data;

    if (!txn || !FAILPOINT("hook.write", err) || !store_webhook_put(txn, record, err))
        return false;
    data = json_object();
    json_put_text(data, "name", record->name);
    json_put_bool(data, "enabled", record->enabled);
    return event_add(txn, event, "webhook", &record->id, data, err) &&
           idem_add(txn, origin, "webhook", &record->id, err) && store_commit(&txn, err);
}

static bool create(struct core *core, const struct hook_spec *spec, const struct origin *origin,
                   struct uuid *id, char secret[HOOK_SECRET_TEXT], struct err *err)
{
    struct webhook_record record = {.id = uuid_new(),
                                    .name = spec->name,
                                    .url = spec->url,
                                    .types = spec->types,
                                    .secret = spec->secret,
                                    .enabled = spec->enabled,
                                    .recent = "[]",
                                    .created_ms = clock_wall_ms(),
                                    .created_by = origin->principal};
    struct hook *h;

    if (!check_spec(core->hooks, spec, NULL, err))
        return false;
    if (origin->dry_run)
        return true;
    if (!spec->secret) {
        make_secret(secret);
        record.secret = secret;
    }
    record.position = event_newest(core);
    if (!write_row(core, &record, "webhook.created", origin, err))
        return false;
    *id = record.id;
    h = hook_of(core, &record);
    insert(core->hooks, h);
    events_ring(core);
    if (!hook_thread_start(h, err))
        log_error("a webhook delivers after the next start only: %s", err->detail);
    return true;
}

bool hook_create(struct core *core, const struct hook_spec *spec, const struct origin *origin,
                 struct uuid *id, char secret[HOOK_SECRET_TEXT], struct err *err)
{
    bool ok;

    lock_take(&core->hooks->writing);
    ok = create(core, spec, origin, id, secret, err);
    lock_drop(&core->hooks->writing);
    return ok;
}

static void set(char **member, const char *value)
{
    char *old = *member;

    if (old == value)
        return;
    *member = str_dup(value);
    free(old);
}

/* Memory follows the row; whatever the thread does now, it begins anew. */
static void apply(struct hooks *hooks, struct hook *h, const struct webhook_record *record)
{
    lock_take(&hooks->lock);
    hook_unlink(hooks, h);
    set(&h->name, record->name);
    place(hooks, h);
    set(&h->url, record->url);
    set(&h->types, record->types);
    set(&h->secret, record->secret);
    set(&h->disabled_why, record->disabled_why);
    h->enabled = record->enabled;
    h->attempts = 0;
    h->failing_ms = h->next_ms = 0;
    h->changed = true;
    atomic_store(&h->stop, true);
    cond_wake_all(&hooks->changed);
    lock_drop(&hooks->lock);
}

static void merge(struct webhook_record *r, const struct hook_spec *spec,
                  char secret[HOOK_SECRET_TEXT])
{
    r->name = spec->name ? spec->name : r->name;
    r->url = spec->url ? spec->url : r->url;
    r->types = spec->types ? spec->types : r->types;
    r->enabled = spec->keep_enabled ? r->enabled : spec->enabled;
    if (r->enabled || !spec->keep_enabled)
        r->disabled_why = NULL;
    r->attempts = 0;
    r->failing_ms = 0;
    if (spec->renew_secret)
        make_secret(secret);
    if (spec->secret || spec->renew_secret)
        r->secret = spec->secret ? spec->secret : secret;
}

static bool edit(struct core *core, const char *ref, const struct hook_spec *spec,
                 const struct origin *origin, char secret[HOOK_SECRET_TEXT], struct err *err)
{
    struct hooks *hooks = core->hooks;
    struct webhook_record record;
    struct hook *h;

    lock_take(&hooks->lock);
    h = find(hooks, ref);
    if (h)
        hook_record(h, &record);
    lock_drop(&hooks->lock);
    if (!h)
        return missing(ref, err);
    if (!check_spec(hooks, spec, h, err))
        return false;
    if (origin->dry_run)
        return true;
    merge(&record, spec, secret);
    if (!write_row(core, &record, "webhook.changed", origin, err))
        return false;
    apply(hooks, h, &record);
    events_ring(core);
    return true;
}

bool hook_edit(struct core *core, const char *ref, const struct hook_spec *spec,
               const struct origin *origin, char secret[HOOK_SECRET_TEXT], struct err *err)
{
    bool ok;

    lock_take(&core->hooks->writing);
    ok = edit(core, ref, spec, origin, secret, err);
    lock_drop(&core->hooks->writing);
    return ok;
}

static bool write_gone(struct core *core, const struct uuid *id, const char *name, struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(core->store, err);
    json_t *data;

    if (!txn)
        return false;
    data = json_object();
    json_put_text(data, "name", name);
    return event_add(txn, "webhook.deleted", "webhook", id, data, err) &&
           store_webhook_remove(txn, id, err) && store_commit(&txn, err);
}

static bool delete (struct core *core, const char *ref, const struct origin *origin,
                    struct err *err)
{
    struct hooks *hooks = core->hooks;
    struct hook *h;

    lock_take(&hooks->lock);
    h = find(hooks, ref);
    lock_drop(&hooks->lock);
    if (!h)
        return missing(ref, err);
    if (origin->dry_run)
        return true;
    if (!write_gone(core, &h->id, h->name, err)) /* it stays: 'writing' is held */
        return false;
    lock_take(&hooks->lock);
    h->gone = true; /* from here on it is its thread's */
    atomic_store(&h->stop, true);
    cond_wake_all(&hooks->changed);
    lock_drop(&hooks->lock);
    events_ring(core);
    return true;
}

bool hook_delete(struct core *core, const char *ref, const struct origin *origin, struct err *err)
{
    bool ok;

    lock_take(&core->hooks->writing);
    ok = delete (core, ref, origin, err);
    lock_drop(&core->hooks->writing);
    return ok;
}

/* ---- trying ---- */

json_t *hook_test(struct core *core, const char *ref, struct err *err)
{
    struct hooks *hooks = core->hooks;
    CLEANUP(mem_freep) char *url = NULL, *secret = NULL, *body = NULL;
    char now[CLOCK_TEXT];
    struct delivery d = {.id = uuid_new(), .type = "webhook.test"};
    struct post_result result;
    struct hook *h;
    json_t *out;
    bool ok;

    lock_take(&hooks->lock);
    h = find(hooks, ref);
    clock_text(clock_wall_ms(), now);
    if (h) {
        url = str_dup(h->url);
        secret = str_dup(h->secret);
        body = str_format("{\"seq\":0,\"at\":\"%s\",\"type\":\"webhook.test\",\"object\":"
                          "{\"type\":\"webhook\",\"id\":\"%s\"},\"data\":{\"name\":\"%s\"}}",
                          now, UUID_STR(&h->id), h->name);
    }
    lock_drop(&hooks->lock);
    if (!h)
        return missing(ref, err), NULL;
    d.body = body;
    ok = delivery_send(url, secret, &d, 1, &core->closing, &result);
    explicit_bzero(secret, strlen(secret));
    out = json_object();
    json_put_text(out, "id", UUID_STR(&d.id));
    json_put_bool(out, "delivered", ok);
    json_put(out, "status", result.status ? json_integer(result.status) : NULL);
    json_put_u64(out, "took_ms", (uint64_t)result.took_ms);
    json_put_text(out, "error", ok ? NULL : result.error);
    return out;
}
