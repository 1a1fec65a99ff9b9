/* What QEMU and the clock tell while a guest's memory is written, and what main may not say. STOP
 * and RESUME are ours or the guest's own: one that stops for a reason of its own has that told
 * first.
 */
#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/str.h"
#include "vmmd/worker/worker.h"

#include <stdio.h>

static bool is_reason_to_stop(const char *name, const json_t *data)
{
    return str_eq(name, "SHUTDOWN") || str_eq(name, "GUEST_PANICKED") ||
           (str_eq(name, "BLOCK_IO_ERROR") && str_eq(json_get_text(data, "action"), "stop")) ||
           (str_eq(name, "WATCHDOG") && str_eq(json_get_text(data, "action"), "pause"));
}

/* It is over for the guest: what would be kept now is of no use. */
static void has_ended(struct worker *w, const char *reason)
{
    struct memory *m = &w->memory;

    if (m->ran && m->ask->way == ASK_PRECOPY && !m->switched && m->step < MEMORY_RESUMING)
        memory_fail(w, reason);
}

static void note_migration(struct worker *w, const char *status)
{
    if (memory_writes(&w->memory) && str_eq(status, "completed"))
        memory_written(w);
    else if (memory_writes(&w->memory) && (str_eq(status, "failed") || str_eq(status, "cancelled")))
        memory_look_again(w); /* it says why */
}

/* Whether a guest that stops now does so for this. */
static bool stops_it(const struct memory *m)
{
    return m->step == MEMORY_STOPPING ||
           (m->step == MEMORY_STREAMING && m->ran && m->ask->way == ASK_PRECOPY);
}

static bool on_stop(struct memory *m)
{
    if (m->nudging)
        return true;
    if (m->own_stop) {
        m->own_stop = m->ran = false;
        return false;
    }
    if (!stops_it(m))
        return false;
    m->hidden = true;
    m->since_us = clock_mono_us();
    return true;
}

static bool on_resume(struct memory *m)
{
    if (m->hidden)
        memory_runs_again(m);
    else if (!m->nudging)
        return false;
    m->own_stop = false;
    return true;
}

bool memory_event(struct worker *w, const char *name, const json_t *data)
{
    struct memory *m = &w->memory;

    if (memory_is_busy(w) && str_starts(name, "MIGRATION")) {
        note_migration(w, json_get_text(data, "status"));
        return true;
    }
    if (str_eq(name, "STOP"))
        return (memory_is_busy(w) || m->nudging) && on_stop(m);
    if (str_eq(name, "RESUME"))
        return (memory_is_busy(w) || m->nudging) && on_resume(m);
    if (!memory_is_busy(w) || !is_reason_to_stop(name, data))
        return false;
    m->own_stop = true;
    if (str_eq(name, "GUEST_PANICKED"))
        has_ended(w, "the guest panicked");
    else if (str_eq(name, "SHUTDOWN") && json_get_bool(data, "guest", false))
        has_ended(w, "the guest powered off");
    return false;
}

bool memory_allows(const struct worker *w, const char *command, struct err *err)
{
    static const char *const starts[] = {"job-", "block", "device_", "transaction",
                                         "cont", "stop",  "migrate", "system_reset"};
    const struct memory *m = &w->memory;
    bool runs_on = m->ran && m->ask && m->ask->way != ASK_STILL &&
                   (m->step == MEMORY_FLUSHING ||
                    (m->step == MEMORY_STREAMING && m->ask->way == ASK_BACKGROUND));

    if (!memory_is_busy(w) || runs_on)
        return true;
    for (unsigned i = 0; i < ARRAY_LEN(starts); i++)
        if (str_starts(command, starts[i]))
            return err_set(err, ERR_BUSY, "the VM's memory is being written: try again later");
    return true;
}

/* ---- time ---- */

static void ignore_answer(struct worker *w, const struct request *from, const json_t *answer)
{
}

int64_t memory_tick(struct worker *w, int64_t now_ms)
{
    struct memory *m = &w->memory;
    struct err err = {0};
    char reason[100];

    if (m->step == MEMORY_SETTLING && now_ms >= m->look_ms)
        memory_settle(w);
    if (m->step == MEMORY_SETTLING)
        return m->look_ms;
    if (!memory_writes(m))
        return INT64_MAX;
    if (m->step == MEMORY_STREAMING && now_ms - m->moved_ms >= MEMORY_STALL_MS) {
        snprintf(reason, sizeof reason,
                 "nobody took QEMU's memory for %d s: vmmd-split hangs, or its disk does",
                 MEMORY_STALL_MS / 1000);
        memory_fail(w, reason);
    }
    if (m->step == MEMORY_STREAMING && now_ms >= m->converge_ms) {
        log_info("the guest changes its memory faster than it is copied: it waits for the rest");
        m->converge_ms = INT64_MAX;
        err_ignore(qmp_execute(w, "stop", NULL, ignore_answer, &err), &err);
    }
    if (memory_writes(m) && now_ms >= m->look_ms)
        memory_look_again(w);
    return memory_writes(m) ? m->look_ms : INT64_MAX;
}
