/* Launching QEMU: see launch.h.
 *
 *   LAUNCH ─► JAIL_RUN ─► (QEMU's greeting, capabilities) ─► JAIL_SEAL, passt ─► SEALED ─► answer
 *
 * passt comes late so that it does not take a processor from QEMU while the client waits: its
 * socket pair is there from the start, and no guest sends anything before the answer.
 *
 * The jail is sealed only when QMP answers: QEMU has opened its firmware and modules by then, and
 * afterwards there is nothing left to open. Our copies of the descriptors are closed as soon as the
 * jail has them: a lock on an image belongs to the open file, and must end with QEMU. */
#include "vmmd/worker/launch.h"

#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/sock.h"
#include "core/base/str.h"
#include "vmmd/worker/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* The pairs between us (or passt) and QEMU. */
struct wires {
    /* [0]: our end, [1]: QEMU's; -1 when there is none */
    int qmp[2], passt[2], words[2], serial[WORKER_SERIALS][2];
};

static void no_wires(struct wires *s)
{
    for (int *fd = (int *)s; fd < (int *)(s + 1); fd++)
        *fd = -1;
}

static void close_wires(struct wires *s)
{
    for (int *fd = (int *)s; fd < (int *)(s + 1); fd++)
        closep(fd);
}

static bool stay_ready(int fd, struct err *err)
{
    return fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0 ||
           err_errno(err, errno, "make a socket non-blocking");
}

static bool make_wires(const struct spec *spec, struct wires *s, struct err *err)
{
    if (!sock_pair(SOCK_STREAM, s->qmp, err) || !stay_ready(s->qmp[0], err))
        return false;
    for (unsigned i = 0; i < WORKER_SERIALS; i++)
        if (spec->has_serial[i] &&
            (!sock_pair(SOCK_STREAM, s->serial[i], err) || !stay_ready(s->serial[i][0], err)))
            return false;
    if (spec->has_passt && !sock_pair(SOCK_STREAM, s->passt, err))
        return false;
    if (pipe2(s->words, O_CLOEXEC) < 0)
        return err_errno(err, errno, "make a pipe");
    return stay_ready(s->words[0], err);
}

/* What passt needs when its time comes. */
struct passt_plan {
    struct spec *spec; /* owned: its options */
    int sock, words;   /* owned */
};

static void passt_plan_free(struct worker *w)
{
    struct passt_plan *p = TAKE(w->launch.passt);

    if (!p)
        return;
    closep(&p->sock);
    closep(&p->words);
    spec_freep(&p->spec);
    free(p);
}

/* Keeps passt's ends; the spec is taken. */
static void passt_plan(struct worker *w, struct spec **spec, struct wires *s)
{
    struct passt_plan *p;

    if (!(*spec)->has_passt)
        return;
    p = mem_alloc(sizeof *p);
    *p = (struct passt_plan){TAKE(*spec), TAKE_FD(s->passt[0]), TAKE_FD(s->words[1])};
    w->launch.passt = p;
}

static bool start_passt(struct worker *w, struct err *err)
{
    const struct passt_plan *p = w->launch.passt;
    bool ok;

    if (!p)
        return true;
    ok = net_link_run(w, p->spec, p->sock, p->words, err);
    passt_plan_free(w);
    return ok;
}

static int take_log(struct frame *f, int index)
{
    return index < 0 ? -1 : TAKE_FD(f->fds[index]);
}

/* Its memory is a private copy of an image until it ends. */
static bool begins_with_image(const struct spec *spec)
{
    for (unsigned i = 0; i < spec->n_args; i++)
        if (str_starts(spec->argv[i], "{\"qom-type\":\"memory-backend-file\""))
            return true;
    return false;
}

static bool start(struct worker *w, const struct spec *spec, struct frame *f, struct wires *s,
                  struct err *err)
{
    struct jail_ends ends = {0};

    w->from_image = begins_with_image(spec);
    if (!make_wires(spec, s, err))
        return false;
    for (unsigned i = 0; i < WORKER_SERIALS; i++) {
        if (!serial_open(w, i, TAKE_FD(s->serial[i][0]), take_log(f, spec->serial_logs[i]), err))
            return false;
        ends.serial[i] = s->serial[i][1];
    }
    words_open(w, TAKE_FD(s->words[0]), take_log(f, spec->qemu_log));
    if (!recorder_open(w, take_log(f, spec->commit_log), err))
        return false;
    ends.qmp = s->qmp[1];
    ends.passt = s->passt[1];
    ends.words = s->words[1];
    if (!FAILPOINT("worker.run", err) || !jail_link_run(w, spec, f->fds, &ends, err))
        return false;
    qmp_open(w, TAKE_FD(s->qmp[0]));
    return true;
}

