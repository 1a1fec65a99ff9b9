/* Waiting for what a VM becomes: see condition.h.
 *
 * Theory of operation: the number of the newest event is asked first, then the VM is looked at,
 * then the first event about it behind that number is waited for, and the VM is looked at again. So
 * no change is missed and nothing is asked while nothing happens. The serial console has offsets of
 * its own for the same purpose. */
#include "cli/condition.h"

#include "cli/cell.h"
#include "cli/interrupt.h"
#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/mem.h"

#include <stdio.h>
#include <string.h>

#define POLL_S       20
#define RETRY_MS     500
#define NEWEST_EVENT "9007199254740991" /* no event has this number: the reply tells the newest */

static const char *const states[] = {"off",      "starting", "running", "paused",
                                     "stopping", "saved",    "crashed"};

bool condition_init(struct condition *c, const char *text, struct fault *fault)
{
    const char *equals = strstr(text, "==");

    *c = (struct condition){.text = text, .value = text};
    for (size_t i = 0; i < ARRAY_LEN(states); i++)
        if (str_eq(states[i], text))
            return true;
    if (str_eq(text, "deleted")) {
        c->kind = CONDITION_DELETED;
        return true;
    }
    if (str_starts(text, "serial:") && text[7]) {
        c->kind = CONDITION_SERIAL;
        c->value = text + 7;
        return until_init(&c->until, c->value, fault);
    }
    if (equals && equals > text) {
        c->kind = CONDITION_MEMBER;
        c->path = str_format("%.*s", (int)(equals - text), text);
        c->value = equals + 2;
        return true;
    }
    return fault_set(fault, CLI_USAGE,
                     "'%.60s' is nothing to wait for; write running, off, paused, saved, crashed, "
                     "deleted, serial:REGEX or MEMBER==VALUE",
                     text);
}

void condition_clear(struct condition *c)
{
    until_clear(&c->until);
    free(c->path);
    *c = (struct condition){0};
}

/* ---- one look ---- */

static bool header_u64(const struct http_reply *reply, const char *name, uint64_t *out,
                       struct fault *fault)
{
    CLEANUP(mem_freep) char *text = http_header(reply, name);

    return str_to_u64(text, out) ||
           fault_set(fault, CLI_FAILED, "the reply has no offset; is this vmmd?");
}

static bool read_serial(struct cli *cli, struct condition *c, const char *ref, int64_t wait_s,
                        bool *holds, struct fault *fault)
{
    CLEANUP(mem_freep) char *base = http_path("/vms/{}/serial", ref);
    CLEANUP(mem_freep)
    char *path = str_format("%s?offset=%llu&wait=%lld", base, (unsigned long long)c->offset,
                            (long long)wait_s);
    CLEANUP(http_reply_clear) struct http_reply reply = {0};
    struct http_request request = {
        .method = "GET", .path = path, .timeout_ms = (wait_s + 15) * 1000};

    if (!http_call(cli->http, &request, &reply, fault) ||
        !header_u64(&reply, "Vmmd-Serial-Next", &c->offset, fault))
        return false;
    *holds = until_seen(&c->until, reply.body.data, reply.body.len);
    return true;
}

static bool is_so(struct condition *c, const json_t *vm)
{
    const char *path = c->kind == CONDITION_MEMBER ? c->path : "run.state";
    CLEANUP(json_decrefp) json_t *value = cell_find(vm, path);
    CLEANUP(mem_freep) char *now = cell_text(value, CELL_TEXT, false);

    snprintf(c->seen, sizeof c->seen, "%.60s", now);
    return c->kind != CONDITION_DELETED && str_eq(now, c->value);
}

static bool look(struct cli *cli, struct condition *c, const char *ref, bool *holds,
                 struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/vms/{}", ref);
    CLEANUP(json_decrefp) json_t *vm = http_get(cli->http, path, fault);

    if (!vm && fault->exit == CLI_NOT_FOUND && c->kind == CONDITION_DELETED) {
        *fault = (struct fault){0};
        *holds = true;
        return true;
    }
    if (vm)
        *holds = is_so(c, vm);
    return vm != NULL;
}

/* ---- events ---- */

