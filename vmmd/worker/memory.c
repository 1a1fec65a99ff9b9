/* A guest's memory into an image: see memory.h.
 *
 * The states and their order, one row a way, are in docs/memory.md ("Who does what"). A failure or
 * a cancellation: CANCELLING, as long as QEMU writes ─► RESUMING ─► OVER.
 *
 * The guest's STOP and RESUME for this are not passed on: for everybody else it runs. One that is
 * to stand still is told of when it has worked.
 *
 * QEMU 7.2 runs the guest after a background snapshot whatever it did before, and aborts when it
 * stood still for another reason than "paused": so a guest that is paused has its memory written as
 * it stands. After that its disks are inactive until "cont": it is let run and stopped in one
 * message, for less than a millisecond (nudge()).
 *
 * A splitter that hangs can make the guest's processors and with them QEMU's monitor hang: it is
 * ended first. Then the migration is cancelled, or, for a background snapshot, goes on to its end
 * into nothing (drop_rest()). Whatever QEMU says or does not say, only its own VM can be hurt. */
#include "vmmd/worker/memory.h"

#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "vmmd/worker/worker.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LOOK_MS        500 /* how often QEMU is asked how far it is */
#define SETTLE_MS      2   /* ... whether it has come to rest: the guest stands meanwhile */
#define SETTLE_AT_ONCE 20

static void call_off(struct worker *w);

void memory_init(struct worker *w)
{
    w->memory.stream = -1;
}

bool memory_is_busy(const struct worker *w)
{
    return w->memory.step != MEMORY_IDLE && w->memory.step != MEMORY_OVER;
}

void memory_forget(struct worker *w)
{
    struct memory *m = &w->memory;

    closep(&m->stream);
    mem_freep(&m->ask);
    *m = (struct memory){.stream = -1, .looking = m->looking};
}

static void say(struct memory *m, const char *fmt, ...) PRINTF(2, 3);
static void say(struct memory *m, const char *fmt, ...)
{
    va_list args;

    if (m->error[0])
        return; /* the first reason is the one */
    va_start(args, fmt);
    vsnprintf(m->error, sizeof m->error, fmt, args);
    va_end(args);
}

/* ---- commands to QEMU ---- */

static bool is_ok(const json_t *answer)
{
    return json_object_get(answer, "return") != NULL;
}

static const char *why(const json_t *answer)
{
    const char *text = json_get_text(json_object_get(answer, "error"), "desc");

    return text ? text : "it does not say why";
}

static void ignore_answer(struct worker *w, const struct request *from, const json_t *answer)
{
}

static void tell(struct worker *w, const char *command, json_t *arguments)
{
    struct err err = {0};

    err_ignore(qmp_execute(w, command, arguments, ignore_answer, &err), &err);
}

/* The next step's command; what cannot be sent is a failure like any other. */
static void ask(struct worker *w, enum memory_step step, const char *command, json_t *arguments,
                qmp_done *done)
{
    struct err err = {0};

    w->memory.step = step;
    if (qmp_execute(w, command, arguments, done, &err))
        return;
    say(&w->memory, "%.200s", err.detail);
    call_off(w);
}

/* ---- the end ---- */

static void clean_up(struct worker *w)
{
    if (w->qmp.sock >= 0) { /* a later migration inherits nothing */
        tell(w, "migrate-set-capabilities", memory_capabilities(false, false));
        tell(w, "closefd", json_pack("{s:s}", "fdname", "memory")); /* or the migration has it */
    }
    split_kill(w);
    closep(&w->memory.stream);
}

/* The event first: who has asked and heard that it is over need not wait for it. */
static void finish(struct worker *w)
{
    struct memory *m = &w->memory;
    CLEANUP(json_decrefp) json_t *body = NULL;

    m->well = !m->error[0];
    clean_up(w);
    m->step = MEMORY_OVER;
    m->done = m->well ? m->total : m->done;
    body = memory_describe(w);
    log_info("the memory image: %s after a pause of %llu us", m->well ? "complete" : m->error,
             (unsigned long long)m->pause_us);
    events_add(w, "WORKER_MEMORY_ENDED", body);
    if (m->hidden && w->qmp.sock >= 0) { /* it stands, and is to: it is told after all */
        m->hidden = false;
        ending_qemu_event(w, "STOP", NULL);
    }
    ending_hold(w, w->policy.held);
}

