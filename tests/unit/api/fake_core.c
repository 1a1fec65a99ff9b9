/* A core in memory for the tests of api/: just enough behaviour to see what the API makes of it.
 * Included once by each test program; its functions take the place of core's when linking.
 *
 * One VM "hello"; tokens vmmd_<role>_x; one operation whose state a test sets; an event log and a
 * serial log that a test appends to. */
#include "tests/lib/harness.h"

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/base/thread.h"
#include "core/core/measure.h"
#include "core/disk/media.h"
#include "core/disk/pool.h"
#include "core/event/event.h"
#include "core/host/host.h"
#include "core/job/job.h"
#include "core/model/page.h"
#include "core/user/token.h"
#include "core/vm/vm.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HELLO_ID "7f0c2f4e-93a1-4e7c-8a53-0b8a5b1f6f10"
#define OP_ID    "5d1c8a04-8f0e-4a53-9a7a-2f7f0e5fcb31"
#define POOL_ID  "11111111-2222-4333-8444-555555555555"

#define FAKE_EVENTS 64
#define FAKE_SERIAL 4096

struct core {
    struct lock lock;
    struct cond changed;
    bool interrupted;
    bool impatient; /* waits are over at once */
    uint64_t revision, state_revision;
    char job_state[16], job_kind[16], job_error[16];
    unsigned creates, tokens_made, acts, waiting;
    char last_patch[256], last_args[64], last_principal[80];
    bool last_dry_run;
    char idem_key[129], idem_route[128], idem_type[16];
    uint8_t idem_sha[32];
    bool token_revoked, token_narrowed, session_over;
    unsigned accounts;
    struct {
        uint64_t seq;
        char type[48];
    } events[FAKE_EVENTS];
    unsigned n_events;
    uint64_t oldest; /* events below were trimmed */
    char serial[FAKE_SERIAL];
    uint64_t serial_end;
    char typed[256];
};

static struct core *fake_core_new(void)
{
    struct core *c = mem_alloc(sizeof *c);

    lock_init(&c->lock);
    cond_init(&c->changed);
    c->revision = 41;
    c->state_revision = 7;
    c->oldest = 1;
    strcpy(c->job_state, "running");
    strcpy(c->job_kind, "vm.create");
    return c;
}

static void fake_core_free(struct core *c)
{
    cond_clear(&c->changed);
    lock_clear(&c->lock);
    free(c);
}

static inline void fake_job_becomes(struct core *c, const char *state, const char *error)
{
    lock_take(&c->lock);
    str_copy(c->job_state, sizeof c->job_state, state);
    str_copy(c->job_error, sizeof c->job_error, error);
    cond_wake_all(&c->changed);
    lock_drop(&c->lock);
}

static inline void fake_event(struct core *c, const char *type)
{
    lock_take(&c->lock);
    c->events[c->n_events].seq = c->oldest + c->n_events;
    str_copy(c->events[c->n_events++].type, 48, type);
    cond_wake_all(&c->changed);
    lock_drop(&c->lock);
}

static inline void fake_serial(struct core *c, const char *text)
{
    lock_take(&c->lock);
    memcpy(c->serial + c->serial_end, text, strlen(text));
    c->serial_end += strlen(text);
    cond_wake_all(&c->changed);
    lock_drop(&c->lock);
}

/* From now on no token is good, and all who wait know. */
static inline void fake_revoke(struct core *c)
{
    lock_take(&c->lock);
    c->token_revoked = true;
    c->accounts++;
    cond_wake_all(&c->changed);
    lock_drop(&c->lock);
}

/* From now on tokens have no rights; who waits is not told. */
static inline void fake_narrow(struct core *c)
{
    lock_take(&c->lock);
    c->token_narrowed = true;
    c->accounts++;
    lock_drop(&c->lock);
}

