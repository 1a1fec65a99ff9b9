/* The worker's requests: see requests.h. */
#include "vmmd/worker/requests.h"

#include "core/base/failpoint.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "vmmd/worker/rules.h"
#include "vmmd/worker/worker.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

static void reply(struct worker *w, const struct request *to, const json_t *body)
{
    CLEANUP(mem_freep) char *text = json_write(body);

    daemon_reply(w, to, text);
}

static void reply_empty(struct worker *w, const struct request *to)
{
    daemon_reply(w, to, "{}");
}

/* The frame's payload as an object, owned by the caller. */
static json_t *read_object(const struct frame *f, struct err *err)
{
    json_t *value = json_read(f->payload, f->head.length, err);

    if (!value || json_is_object(value))
        return value;
    json_decref(value);
    err_set(err, ERR_INVALID, "the request is no object");
    return NULL;
}

static const char *phase_name(enum worker_phase phase)
{
    static const char *const names[] = {
#define X(name) #name,
        WORKER_PHASES(X)
#undef X
    };

    return names[phase];
}

static json_t *describe(const struct worker *w)
{
    json_t *body = json_object();

    json_put_u64(body, "version", WORKER_VERSION);
    json_put_text(body, "vm", w->vm);
    json_put_u64(body, "pid", (uint64_t)getpid());
    json_put_u64(body, "qemu_pid", (uint64_t)w->jail.qemu_pid);
    json_put_text(body, "phase", phase_name(w->phase));
    json_put_text(body, "status", w->pivot.doubt ? "io-error" : w->status);
    json_put_u64(body, "events", w->events.last);
    json_put_u64(body, "serial_end", w->serial[0].end);
    json_put_bool(body, "held", w->policy.held);
    json_put_bool(body, "commit_log", w->recorder.log >= 0);
    json_put_bool(body, "pivoting", w->pivot.ask != NULL);
    json_put_bool(body, "memory", w->split.program >= 0);
    json_put_bool(body, "memory_limited", w->oom.limited);
    json_put_text(body, "memory_image", w->memory.ask ? UUID_STR(&w->memory.ask->image) : NULL);
    return body;
}

static bool handle_hello(struct worker *w, const struct request *from, struct frame *f,
                         struct err *err)
{
    CLEANUP(json_decrefp) json_t *ask = read_object(f, err);
    CLEANUP(json_decrefp) json_t *body = NULL;

    if (!ask)
        return false;
    if (json_get_u64(ask, "min", UINT64_MAX) > WORKER_VERSION ||
        json_get_u64(ask, "max", 0) < WORKER_VERSION)
        return err_set(err, ERR_UNSUPPORTED, "this worker speaks version %d only", WORKER_VERSION);
    if (!daemon_take_over(w, from->conv, f->head.epoch, err))
        return false;
    body = describe(w);
    reply(w, from, body);
    events_replay(w, json_get_u64(ask, "events_after", 0));
    return true;
}

static bool handle_qmp(struct worker *w, const struct request *from, struct frame *f,
                       struct err *err)
{
    CLEANUP(json_decrefp) json_t *request = read_object(f, err);
    const char *command;

    if (!request || !rules_check(request, &command, err) || !pivot_allows(w, command, err) ||
        !memory_allows(w, command, err) || !FAILPOINT("worker.qmp", err) ||
        !qmp_forward(w, from, request, f, err))
        return false;
    w->policy.quit |= strcmp(command, "quit") == 0;
    return true;
}

static bool input(struct worker *w, const struct request *from, unsigned port, const char *data,
                  size_t len, struct err *err)
{
    char text[64];

    if (!serial_input(w, port, data, len, err))
        return false;
    snprintf(text, sizeof text, "{\"serial_end\":%" PRIu64 "}", w->serial[port].end);
    daemon_reply(w, from, text);
    return true;
}

static bool handle_input(struct worker *w, const struct request *from, struct frame *f,
                         struct err *err)
{
    return input(w, from, 0, f->payload, f->head.length, err);
}

static bool handle_input_port(struct worker *w, const struct request *from, struct frame *f,
                              struct err *err)
{
    uint32_t port;

    if (f->head.length < sizeof port)
        return err_set(err, ERR_INVALID, "input without the number of its port");
    memcpy(&port, f->payload, sizeof port);
    return input(w, from, port, f->payload + sizeof port, f->head.length - sizeof port, err);
}

static bool handle_kill(struct worker *w, const struct request *from, struct frame *f,
                        struct err *err)
{
    return ending_kill(w, from, err);
}

static bool handle_hold(struct worker *w, const struct request *from, struct frame *f,
                        struct err *err)
{
    CLEANUP(json_decrefp) json_t *ask = read_object(f, err);

    if (!ask)
        return false;
    if (!json_is_boolean(json_object_get(ask, "on")))
        return err_set(err, ERR_INVALID, "'on' must be true or false");
    reply_empty(w, from);
    ending_hold(w, json_get_bool(ask, "on", false));
    return true;
}

static const struct {
    bool (*handle)(struct worker *w, const struct request *from, struct frame *f, struct err *err);
    bool takes_fds;
    bool needs_guest; /* only while QEMU is up and sealed */
} table[] = {
    [WORKER_HELLO] = {handle_hello, false, false},
    [WORKER_LAUNCH] = {launch_begin, true, false},
    [WORKER_QMP] = {handle_qmp, true, true},
    [WORKER_INPUT] = {handle_input, false, true},
    [WORKER_KILL] = {handle_kill, false, false},
    [WORKER_HOLD] = {handle_hold, false, false},
    [WORKER_INPUT_PORT] = {handle_input_port, false, true},
    [WORKER_PIVOT] = {pivot_begin, false, true},
    [WORKER_MEMORY] = {memory_begin, true, true},
    [WORKER_MEMORY_STATE] = {memory_tell, false, true},
    [WORKER_MEMORY_END] = {memory_end, false, true},
    [WORKER_MEMORY_LOOK] = {memory_look, false, true},
};

bool requests_handle(struct worker *w, const struct request *from, struct frame *f, struct err *err)
{
    unsigned type = f->head.type;

    if (type >= ARRAY_LEN(table) || !table[type].handle)
        return err_set(err, ERR_UNSUPPORTED, "this worker does not know request %u", type);
    if (f->head.n_fds && !table[type].takes_fds)
        return err_set(err, ERR_INVALID, "descriptors came with a request that takes none");
    if (w->phase == WORKER_EXITED)
        return err_set(err, ERR_WRONG_STATE, "QEMU is gone");
    if (table[type].needs_guest && w->phase != WORKER_READY)
        return err_set(err, ERR_WRONG_STATE, "QEMU is not up (the worker is %s)",
                       phase_name(w->phase));
    return table[type].handle(w, from, f, err);
}