/* Not before the splitter is through, unless it has failed. */
static void flush(struct worker *w)
{
    struct err err = {0};

    w->memory.step = MEMORY_FLUSHING;
    if (!FAILPOINT("worker.memory.flush", &err))
        say(&w->memory, "%.200s", err.detail);
    if (w->memory.error[0])
        memory_resume(w); /* one that was to stand still */
    else if (w->memory.said)
        finish(w);
}

void memory_guest_is_back(struct worker *w)
{
    if (w->memory.error[0])
        finish(w);
    else
        flush(w);
}

/* ---- calling it off ---- */

/* QEMU 7.2 lets go of the guest's memory only when a background snapshot ends well: one that is
 * cancelled, or whose stream breaks, leaves it write-protected, and the guest hangs at its next
 * write. So the rest is dropped, as fast as QEMU writes. */
static void drop_rest(struct worker *w)
{
    struct err err = {0};

    if (split_drop(w, &err))
        return;
    log_error("the guest may hang: the rest of its memory could not be dropped: %s", err.detail);
    split_kill(w);
    tell(w, "migrate_cancel", NULL);
}

static void call_off(struct worker *w)
{
    if (!w->memory.migrating) {
        split_kill(w);
        memory_resume(w);
        return;
    }
    w->memory.step = MEMORY_CANCELLING;
    if (w->memory.tracks) {
        drop_rest(w);
    } else {
        split_kill(w);
        tell(w, "migrate_cancel", NULL);
    }
    memory_look_again(w);
}

/* Something has gone wrong, and say() knows what. In the middle of a command its answer is waited
 * for. */
static void on_trouble(struct worker *w)
{
    struct memory *m = &w->memory;
    enum memory_step step = m->step;

    if (w->qmp.sock < 0)
        memory_qemu_gone(w);
    else if (step == MEMORY_FLUSHING)
        memory_resume(w);
    else if (step == MEMORY_STREAMING)
        call_off(w);
}

void memory_fail(struct worker *w, const char *reason)
{
    say(&w->memory, "%.200s", reason);
    on_trouble(w);
}

void memory_split_over(struct worker *w, const struct split_report *said)
{
    struct memory *m = &w->memory;

    if (!memory_is_busy(w))
        return;
    m->said = said;
    if (said && said->outcome == SPLIT_DONE) {
        if (m->step == MEMORY_FLUSHING)
            finish(w);
        return;
    }
    m->no_space = said && said->outcome == SPLIT_NO_SPACE;
    say(m, "%.160s", said && said->detail[0] ? said->detail : "vmmd-split ended without a word");
    str_scrub(m->error);
    on_trouble(w);
}

/* At the beginning of each answer: true when it does not go on. */
static bool stops_here(struct worker *w, const json_t *answer, const char *what)
{
    if (!is_ok(answer))
        say(&w->memory, "%s: %.180s", what, why(answer));
    if (!w->memory.error[0])
        return false;
    call_off(w);
    return true;
}

static bool passes(struct worker *w, bool passed, const struct err *err)
{
    if (passed)
        return true;
    say(&w->memory, "%.200s", err->detail);
    call_off(w);
    return false;
}

/* ---- the migration ---- */

static void started(struct worker *w, const struct request *from, const json_t *answer)
{
    struct memory *m = &w->memory;

    if (m->step != MEMORY_STARTING)
        return;
    m->migrating = is_ok(answer);
    if (stops_here(w, answer, "QEMU does not write its memory"))
        return;
    m->still = !m->ran || m->ask->way == ASK_STILL || m->ask->way == ASK_PAUSE;
    m->step = MEMORY_STREAMING;
    m->moved_ms = clock_mono_ms();
    m->look_ms = m->moved_ms + LOOK_MS;
    m->converge_ms =
        m->ran && m->ask->way == ASK_PRECOPY ? m->moved_ms + MEMORY_CONVERGE_MS : INT64_MAX;
}

static void start(struct worker *w)
{
    struct err err = {0};

    if (passes(w, FAILPOINT("worker.memory.stream", &err), &err))
        ask(w, MEMORY_STARTING, "migrate", json_pack("{s:s}", "uri", "fd:memory"), started);
}

/* ---- the switch ---- */