/* Blocks until 'n' threads wait inside the core. */
static inline void fake_await_waiters(struct core *c, unsigned n)
{
    int64_t deadline = clock_mono_ms() + 5000;

    lock_take(&c->lock);
    while (c->waiting < n)
        assert_true(cond_wait_until(&c->changed, &c->lock, deadline));
    lock_drop(&c->lock);
}

/* One wait of a core call; false when it is over. */
static bool wait_once(struct core *c, int64_t deadline) REQUIRES(&c->lock)
{
    bool more;

    c->waiting++;
    cond_wake_all(&c->changed);
    more = cond_wait_until(&c->changed, &c->lock, deadline);
    c->waiting--;
    return more && !c->interrupted;
}

void core_interrupt(struct core *c)
{
    lock_take(&c->lock);
    c->interrupted = true;
    cond_wake_all(&c->changed);
    lock_drop(&c->lock);
}

bool core_idem_find(struct core *c, const struct origin *origin, bool *found, char type[16],
                    struct uuid *object, struct err *err)
{
    bool ok = true;

    lock_take(&c->lock);
    *found = c->idem_key[0] && str_eq(c->idem_key, origin->idempotency_key);
    if (*found && (!str_eq(c->idem_route, origin->route) ||
                   memcmp(c->idem_sha, origin->body_sha256, 32) != 0))
        ok = err_set(err, ERR_IDEM_MISMATCH, "another request");
    str_copy(type, 16, c->idem_type);
    uuid_parse(str_eq(c->idem_type, "operation") ? OP_ID : POOL_ID, object);
    lock_drop(&c->lock);
    return ok;
}

static void remember(struct core *c, const struct origin *origin, const char *type)
{
    lock_take(&c->lock);
    str_copy(c->last_principal, sizeof c->last_principal, origin->principal);
    c->last_dry_run = origin->dry_run;
    if (origin->idempotency_key) {
        str_copy(c->idem_key, sizeof c->idem_key, origin->idempotency_key);
        str_copy(c->idem_route, sizeof c->idem_route, origin->route);
        str_copy(c->idem_type, sizeof c->idem_type, type);
        memcpy(c->idem_sha, origin->body_sha256, 32);
    }
    lock_drop(&c->lock);
}

static bool is_hello(const char *ref, struct err *err)
{
    return str_eq(ref, "hello") || str_eq(ref, HELLO_ID) ||
           err_set(err, ERR_NOT_FOUND, "there is no VM '%s'", ref);
}

static json_t *named(const char *id)
{
    json_t *o = json_object();

    json_put_text(o, "id", id);
    json_put_text(o, "name", "hello");
    return o;
}

static void one_page(json_t *item, const struct query *query, struct strbuf *out)
{
    CLEANUP(page_clear) struct page page = {.query = query};

    page_offer(&page, item);
    page_write(&page, NULL, NULL, out);
}

bool vm_create(struct core *c, struct vm_spec *spec, bool start, const struct origin *origin,
               struct uuid *op, struct uuid *vm, struct err *err)
{
    bool taken = str_eq(spec->name, "hello");

    vm_spec_clear(spec);
    if (taken)
        return err_field(err, ERR_EXISTS, "/name", "there is a VM 'hello' already");
    remember(c, origin, "operation");
    uuid_parse(OP_ID, op);
    uuid_parse(HELLO_ID, vm);
    lock_take(&c->lock);
    c->creates += !origin->dry_run;
    lock_drop(&c->lock);
    return true;
}

json_t *vm_show(struct core *c, const char *ref, struct etag *etag, struct err *err)
{
    if (!is_hello(ref, err))
        return NULL;
    lock_take(&c->lock);
    *etag = (struct etag){c->revision, c->state_revision};
    lock_drop(&c->lock);
    return named(HELLO_ID);
}

char *vm_show_text(struct core *c, const char *ref, struct etag *etag, size_t *len, struct err *err)
{
    CLEANUP(json_decrefp) json_t *vm = vm_show(c, ref, etag, err);
    char *text = vm ? json_write(vm) : NULL;

    *len = text ? strlen(text) : 0;
    return text;
}

