/* The worker's one loop: waits for everything at once and hands each thing to its part. */
#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/str.h"
#include "vmmd/worker/worker.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define ALONE_MS 30000 /* a worker that nobody asked to launch anything leaves after this */

enum slot {
    SLOT_SIGNAL,
    SLOT_JAIL,
    SLOT_INIT,
    SLOT_QMP,
    SLOT_WORDS,
    SLOT_RECORD,
    SLOT_SPLIT,
    SLOT_NET,
    SLOT_SERIAL,
    SLOT_CONV = SLOT_SERIAL + WORKER_SERIALS,
    SLOT_LISTEN = SLOT_CONV + CONV_MAX, /* last: it may reuse a conversation's place */
    SLOT_COUNT
};

static struct pollfd wanted_serial(const struct worker *w, unsigned port)
{
    return (struct pollfd){.fd = w->serial[port].sock, .events = serial_wants(w, port)};
}

static struct pollfd wanted_conv(const struct conv *c)
{
    bool unsent = c->sock >= 0 && c->sent < c->out.len;

    return (struct pollfd){.fd = c->sock, .events = unsent ? POLLIN | POLLOUT : POLLIN};
}

static struct pollfd wanted(const struct worker *w, enum slot slot)
{
    switch (slot) {
    case SLOT_SIGNAL:
        return (struct pollfd){.fd = w->signals, .events = POLLIN};
    case SLOT_JAIL:
        return (struct pollfd){.fd = w->jail.sock, .events = POLLIN};
    case SLOT_INIT: /* only once the socket is drained: the status lies in it */
        return (struct pollfd){.fd = w->ending.jail_closed ? w->jail.init_pidfd : -1,
                               .events = POLLIN};
    case SLOT_QMP:
        return (struct pollfd){.fd = w->qmp.sock, .events = qmp_wants(w)};
    case SLOT_WORDS:
        return (struct pollfd){.fd = w->words.pipe, .events = POLLIN};
    case SLOT_RECORD:
        return (struct pollfd){.fd = w->recorder.wake, .events = POLLIN};
    case SLOT_SPLIT:
        return (struct pollfd){.fd = w->split.report, .events = POLLIN};
    case SLOT_NET:
        return (struct pollfd){.fd = w->net.sock, .events = POLLIN};
    case SLOT_LISTEN:
        return (struct pollfd){.fd = w->listen, .events = POLLIN};
    default:
        return slot < SLOT_CONV ? wanted_serial(w, slot - SLOT_SERIAL)
                                : wanted_conv(&w->daemon.convs[slot - SLOT_CONV]);
    }
}

/* SIGCHLD: the jail and vmmd-net may be our children. SIGTERM: somebody wants the VM gone. */
static void take_signal(struct worker *w)
{
    struct signalfd_siginfo info;
    const struct request nobody = {0};
    struct err err = {0};

    if (read(w->signals, &info, sizeof info) != sizeof info)
        return;
    if (info.ssi_signo == SIGCHLD) {
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
    } else {
        log_warn("signal %u: the VM ends", info.ssi_signo);
        err_ignore(ending_kill(w, &nobody, &err), &err);
    }
}

static void dispatch(struct worker *w, enum slot slot, short revents)
{
    switch (slot) {
    case SLOT_SIGNAL:
        take_signal(w);
        break;
    case SLOT_JAIL:
        jail_link_ready(w);
        break;
    case SLOT_INIT:
        ending_init_gone(w);
        break;
    case SLOT_QMP:
        qmp_ready(w, revents);
        break;
    case SLOT_WORDS:
        words_ready(w);
        break;
    case SLOT_RECORD:
        recorder_ready(w);
        break;
    case SLOT_SPLIT:
        split_ready(w);
        break;
    case SLOT_NET:
        net_link_ready(w);
        break;
    case SLOT_LISTEN:
        daemon_accept(w);
        break;
    default:
        if (slot < SLOT_CONV)
            serial_ready(w, slot - SLOT_SERIAL, revents);
        else
            daemon_ready(w, slot - SLOT_CONV, revents);
    }
}

/* A worker whose daemon died before LAUNCH has no purpose. */
static int64_t idle_tick(struct worker *w, int64_t now_ms)
{
    int64_t by = w->daemon.alone_since_ms + ALONE_MS;

    if (w->phase != WORKER_IDLE || w->daemon.current)
        return INT64_MAX;
    if (now_ms < by)
        return by;
    log_info("nobody wants this worker: it leaves");
    w->leave = true;
    return now_ms;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Lets every part look at its clock; returns how long poll() may wait, -1 for ever. */
static int tick(struct worker *w)
{
    int64_t now = clock_mono_ms(), next;

    next = daemon_sweep(w, now);
    next = least(next, serial_tick(w, now));
    next = least(next, launch_tick(w, now));
    next = least(next, ending_tick(w, now));
    next = least(next, pivot_tick(w, now));
    next = least(next, memory_tick(w, now));
    next = least(next, qmp_tick(w, now));
    next = least(next, idle_tick(w, now));
    return next == INT64_MAX ? -1 : next <= now ? 0 : (int)(next - now);
}

void loop_run(struct worker *w)
{
    struct pollfd polls[SLOT_COUNT];

    for (;;) {
        int timeout = tick(w);
        if (w->leave)
            return;
        for (enum slot s = 0; s < SLOT_COUNT; s++)
            polls[s] = wanted(w, s);
        if (poll(polls, SLOT_COUNT, timeout) < 0 && errno != EINTR) {
            log_error("poll failed: the worker ends, and with it the VM");
            return;
        }
        for (enum slot s = 0; s < SLOT_COUNT && !w->leave; s++)
            if (polls[s].revents && polls[s].fd == wanted(w, s).fd)
                dispatch(w, s, polls[s].revents);
    }
}

void status_set(struct worker *w, const char *status)
{
    char copy[sizeof w->status]; /* 'status' may be w->status itself */

    str_copy(copy, sizeof copy, status);
    memcpy(w->status, copy, sizeof copy);
}

static void status_done(struct worker *w, const struct request *from, const json_t *answer)
{
    const char *status = json_get_text(json_object_get(answer, "return"), "status");

    if (status)
        status_set(w, status);
}

void status_refresh(struct worker *w)
{
    qmp_command(w, "query-status", status_done);
}