static void switched(struct worker *w, const struct request *from, const json_t *answer)
{
    struct memory *m = &w->memory;

    if (m->step != MEMORY_SWITCHING)
        return;
    m->switched = is_ok(answer);
    if (stops_here(w, answer, "the disks do not switch"))
        return;
    m->past_switch = true;
    if (m->settled)
        memory_resume(w);
    else
        start(w);
}

static void switch_disks(struct worker *w)
{
    struct memory *m = &w->memory;
    struct err err = {0};

    if (!passes(w, FAILPOINT("worker.memory.switch", &err), &err))
        return;
    if (m->ask->n) {
        ask(w, MEMORY_SWITCHING, "transaction", memory_transaction(m->ask), switched);
    } else {
        CLEANUP(json_decrefp) json_t *nothing_to_do = json_pack("{s:{}}", "return");
        m->step = MEMORY_SWITCHING;
        switched(w, NULL, nothing_to_do);
    }
}

static void rests(struct worker *w)
{
    struct memory *m = &w->memory;

    m->settled = true;
    if (m->error[0])
        memory_resume(w);
    else if (m->ask->way == ASK_STILL)
        flush(w);
    else if (!m->past_switch)
        switch_disks(w);
    else
        memory_resume(w);
}

static void settled(struct worker *w, const struct request *from, const json_t *answer)
{
    const char *status = json_get_text(json_object_get(answer, "return"), "status");
    struct memory *m = &w->memory;

    if (m->step != MEMORY_SETTLING || stops_here(w, answer, "QEMU does not say how it is"))
        return;
    if (str_eq(status, "postmigrate"))
        rests(w);
    else if (++m->asked < SETTLE_AT_ONCE)
        memory_settle(w);
    else
        m->look_ms = clock_mono_ms() + SETTLE_MS;
}

/* It says that it is through before it has put the guest to rest: one that was let run in between
 * would end QEMU. */
void memory_settle(struct worker *w)
{
    w->memory.look_ms = INT64_MAX;
    ask(w, MEMORY_SETTLING, "query-status", NULL, settled);
}

/* All is in the socket. */
void memory_written(struct worker *w)
{
    struct memory *m = &w->memory;

    m->migrating = false;
    m->done = m->total;
    if (m->ask->way != ASK_BACKGROUND || m->still)
        memory_settle(w);
    else if (m->error[0])
        memory_resume(w);
    else
        flush(w);
}

static void not_written(struct worker *w, const char *reason)
{
    w->memory.migrating = false;
    say(&w->memory, "QEMU could not write its memory: %.180s",
        reason ? reason : "it does not say why");
    call_off(w);
}

/* ---- how far it is ---- */

bool memory_writes(const struct memory *m)
{
    return m->step == MEMORY_STREAMING || m->step == MEMORY_CANCELLING;
}

static void note_progress(struct memory *m, const json_t *ram)
{
    uint64_t left = json_get_u64(ram, "remaining", 0), sent = json_get_u64(ram, "transferred", 0);
    uint64_t total = json_get_u64(ram, "total", m->total);
    uint64_t done = left < total ? total - left : 0;

    if (done != m->done || sent != m->transferred)
        m->moved_ms = clock_mono_ms();
    m->total = total;
    m->done = done;
    m->transferred = sent;
}

static void looked(struct worker *w, const struct request *from, const json_t *answer)
{
    const json_t *now = json_object_get(answer, "return");
    const char *status = json_get_text(now, "status");

    w->memory.looking = false;
    if (!memory_writes(&w->memory) || !now)
        return;
    if (json_object_get(now, "ram"))
        note_progress(&w->memory, json_object_get(now, "ram"));
    if (str_eq(status, "completed"))
        memory_written(w);
    else if (str_eq(status, "failed") || str_eq(status, "cancelled"))
        not_written(w, json_get_text(now, "error-desc"));
}

void memory_look_again(struct worker *w)
{
    struct err err = {0};

    w->memory.look_ms = clock_mono_ms() + LOOK_MS;
    if (!w->memory.looking)
        w->memory.looking = qmp_execute(w, "query-migrate", NULL, looked, &err);
}

/* ---- the guest stops ---- */

/* QEMU would abort when it stood still for another reason. */
static void stands(struct worker *w, const struct request *from, const json_t *answer)
{
    const char *status = json_get_text(json_object_get(answer, "return"), "status");

    if (w->memory.step != MEMORY_STOPPING)
        return;
    if (is_ok(answer) && !str_eq(status, "paused"))
        say(&w->memory, "the guest has stopped by itself meanwhile (%.40s)",
            status ? status : "it is not known why");
    if (stops_here(w, answer, "QEMU does not say how the guest is"))
        return;
    if (w->memory.ask->way == ASK_BACKGROUND)
        switch_disks(w);
    else
        start(w);
}