void vm_list(struct core *c, const struct query *query, struct strbuf *out)
{
    json_t *vm = named(HELLO_ID);

    json_put_text(vm, "state", "running");
    json_put_u64(vm, "page_size", query->page_size);
    one_page(vm, query, out);
}

json_t *vm_edit(struct core *c, const char *ref, const json_t *patch, const struct etag *if_match,
                const struct origin *origin, struct etag *etag, struct err *err)
{
    CLEANUP(mem_freep) char *text = json_write(patch);

    if (!is_hello(ref, err))
        return NULL;
    if (if_match && if_match->revision != 41)
        return err_set(err, ERR_REVISION, "it is at 41"), NULL;
    remember(c, origin, "vm");
    lock_take(&c->lock);
    str_copy(c->last_patch, sizeof c->last_patch, text);
    *etag = (struct etag){c->revision + 1, c->state_revision};
    lock_drop(&c->lock);
    return named(HELLO_ID);
}

bool vm_delete(struct core *c, const char *ref, const struct etag *if_match,
               const struct origin *origin, struct uuid *op, struct err *err)
{
    if (!is_hello(ref, err))
        return false;
    if (if_match && if_match->revision != 41)
        return err_set(err, ERR_REVISION, "it is at 41");
    remember(c, origin, "operation");
    return uuid_parse(OP_ID, op);
}

bool vm_act(struct core *c, const char *ref, enum vm_verb verb, const json_t *args,
            const struct origin *origin, struct uuid *op, struct err *err)
{
    CLEANUP(mem_freep) char *text = args ? json_write(args) : str_dup("none");

    if (!is_hello(ref, err) || !vm_check(verb, VM_RUNNING, "hello", err))
        return false;
    remember(c, origin, "operation");
    lock_take(&c->lock);
    c->acts++;
    str_copy(c->last_args, sizeof c->last_args, text);
    lock_drop(&c->lock);
    return uuid_parse(OP_ID, op);
}

ssize_t vm_serial_read(struct core *c, const char *ref, unsigned port, uint64_t *offset, void *out,
                       size_t cap, int64_t wait_ms, uint64_t *end, struct err *err)
{
    int64_t deadline = clock_mono_ms() + wait_ms;
    unsigned accounts;
    size_t n;

    if (!is_hello(ref, err))
        return -1;
    lock_take(&c->lock);
    accounts = c->accounts;
    *offset = *offset > c->serial_end ? c->serial_end : *offset;
    while (wait_ms && *offset == c->serial_end && c->accounts == accounts && wait_once(c, deadline))
        ;
    n = c->serial_end - *offset;
    n = n < cap ? n : cap;
    memcpy(out, c->serial + *offset, n);
    *end = c->serial_end;
    lock_drop(&c->lock);
    return (ssize_t)n;
}

bool vm_serial_write(struct core *c, const char *ref, unsigned port, const void *data, size_t len,
                     const struct origin *origin, struct err *err)
{
    if (!is_hello(ref, err))
        return false;
    lock_take(&c->lock);
    snprintf(c->typed, sizeof c->typed, "%.*s", (int)len, (const char *)data);
    lock_drop(&c->lock);
    return true;
}

bool vm_screenshot(struct core *c, const char *ref, unsigned head, char **png, size_t *len,
                   struct err *err)
{
    if (!is_hello(ref, err))
        return false;
    *png = str_dup("\x89PNG");
    *len = 4;
    return true;
}

/* ---- jobs ---- */

static json_t *job_json(struct core *c) REQUIRES(&c->lock)
{
    json_t *op = json_object(), *error = NULL;

    json_put_text(op, "id", OP_ID);
    json_put_text(op, "kind", c->job_kind);
    json_put_text(op, "state", c->job_state);
    json_put(op, "object", named(HELLO_ID));
    if (c->job_error[0]) {
        error = json_object();
        json_put_text(error, "code", c->job_error);
        json_put_text(error, "detail", "it failed");
        json_put_text(error, "pointer", "/disks/0");
    }
    json_put(op, "error", error);
    return op;
}

