/* QEMU's monitor: see qmp.h.
 *
 *   connect ── {"QMP":…} ──► greeted ── qmp_capabilities ──► up ── end of stream ──► closed
 *
 * QEMU is not trusted (a guest may have taken it over): its lines are bounded, as is what they
 * build in memory, and a line that is not JSON ends the VM. */
#include "vmmd/worker/qmp.h"

#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/sock.h"
#include "vmmd/worker/worker.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIECE      (FLOOD_PIECE + FLOOD_STATES * FLOOD_STATE_BYTES)
#define MAX_VALUES 400000 /* in one answer */

void qmp_open(struct worker *w, int sock)
{
    w->qmp.sock = sock;
}

short qmp_wants(const struct worker *w)
{
    short wants = flood_is_deaf(&w->flood, clock_mono_ms()) ? 0 : POLLIN;

    return w->qmp.first ? wants | POLLOUT : wants;
}

int64_t qmp_tick(const struct worker *w, int64_t now_ms)
{
    return flood_is_deaf(&w->flood, now_ms) ? w->flood.deaf_until_ms : INT64_MAX;
}

static struct qmp_message *message_new(const json_t *request, const int *fds, unsigned n_fds)
{
    struct qmp_message *m = mem_alloc(sizeof *m);
    CLEANUP(mem_freep) char *text = json_write(request);

    m->text = str_format("%s\n", text);
    m->len = strlen(m->text);
    m->n_fds = n_fds;
    m->fds = n_fds ? mem_dup(fds, n_fds * sizeof *fds) : NULL;
    return m;
}

static void message_free(struct qmp_message *m)
{
    while (m->n_fds)
        close(m->fds[--m->n_fds]);
    free(m->fds);
    free(m->text);
    free(m);
}

static void drop_first(struct qmp *q)
{
    struct qmp_message *m = q->first;

    q->first = m->next;
    q->last = q->first ? q->last : NULL;
    q->queued -= m->len;
    message_free(m);
}

/* Sends a part of the first message. 1: go on, 0: QEMU does not read now, -1: it is gone. */
static int send_some(struct qmp *q)
{
    struct qmp_message *m = q->first;
    struct err err = {0};

    if (m->n_fds) { /* the first byte alone, so that a full socket cannot split fds from it */
        if (!sock_send(q->sock, m->text, 1, m->fds, m->n_fds, &err))
            return err.code == ERR_TIMEOUT ? 0 : -1;
        m->sent = 1;
        while (m->n_fds)
            close(m->fds[--m->n_fds]);
    }
    while (m->sent < m->len) {
        ssize_t n = send(q->sock, m->text + m->sent, m->len - m->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? 0 : -1;
        m->sent += (size_t)n;
    }
    drop_first(q);
    return 1;
}

static void flush(struct worker *w)
{
    int more = 1;

    while (w->qmp.first && more > 0)
        more = send_some(&w->qmp);
    if (more < 0)
        qmp_close(w);
}

/* Queues 'request' (taken) under an id of ours. */
static bool send_call(struct worker *w, json_t *request, qmp_done *done, const struct request *from,
                      int *fds, unsigned n_fds, struct err *err)
{
    CLEANUP(json_decrefp) json_t *owned = request;
    struct qmp_call *call = NULL;
    struct qmp_message *m;
    char id[48];

    for (unsigned i = 0; i < QMP_MAX_CALLS && !call; i++)
        call = w->qmp.calls[i].done ? NULL : &w->qmp.calls[i];
    if (!call || w->qmp.queued > QMP_MAX_QUEUE)
        return err_set(err, ERR_BUSY, "QEMU is too far behind with its answers");
    *call = (struct qmp_call){
        .done = done, .from = *from, .number = ++w->qmp.last_number, .epoch = w->daemon.epoch};
    snprintf(id, sizeof id, "w%" PRIu32 ".%" PRIu64, call->epoch, call->number);
    json_put_text(owned, "id", id);
    m = message_new(owned, fds, n_fds);
    *(w->qmp.last ? &w->qmp.last->next : &w->qmp.first) = m;
    w->qmp.last = m;
    w->qmp.queued += m->len;
    flush(w);
    return true;
}

bool qmp_execute_with(struct worker *w, const char *name, json_t *arguments, qmp_done *done,
                      const struct request *from, int fd, struct err *err)
{
    CLEANUP(closep) int unsent = fd;
    json_t *request = json_object();

    json_put_text(request, "execute", name);
    if (arguments)
        json_put(request, "arguments", arguments);
    if (w->qmp.sock < 0) {
        json_decref(request);
        return err_set(err, ERR_UNAVAILABLE, "QEMU is ending");
    }
    if (!send_call(w, request, done, from, &fd, fd >= 0, err))
        return false;
    unsent = -1;
    return true;
}

bool qmp_execute(struct worker *w, const char *name, json_t *arguments, qmp_done *done,
                 struct err *err)
{
    const struct request nobody = {0};

    return qmp_execute_with(w, name, arguments, done, &nobody, -1, err);
}

void qmp_command(struct worker *w, const char *name, qmp_done *done)
{
    struct err err = {0};

    err_ignore(qmp_execute(w, name, NULL, done, &err), &err);
}

static void forward_done(struct worker *w, const struct request *from, const json_t *answer)
{
    CLEANUP(mem_freep) char *text = NULL;
    const json_t *value = json_object_get(answer, "return");
    const char *why = json_get_text(json_object_get(answer, "error"), "desc");
    struct err err = {0};

    if (!value)
        err_set(&err, ERR_HYPERVISOR, "%s", why ? why : "QEMU failed without saying why");
    if (!value || !FAILPOINT("worker.qmp.done", &err)) {
        daemon_fail(w, from, &err);
        return;
    }
    text = json_write(value);
    daemon_reply(w, from, text);
}

bool qmp_forward(struct worker *w, const struct request *from, const json_t *request,
                 struct frame *f, struct err *err)
{
    if (w->qmp.sock < 0)
        return err_set(err, ERR_UNAVAILABLE, "QEMU is ending");
    if (!send_call(w, json_copy((json_t *)request), forward_done, from, f->fds, f->head.n_fds, err))
        return false;
    f->head.n_fds = 0; /* taken */
    return true;
}

static void take_answer(struct worker *w, const json_t *answer)
{
    const char *id = json_get_text(answer, "id");
    struct qmp_call call;
    char expected[48];

    for (unsigned i = 0; id && i < QMP_MAX_CALLS; i++) {
        call = w->qmp.calls[i];
        if (!call.done)
            continue;
        snprintf(expected, sizeof expected, "w%" PRIu32 ".%" PRIu64, call.epoch, call.number);
        if (strcmp(id, expected) != 0)
            continue;
        w->qmp.calls[i].done = NULL; /* first: the callback may need the place */
        call.done(w, &call.from, answer);
        return;
    }
    log_debug("QEMU answered something that nobody asked");
}

static void capabilities_done(struct worker *w, const struct request *from, const json_t *answer)
{
    if (!json_object_get(answer, "return"))
        return; /* the launch runs into its time limit */
    w->qmp.up = true;
    launch_qmp_is_up(w);
}

/* Counts what a line would build at most, so that a hostile one cannot fill the worker's memory. */
static bool is_bounded(const char *text, size_t len)
{
    size_t values = 0;

    for (size_t i = 0; i < len; i++)
        values += text[i] == ',' || text[i] == '[' || text[i] == '{';
    return values <= MAX_VALUES;
}

static void take_event(struct worker *w, const char *event, const json_t *data)
{
    if (str_starts(event, "WORKER_")) /* the worker's own, which main believes: not QEMU's to say */
        return;
    if (!pivot_event(w, event, data) && !memory_event(w, event, data))
        ending_qemu_event(w, event, data);
}

/* False when the line is not QMP. */
static bool take_line(struct worker *w, const char *text, size_t len)
{
    CLEANUP(json_decrefp)
    json_t *line =
        is_bounded(text, len) ? json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL) : NULL;
    const char *event = json_get_text(line, "event");

    if (!json_is_object(line))
        return false;
    if (event) {
        take_event(w, event, json_object_get(line, "data"));
    } else if (json_object_get(line, "QMP") && !w->qmp.greeted) {
        w->qmp.greeted = true;
        qmp_command(w, "qmp_capabilities", capabilities_done);
    } else {
        take_answer(w, line);
    }
    return true;
}

