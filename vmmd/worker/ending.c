/* The end of a VM: see ending.h.
 *
 * Theory of operation. QEMU's end is known for certain when the pidfd of the jail's init fires: the
 * kernel reports the end of a namespace's init only after the namespace's last process is gone,
 * whoever was killed. Only then is the record published, so that its existence means "nothing of
 * this VM runs".
 *
 *   QEMU exits ─► JAIL_EXITED(status) ─┐
 *   init is killed ────────────────────┴► socket closes ─► pidfd fires ─► record, event, leave
 *
 * A kill goes through three stages, each with its time: quit, so that what QEMU holds of the
 * guest's writes gets to the disks; SIGKILL by init; the lifeline.
 */
#include "vmmd/worker/ending.h"

#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "vmmd/worker/worker.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define QUIT_MS  10000 /* QEMU flushes its images when it quits */
#define KILL_MS  5000
#define ASK_MS   1000 /* for a QEMU that is killed: it needs some 20 ms if its disks answer */
#define FLUSH_MS 1000

#define LAST_PIECES 64 /* all that a socket holds, of a QEMU that has not told too much before */

/* The answer to quit may come or not: QEMU's end says the rest. */
static void quit_done(struct worker *w, const struct request *from, const json_t *answer)
{
}

static void quit_if_wanted(struct worker *w)
{
    if (!policy_wants_quit(&w->policy) || w->ending.force_by_ms || memory_is_busy(w))
        return;
    qmp_command(w, "quit", quit_done);
    w->ending.force_by_ms = clock_mono_ms() + QUIT_MS;
}

void ending_qemu_event(struct worker *w, const char *name, const json_t *data)
{
    bool is_state = policy_is_state(&w->policy, name, data);
    bool wanted = flood_takes(&w->flood, is_state, clock_mono_ms());

    policy_event(&w->policy, name, data);
    status_set(w, policy_status(name, w->status));
    if (wanted && (w->policy.panicked || str_eq(name, "WATCHDOG")))
        serial_catch_up(w);
    if (wanted)
        events_add(w, name, data);
    if (wanted && policy_changes_status(name) && w->qmp.up)
        status_refresh(w);
    quit_if_wanted(w);
}

void ending_expect(struct worker *w)
{
    if (!w->ending.force_by_ms && !w->ending.jail_closed)
        w->ending.force_by_ms = clock_mono_ms() + KILL_MS;
}

void ending_force(struct worker *w)
{
    if (w->ending.jail_closed && w->jail.init_pidfd < 0)
        ending_init_gone(w); /* it was gone before anything ran */
    if (w->ending.cut_by_ms || w->ending.jail_closed)
        return;
    if (w->jail.init_pidfd >= 0)
        jail_link_kill(w);
    else
        jail_link_cut(w); /* nothing runs yet whose status could be reported */
    w->ending.cut_by_ms = clock_mono_ms() + KILL_MS;
}

void ending_distrust(struct worker *w, const char *why)
{
    struct err err = {0};

    log_error("%s: the VM ends", why);
    w->policy.distrusted = why;
    if (w->phase == WORKER_LAUNCHING) {
        err_set(&err, ERR_HYPERVISOR, "%s", why);
        launch_abort(w, &err);
    } else {
        ending_force(w);
    }
}

/* Not while its files change: there a QEMU that goes on is a danger. False: it must be forced. */
static bool ask_to_quit(struct worker *w)
{
    struct ending *e = &w->ending;
    struct err err = {0};

    if (w->phase != WORKER_READY || !w->qmp.up || e->cut_by_ms || e->jail_closed ||
        w->pivot.step != PIVOT_IDLE || w->pivot.doubt)
        return false;
    if (!FAILPOINT_AROUND("worker.quit", qmp_execute(w, "quit", NULL, quit_done, &err), &err))
        return false;
    e->force_by_ms = clock_mono_ms() + ASK_MS;
    return true;
}

bool ending_kill(struct worker *w, const struct request *from, struct err *err)
{
    if (w->ending.n_waiting == ENDING_MAX_WAITING)
        return err_set(err, ERR_BUSY, "the VM is being killed already");
    w->ending.waiting[w->ending.n_waiting++] = *from;
    w->policy.killed = true;
    if (!ask_to_quit(w))
        ending_force(w);
    return true;
}