static bool is_op(const struct uuid *id, struct err *err)
{
    return str_eq(UUID_STR(id), OP_ID) || err_set(err, ERR_NOT_FOUND, "no such operation");
}

json_t *job_wait(struct core *c, const struct uuid *id, int64_t wait_ms, struct err *err)
{
    int64_t deadline = clock_mono_ms() + (c->impatient ? 0 : wait_ms);
    json_t *op;

    if (!is_op(id, err))
        return NULL;
    lock_take(&c->lock);
    while (wait_ms && str_eq(c->job_state, "running") && wait_once(c, deadline))
        ;
    op = job_json(c);
    lock_drop(&c->lock);
    return op;
}

json_t *job_show(struct core *c, const struct uuid *id, struct err *err)
{
    return job_wait(c, id, 0, err);
}

bool job_list(struct core *c, const char *vm, const struct query *query, struct strbuf *out,
              struct err *err)
{
    json_t *op = named(OP_ID);

    json_put_text(op, "state", "running");
    one_page(op, query, out);
    return true;
}

bool job_cancel(struct core *c, const struct uuid *id, const struct origin *origin, struct err *err)
{
    if (!is_op(id, err))
        return false;
    if (!origin->dry_run)
        fake_job_becomes(c, "cancelling", "");
    return true;
}

/* ---- events ---- */

/* Two VMs, one with a hostile name, one that runs; some of everything else. */
void core_measure(struct core *c, struct core_measures *out)
{
    static const struct measured_vm vms[] = {
        {.name = "a\"b\\c\nd\xff", .state = "off", .vcpus = 1, .memory_bytes = 1 << 24},
        {.name = "hello",
         .state = "running",
         .vcpus = 2,
         .memory_bytes = 1 << 30,
         .has_usage = true,
         .usage = {1234, 1 << 20, 5678}}};
    static const struct measured_end ends[] = {{"vm.start", "succeeded", 3},
                                               {"vm.start", "failed", 1}};
    static const struct measured_kind kinds[] = {
        {"vm.start", {.upto = {0, 1, 2, 3, 4, 4, 4, 4, 4, 4, 4}, .sum_us = 1500000}}};

    *out = (struct core_measures){.jobs_running = 1, .n_vms = 2, .n_ends = 2, .n_kinds = 1};
    out->events.newest = c->oldest + c->n_events - 1;
    out->vms = mem_dup(vms, sizeof vms);
    out->ends = mem_dup(ends, sizeof ends);
    out->kinds = mem_dup(kinds, sizeof kinds);
}

void core_measures_clear(struct core_measures *m)
{
    free(m->vms);
    free(m->ends);
    free(m->kinds);
}

uint64_t event_newest(struct core *c)
{
    uint64_t newest;

    lock_take(&c->lock);
    newest = c->oldest + c->n_events - 1;
    lock_drop(&c->lock);
    return newest;
}

ssize_t event_wait(struct core *c, uint64_t after, int64_t wait_ms, struct event_line *out,
                   unsigned cap, bool *gap, uint64_t *newest, struct err *err)
{
    int64_t deadline = clock_mono_ms() + wait_ms;
    ssize_t n = 0;

    lock_take(&c->lock);
    *newest = c->oldest + c->n_events - 1;
    *gap = after + 1 < c->oldest || after > *newest;
    while (!*gap && wait_ms && c->oldest + c->n_events - 1 == after && wait_once(c, deadline))
        ;
    for (unsigned i = 0; !*gap && i < c->n_events && (unsigned)n < cap; i++) {
        if (c->events[i].seq <= after)
            continue;
        out[n].seq = c->events[i].seq;
        str_copy(out[n].type, sizeof out[n].type, c->events[i].type);
        out[n++].json = str_format("{\"seq\":%llu,\"type\":\"%s\"}",
                                   (unsigned long long)c->events[i].seq, c->events[i].type);
    }
    if (c->interrupted && !n) {
        err_set(err, ERR_UNAVAILABLE, "stopping");
        n = -1;
    }
    lock_drop(&c->lock);
    return n;
}

