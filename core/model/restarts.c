/* When a VM is started again: see restarts.h. */
#include "core/model/restarts.h"

#include <string.h>

/* A guest that reported its own end waits, paused, for somebody to look at it. */
static bool guest_gave_up(enum vm_run run, enum vm_reason reason)
{
    return run == VM_PAUSED && (reason == VM_REASON_GUEST_PANIC || reason == VM_REASON_WATCHDOG);
}

bool restart_is_wanted(int policy, enum vm_desired desired, enum vm_run run, enum vm_reason reason)
{
    if (policy == RESTART_NEVER || desired != VM_DESIRED_RUNNING || reason == VM_REASON_HOST_RESET)
        return false;
    if (run == VM_CRASHED || guest_gave_up(run, reason))
        return true;
    return policy == RESTART_ALWAYS && run == VM_OFF && reason == VM_REASON_GUEST_SHUTDOWN;
}

bool restart_is_possible(enum vm_run run, enum vm_reason reason)
{
    return run == VM_OFF || run == VM_CRASHED || guest_gave_up(run, reason);
}

static void forget_old(struct restarts *r, int64_t now_ms)
{
    unsigned old = 0;

    while (old < r->n && r->at_ms[old] <= now_ms - RESTARTS_WINDOW_MS)
        old++;
    r->n -= old;
    memmove(r->at_ms, r->at_ms + old, r->n * sizeof *r->at_ms);
}

enum restart_verdict restarts_plan(struct restarts *r, unsigned max_in_10_min, int64_t now_ms)
{
    int64_t pause_ms = RESTART_PAUSE_MS;

    forget_old(r, now_ms);
    r->due_ms = 0;
    if (r->n >= max_in_10_min)
        return RESTART_GIVEN_UP;
    for (unsigned i = 0; i < r->n && pause_ms < RESTART_LONGEST_MS; i++)
        pause_ms *= 2;
    r->due_ms = now_ms + (pause_ms < RESTART_LONGEST_MS ? pause_ms : RESTART_LONGEST_MS);
    return RESTART_DUE;
}

void restarts_count(struct restarts *r, int64_t now_ms)
{
    forget_old(r, now_ms);
    if (r->n == RESTARTS_MAX)
        memmove(r->at_ms, r->at_ms + 1, --r->n * sizeof *r->at_ms);
    r->at_ms[r->n++] = now_ms;
    r->due_ms = 0;
}

json_t *restarts_encode(const struct restarts *r)
{
    json_t *v, *at;

    if (!r->due_ms && !r->n)
        return json_null();
    v = json_object();
    at = json_array();
    for (unsigned i = 0; i < r->n; i++)
        json_array_append_new(at, json_integer(r->at_ms[i]));
    json_put(v, "at_ms", at);
    json_put(v, "due_ms", json_integer(r->due_ms));
    return v;
}

char *restarts_text(const struct restarts *r)
{
    CLEANUP(json_decrefp) json_t *v = restarts_encode(r);

    return json_is_null(v) ? NULL : json_write(v);
}

void restarts_decode(const json_t *value, struct restarts *out)
{
    const json_t *at = json_object_get(value, "at_ms"), *one;
    size_t i;

    *out = (struct restarts){.due_ms = json_integer_value(json_object_get(value, "due_ms"))};
    json_array_foreach ((json_t *)at, i, one)
        if (out->n < RESTARTS_MAX && json_is_integer(one))
            out->at_ms[out->n++] = json_integer_value(one);
}