void ending_hold(struct worker *w, bool on)
{
    w->policy.held = on;
    quit_if_wanted(w);
}

void ending_status(struct worker *w, int wstatus)
{
    w->ending.wstatus = wstatus;
}

void ending_jail_closed(struct worker *w)
{
    w->ending.jail_closed = true;
    if (w->phase == WORKER_IDLE && !w->policy.killed)
        return; /* a LAUNCH will be told why */
    if (w->jail.init_pidfd < 0)
        ending_init_gone(w);
}

static json_t *make_record(struct worker *w)
{
    enum worker_cause cause = policy_cause(&w->policy, w->ending.wstatus);
    json_t *record = json_object();
    char words[WORDS_TAIL + 1];

    words_text(w, words);
    json_put_text(record, "boot_id", w->boot_id);
    json_put_text(record, "cause", policy_cause_slug(cause));
    json_put(record, "wstatus", json_integer(w->ending.wstatus));
    json_put_text(record, "qemu_log", words);
    json_put_u64(record, "at", (uint64_t)clock_wall_ms());
    if (w->policy.launch_failed)
        json_put_text(record, "detail", w->launch.why.detail);
    else if (w->policy.distrusted)
        json_put_text(record, "detail", w->policy.distrusted);
    return record;
}

static void publish(struct worker *w, const json_t *record)
{
    CLEANUP(mem_freep) char *text = json_write(record);
    struct err err = {0};

    if (!FAILPOINT_AROUND("worker.record",
                          fs_publish(w->dir, WORKER_EXIT, text, strlen(text), 0600, &err), &err))
        log_error("the exit record cannot be written: %s", err.detail);
}

static void answer_kills(struct worker *w)
{
    for (unsigned i = 0; i < w->ending.n_waiting; i++)
        daemon_reply(w, &w->ending.waiting[i], "{}");
    w->ending.n_waiting = 0;
}

/* They count, though QEMU's end was seen first; so they are all there already. */
static void hear_last_words(struct worker *w)
{
    for (unsigned i = 0; i < LAST_PIECES && w->qmp.sock >= 0; i++)
        qmp_ready(w, POLLIN);
}

void ending_init_gone(struct worker *w)
{
    CLEANUP(json_decrefp) json_t *record = NULL;
    bool was_launching = w->phase == WORKER_LAUNCHING;

    closep(&w->jail.init_pidfd);
    closep(&w->jail.qemu_pidfd);
    hear_last_words(w);
    if (w->phase == WORKER_EXITED)
        return; /* they were none, for which it was ended */
    qmp_close(w);
    serial_close(w);
    words_close(w);
    pivot_qemu_gone(w);
    memory_qemu_gone(w);
    recorder_close(w);
    w->policy.no_memory = oom_struck(&w->oom);
    w->policy.memory_limit = oom_was_limit(&w->oom);
    oom_close(&w->oom);
    w->policy.launch_failed = was_launching && !w->policy.killed;
    if (was_launching)
        launch_answer_failure(w);
    record = make_record(w);
    w->phase = WORKER_EXITED;
    publish(w, record);
    answer_kills(w);
    events_add(w, "WORKER_EXITED", record);
    log_info("QEMU is gone: %s", json_get_text(record, "cause"));
    unlinkat(w->dir, WORKER_SOCK, 0);
    daemon_flush(w, FLUSH_MS);
    w->leave = true;
}

int64_t ending_tick(struct worker *w, int64_t now_ms)
{
    struct ending *e = &w->ending;

    if (e->jail_closed)
        return INT64_MAX;
    if (e->cut_by_ms) {
        if (now_ms < e->cut_by_ms)
            return e->cut_by_ms;
        log_error("QEMU does not end: the jail is cut off");
        e->cut_by_ms = INT64_MAX;
        jail_link_cut(w);
    } else if (e->force_by_ms) {
        if (now_ms < e->force_by_ms)
            return e->force_by_ms;
        ending_force(w);
        return e->cut_by_ms;
    }
    return INT64_MAX;
}