/* Handles every whole line of 'in' and keeps the rest. */
static bool take_lines(struct worker *w)
{
    struct strbuf *in = &w->qmp.in;
    size_t start = 0;
    char *end;

    while (w->qmp.sock >= 0 && in->len > w->qmp.scanned &&
           (end = memchr(in->data + w->qmp.scanned, '\n', in->len - w->qmp.scanned))) {
        size_t len = (size_t)(end - (in->data + start));
        if (!take_line(w, in->data + start, len))
            return false;
        start = w->qmp.scanned = start + len + 1;
    }
    if (w->qmp.sock < 0)
        return true;
    if (start == in->len) {
        strbuf_clear(in);
    } else {
        memmove(in->data, in->data + start, in->len - start);
        in->len -= start;
    }
    w->qmp.scanned = in->len;
    return in->len <= QMP_MAX_LINE;
}

static void receive(struct worker *w)
{
    char piece[PIECE];
    size_t most = flood_piece(&w->flood, clock_mono_ms());
    ssize_t n = recv(w->qmp.sock, piece, most, MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        qmp_close(w);
        return;
    }
    strbuf_add(&w->qmp.in, piece, (size_t)n);
    if (take_lines(w))
        return;
    qmp_close(w);
    ending_distrust(
        w, "QEMU's monitor does not speak QMP: QEMU is broken, or its guest has taken it over");
}

void qmp_ready(struct worker *w, short revents)
{
    if (revents & POLLOUT)
        flush(w);
    if (w->qmp.sock >= 0 && (revents & (POLLIN | POLLHUP | POLLERR)))
        receive(w);
}

static void fail_calls(struct worker *w)
{
    CLEANUP(json_decrefp) json_t *gone = json_pack("{s:{s:s}}", "error", "desc", "QEMU is gone");
    struct err err = {0};

    err_set(&err, ERR_UNAVAILABLE, "QEMU ended before it answered");
    for (unsigned i = 0; i < QMP_MAX_CALLS; i++) {
        struct qmp_call call = w->qmp.calls[i];
        w->qmp.calls[i].done = NULL;
        if (call.done == forward_done)
            daemon_fail(w, &call.from, &err);
        else if (call.done)
            call.done(w, &call.from, gone);
    }
}

void qmp_close(struct worker *w)
{
    if (w->qmp.sock < 0)
        return;
    close(w->qmp.sock);
    w->qmp.sock = -1;
    w->qmp.up = false;
    while (w->qmp.first)
        drop_first(&w->qmp);
    fail_calls(w);
    ending_expect(w);
}