static void stopped(struct worker *w, const struct request *from, const json_t *answer)
{
    if (w->memory.step == MEMORY_STOPPING && !stops_here(w, answer, "QEMU does not stop the guest"))
        ask(w, MEMORY_STOPPING, "query-status", NULL, stands);
}

static void stop_guest(struct worker *w)
{
    struct memory *m = &w->memory;
    struct err err = {0};

    if (!passes(w, FAILPOINT("worker.memory.stop", &err), &err))
        return;
    m->since_us = clock_mono_us();
    if (m->ran && m->ask->way != ASK_PRECOPY)
        ask(w, MEMORY_STOPPING, "stop", NULL, stopped);
    else if (m->ran || m->ask->way == ASK_STILL)
        start(w);
    else
        switch_disks(w);
}

/* ---- preparing ---- */

static void prepare(struct worker *w);

static void prepared(struct worker *w, const struct request *from, const json_t *answer)
{
    if (w->memory.step != MEMORY_PREPARING || stops_here(w, answer, "QEMU cannot do it"))
        return;
    w->memory.prepared++;
    prepare(w);
}

static void hand_over(struct worker *w)
{
    const struct request nobody = {0};
    struct memory *m = &w->memory;
    struct err err = {0};

    if (!qmp_execute_with(w, "getfd", json_pack("{s:s}", "fdname", "memory"), prepared, &nobody,
                          TAKE_FD(m->stream), &err)) {
        say(m, "%.200s", err.detail);
        call_off(w);
    }
}

static void prepare(struct worker *w)
{
    struct memory *m = &w->memory;

    switch (m->prepared) {
    case 0:
        ask(w, MEMORY_PREPARING, "migrate-set-capabilities", memory_capabilities(m->tracks, true),
            prepared);
        break;
    case 1:
        ask(w, MEMORY_PREPARING, "migrate-set-parameters", memory_parameters(), prepared);
        break;
    case 2:
        hand_over(w);
        break;
    default:
        stop_guest(w);
    }
}

/* ---- what comes in between ---- */

void memory_qemu_gone(struct worker *w)
{
    if (!memory_is_busy(w))
        return;
    say(&w->memory, "QEMU ended in the middle of it");
    w->memory.hidden = w->memory.migrating = false; /* it is over for the guest */
    finish(w);
}

/* ---- the request ---- */

/* A guest that sleeps or has stopped for a reason of its own could not go on from its image. */
static bool can_begin(const struct worker *w, struct err *err)
{
    if (memory_is_busy(w))
        return err_set(err, ERR_BUSY, "the VM's memory is being written already");
    if (w->pivot.ask)
        return err_set(err, ERR_BUSY, "the VM's disks are being switched: try again in a moment");
    if (w->qmp.sock < 0 || w->policy.guest_off || w->policy.killed)
        return err_set(err, ERR_UNAVAILABLE, "the VM is ending");
    if (!str_eq(w->status, "running") && !str_eq(w->status, "paused"))
        return err_set(err, ERR_WRONG_STATE,
                       "the guest neither runs nor is paused (%s): let it go on first", w->status);
    return FAILPOINT("worker.memory", err);
}

bool memory_begin(struct worker *w, const struct request *from, struct frame *f, struct err *err)
{
    CLEANUP(mem_freep)
    struct memory_ask *request = memory_ask_read(f->payload, f->head.length, err);
    int stream;

    if (!request)
        return false;
    if (f->head.n_fds != 1)
        return err_set(err, ERR_INVALID, "the image's descriptor, and no other, comes along");
    if (!can_begin(w, err))
        return false;
    memory_forget(w);
    split_kill(w);
    if (!split_start(w, f->fds[0], request->ram_bytes, &stream, err))
        return false;
    w->memory.ask = TAKE(request);
    w->memory.stream = stream;
    w->memory.ran = str_eq(w->status, "running");
    w->memory.tracks = w->memory.ran && w->memory.ask->way == ASK_BACKGROUND;
    w->memory.total = w->memory.ask->ram_bytes;
    daemon_reply(w, from, "{}");
    prepare(w);
    return true;
}