/* The events behind '*after', moving it on. */
static json_t *next_events(struct cli *cli, const char *after, int64_t wait_s, struct fault *fault)
{
    CLEANUP(mem_freep)
    char *path = str_format("/api/v1/events?types=vm&after=%s&wait=%lld", after, (long long)wait_s);
    struct http_request request = {
        .method = "GET", .path = path, .timeout_ms = (wait_s + 15) * 1000};

    return http_json(cli->http, &request, fault);
}

static int64_t seconds_left(const struct condition *c)
{
    int64_t s = (clock_left_ms(c->deadline_ms) + 999) / 1000;

    return s > POLL_S ? POLL_S : s;
}

/* Looks, waits for an event about any VM, looks again, until it holds or the time is over. Looking
 * costs less than to find out whether the event is about this VM, which may be given by name. */
static bool follow(struct cli *cli, struct condition *c, const char *ref, bool *holds,
                   struct fault *fault)
{
    CLEANUP(json_decrefp) json_t *newest = next_events(cli, NEWEST_EVENT, 0, fault);
    uint64_t after = json_get_u64(newest, "next_after", 0);

    if (!newest)
        return false;
    for (;;) {
        CLEANUP(mem_freep) char *behind = str_format("%llu", (unsigned long long)after);
        CLEANUP(json_decrefp) json_t *events = NULL;

        if (!look(cli, c, ref, holds, fault) || *holds || !clock_left_ms(c->deadline_ms))
            return fault->exit == CLI_OK;
        events = next_events(cli, behind, seconds_left(c), fault);
        if (!events)
            return false;
        after = json_get_u64(events, "next_after", after);
    }
}

static bool follow_serial(struct cli *cli, struct condition *c, const char *ref, bool *holds,
                          struct fault *fault)
{
    do {
        if (!read_serial(cli, c, ref, seconds_left(c), holds, fault))
            return false;
    } while (!*holds && clock_left_ms(c->deadline_ms));
    return true;
}

/* ---- the whole of it ---- */

bool condition_begin(struct cli *cli, struct condition *c, const char *ref, uint64_t history,
                     struct fault *fault)
{
    CLEANUP(mem_freep) char *base = http_path("/vms/{}/serial", ref);
    CLEANUP(mem_freep) char *path = str_format("%s?offset=end&limit=1", base);
    CLEANUP(http_reply_clear) struct http_reply reply = {0};
    struct http_request request = {.method = "GET", .path = path};

    c->deadline_ms = clock_mono_ms() + cli->timeout_ms;
    if (c->kind != CONDITION_SERIAL)
        return true;
    if (!http_call(cli->http, &request, &reply, fault) ||
        !header_u64(&reply, "Vmmd-Serial-End", &c->offset, fault))
        return false;
    c->offset -= history < c->offset ? history : c->offset;
    return true;
}

static bool is_passing(const struct fault *fault)
{
    return fault->exit == CLI_UNREACHABLE || fault->exit == CLI_TIMED_OUT;
}

static bool too_late(const struct condition *c, const char *ref, struct fault *fault)
{
    if (c->kind == CONDITION_SERIAL)
        return fault_set(fault, CLI_TIMED_OUT, "%.63s did not write '%.60s' in the time given", ref,
                         c->value);
    return fault_set(fault, CLI_TIMED_OUT, "%.63s is still %s%s%s in the time given, not %.60s",
                     ref, c->path ? c->path : "", c->path ? "==" : "", c->seen, c->text);
}

bool condition_wait(struct cli *cli, struct condition *c, const char *ref, struct fault *fault)
{
    bool said = false, holds = false;

    for (;;) {
        struct fault now = {0};
        bool asked = c->kind == CONDITION_SERIAL ? follow_serial(cli, c, ref, &holds, &now)
                                                 : follow(cli, c, ref, &holds, &now);

        if (holds)
            return true;
        if (asked)
            return too_late(c, ref, fault);
        if (!is_passing(&now) || !clock_left_ms(c->deadline_ms)) {
            *fault = now;
            return false;
        }
        if (!said)
            cli_say(cli, "%s; trying again", now.detail);
        said = true;
        if (interrupt_wait(RETRY_MS))
            return fault_set(fault, CLI_INTERRUPTED, "%s", "");
    }
}