void event_line_clear(struct event_line *line)
{
    mem_freep(&line->json);
}

/* ---- tokens, pools, disks, host ---- */

bool token_create_as(struct core *c, const struct token_spec *spec, const struct origin *origin,
                     struct uuid *id, char text[TOKEN_TEXT], struct err *err)
{
    remember(c, origin, "token");
    uuid_parse(POOL_ID, id);
    snprintf(text, TOKEN_TEXT, "vmmd_%s_secret", role_names[spec->role]);
    lock_take(&c->lock);
    c->tokens_made++;
    lock_drop(&c->lock);
    return true;
}

json_t *token_show(struct core *c, const char *ref, struct err *err)
{
    return named(POOL_ID);
}

void token_list(struct core *c, const struct query *query, struct strbuf *out)
{
    one_page(named(POOL_ID), query, out);
}

bool token_revoke(struct core *c, const char *ref, const struct origin *origin, struct err *err)
{
    return true;
}

bool pool_create_as(struct core *c, const struct pool_settings *settings,
                    const struct origin *origin, struct uuid *id, struct err *err)
{
    remember(c, origin, "pool");
    return uuid_parse(POOL_ID, id);
}

json_t *pool_show(struct core *c, const char *ref, struct err *err)
{
    return named(POOL_ID);
}

json_t *pool_edit(struct core *c, const char *ref, const json_t *patch, const struct origin *origin,
                  struct err *err)
{
    return named(POOL_ID);
}

bool pool_files(struct core *c, const char *ref, const struct query *query, struct strbuf *out,
                struct err *err)
{
    one_page(named(POOL_ID), query, out);
    return true;
}

bool disk_add(struct core *c, const char *vm, const json_t *body, const struct origin *origin,
              struct uuid *op, struct err *err)
{
    return uuid_parse(POOL_ID, op);
}

bool disk_remove(struct core *c, const char *disk, const struct origin *origin, struct uuid *op,
                 struct err *err)
{
    return uuid_parse(POOL_ID, op);
}

bool disk_grow(struct core *c, const char *disk, uint64_t size_bytes, const struct origin *origin,
               struct uuid *op, struct err *err)
{
    return uuid_parse(POOL_ID, op);
}

json_t *disk_edit(struct core *c, const char *disk, const json_t *patch,
                  const struct origin *origin, struct err *err)
{
    return named(POOL_ID);
}

bool guests_shutdown(struct core *c, const struct origin *origin, struct uuid *op, struct err *err)
{
    *op = (struct uuid){0};
    return origin->dry_run || err_set(err, ERR_BUSY, "no guests here");
}

void media_list(struct core *c, const struct query *query, struct strbuf *out)
{
    one_page(named(POOL_ID), query, out);
}

void pool_list(struct core *c, const struct query *query, struct strbuf *out)
{
    one_page(named(POOL_ID), query, out);
}

bool pool_delete(struct core *c, const char *ref, const struct origin *origin, struct err *err)
{
    return err_set(err, ERR_IN_USE, "disks lie in it");
}

json_t *disk_show(struct core *c, const char *ref, struct err *err)
{
    return named(POOL_ID);
}

bool disk_list(struct core *c, const char *vm, const struct query *query, struct strbuf *out,
               struct err *err)
{
    one_page(named(POOL_ID), query, out);
    return true;
}

json_t *host_show(struct core *c, struct err *err)
{
    return named(POOL_ID);
}

json_t *host_inventory(struct core *c, struct err *err)
{
    return named(POOL_ID);
}