/* Back to idle: nothing has been executed in the jail. */
static void undo(struct worker *w)
{
    serial_close(w);
    words_close(w);
    recorder_close(w);
}

bool launch_begin(struct worker *w, const struct request *from, struct frame *f, struct err *err)
{
    CLEANUP(spec_freep) struct spec *spec = NULL;
    CLEANUP(close_wires) struct wires wires;

    no_wires(&wires);
    if (w->phase != WORKER_IDLE)
        return err_set(err, ERR_WRONG_STATE, "this worker has started its VM already");
    if (w->jail.sock < 0 && w->launch.why.code) {
        *err = w->launch.why;
        return false;
    }
    spec = spec_read(f->payload, f->head.length, f->head.n_fds, err);
    if (!spec || !net_link_check(w, spec, err))
        return false;
    if (!start(w, spec, f, &wires, err)) {
        undo(w);
        return false;
    }
    w->phase = WORKER_LAUNCHING;
    w->launch = (struct launch){.from = *from, .deadline_ms = clock_mono_ms() + WORKER_SEAL_MS};
    passt_plan(w, &spec, &wires);
    return true;
}

void launch_qmp_is_up(struct worker *w)
{
    struct err err = {0};

    if (w->phase == WORKER_LAUNCHING &&
        (!FAILPOINT_AROUND("worker.seal", jail_link_seal(w, &err), &err) || !start_passt(w, &err)))
        launch_abort(w, &err);
}

void launch_sealed(struct worker *w)
{
    CLEANUP(mem_freep) char *text = NULL;

    /* The jail may have sealed before it noticed that the launch was called off. */
    if (w->phase != WORKER_LAUNCHING || w->launch.why.code)
        return;
    w->phase = WORKER_READY;
    if (!w->status[0])
        /* it is started with -S; its own answer follows */
        status_set(w, w->from_image ? "inmigrate" : "prelaunch");
    status_refresh(w);
    text = str_format("{\"qemu_pid\":%d,\"memory_limited\":%s}", (int)w->jail.qemu_pid,
                      w->oom.limited ? "true" : "false");
    daemon_reply(w, &w->launch.from, text);
    w->launch.from = (struct request){0};
}

void launch_abort(struct worker *w, const struct err *why)
{
    if (w->phase != WORKER_LAUNCHING)
        return;
    if (!w->launch.why.code)
        w->launch.why = *why;
    passt_plan_free(w);
    jail_link_cut(w);
}

/* QEMU's own words, or how it ended when it said nothing. */
static void explain(const struct worker *w, struct err *err)
{
    char words[WORDS_TAIL + 1];
    size_t len;

    words_text(w, words);
    len = strlen(words);
    if (len)
        err_set(err, ERR_HYPERVISOR, "QEMU did not start: %s", words + (len > 360 ? len - 360 : 0));
    else if (WIFSIGNALED(w->ending.wstatus))
        err_set(err, ERR_HYPERVISOR, "QEMU was ended by signal %d while it started",
                WTERMSIG(w->ending.wstatus));
    else
        err_set(err, ERR_HYPERVISOR, "QEMU ended with status %d while it started",
                WEXITSTATUS(w->ending.wstatus));
}

void launch_answer_failure(struct worker *w)
{
    struct err err = w->launch.why;

    if (w->policy.killed)
        err_set(&err, ERR_CANCELLED, "the start was cancelled");
    else if (!err.code)
        explain(w, &err);
    log_warn("launch failed: %s", err.detail);
    daemon_fail(w, &w->launch.from, &err);
    passt_plan_free(w);
    w->launch.from = (struct request){0};
    w->launch.why = err;
}

int64_t launch_tick(struct worker *w, int64_t now_ms)
{
    struct err err = {0};

    if (w->phase != WORKER_LAUNCHING || w->launch.why.code)
        return INT64_MAX;
    if (now_ms < w->launch.deadline_ms)
        return w->launch.deadline_ms;
    err_set(&err, ERR_TIMEOUT, "QEMU did not answer within %d s", WORKER_SEAL_MS / 1000);
    launch_abort(w, &err);
    return INT64_MAX;
}
