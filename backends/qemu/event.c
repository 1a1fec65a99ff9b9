/* What a machine's events mean: from QEMU's words to machine_event. Runs on the link's watcher
 * thread; machine.c and attach.c start it.
 *
 * QEMU says why before it stops: BLOCK_IO_ERROR or GUEST_PANICKED, then STOP. The reason is kept
 * until the guest runs again, since several errors may be told for one STOP. A power-off is
 * SHUTDOWN, then STOP (QEMU is told to pause then), then the worker quits QEMU: that STOP is not
 * shown, what follows is WORKER_EXITED. */
#include "backends/qemu/machine.h"

#include "backends/qemu/ended.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/str.h"
#include "core/port/host.h"

static void tell(struct machine *m, const struct machine_event *event)
{
    m->owner.event(m->owner.ctx, &m->vm, event);
}

static void tell_kind(struct machine *m, enum machine_event_kind kind, enum vm_reason reason)
{
    struct machine_event event = {.kind = kind, .reason = reason};

    tell(m, &event);
}

static void tell_ended(struct machine *m, struct machine_event *event)
{
    if (m->ended)
        return;
    m->ended = true;
    seen_forget(&m->vm);
    tell(m, event);
}

/* ---- QEMU's events ---- */

static void on_resume(struct machine *m, const json_t *data)
{
    m->stop_reason = VM_REASON_NONE;
    m->powered_off = false;
    atomic_store(&m->pausing, false);
    tell_kind(m, MACHINE_RUNNING, VM_REASON_NONE);
}

static void on_stop(struct machine *m, const json_t *data)
{
    enum vm_reason reason = m->stop_reason;

    if (m->powered_off)
        return;
    if (reason == VM_REASON_NONE && atomic_load(&m->pausing))
        reason = VM_REASON_USER;
    tell_kind(m, MACHINE_PAUSED, reason);
}

static void on_reset(struct machine *m, const json_t *data)
{
    m->powered_off = false;
    tell_kind(m, MACHINE_RESET, VM_REASON_NONE);
}

static void on_shutdown(struct machine *m, const json_t *data)
{
    m->powered_off = true;
}

static void on_panic(struct machine *m, const json_t *data)
{
    m->stop_reason = VM_REASON_GUEST_PANIC;
}

static void on_watchdog(struct machine *m, const json_t *data)
{
    if (str_eq(json_get_text(data, "action"), "pause"))
        m->stop_reason = VM_REASON_WATCHDOG;
}

static void on_io_error(struct machine *m, const json_t *data)
{
    bool full = json_get_bool(data, "nospace", false);

    if (str_eq(json_get_text(data, "action"), "stop"))
        m->stop_reason = full ? VM_REASON_NO_SPACE : VM_REASON_IO_ERROR;
}

/* The STOP that follows is because of it. */
static void on_log_failed(struct machine *m, const json_t *data)
{
    m->stop_reason = VM_REASON_IO_ERROR;
}

static void on_pivoted(struct machine *m, const json_t *data)
{
    atomic_store(&m->pivoting, false);
}

/* The STOP that follows is that of a guest whose memory is saved. */
static void on_memory_ended(struct machine *m, const json_t *data)
{
    const char *error = json_get_text(data, "error");

    if (json_get_bool(data, "still", false) && error && !*error)
        m->stop_reason = VM_REASON_MIGRATION;
}

static void on_exited(struct machine *m, const json_t *data)
{
    struct machine_event event;
    char boot_id[BOOT_ID_TEXT];

    boot_id_read(boot_id);
    ended_map(data, boot_id, &event);
    tell_ended(m, &event);
}

static const struct {
    const char *name;
    void (*handle)(struct machine *m, const json_t *data);
} handlers[] = {
    {"RESUME", on_resume},
    {"STOP", on_stop},
    {"RESET", on_reset},
    {"SHUTDOWN", on_shutdown},
    {"GUEST_PANICKED", on_panic},
    {"BLOCK_IO_ERROR", on_io_error},
    {"WATCHDOG", on_watchdog},
    {"WORKER_EXITED", on_exited},
    {"WORKER_LOG_FAILED", on_log_failed},
    {"WORKER_PIVOTED", on_pivoted},
    {"WORKER_MEMORY_ENDED", on_memory_ended},
};

void machine_on_event(void *ctx, uint64_t seq, const json_t *event)
{
    const char *name = json_get_text(event, "event");
    struct machine *m = ctx;

    if (m->ended)
        return;
    seen_put(&m->vm, seq);
    for (size_t i = 0; i < ARRAY_LEN(handlers); i++)
        if (str_eq(handlers[i].name, name)) {
            handlers[i].handle(m, json_object_get(event, "data"));
            return;
        }
    log_debug("%s: %s", UUID_STR(&m->vm), name); /* nothing that core needs to know */
}

void machine_on_serial(void *ctx, unsigned port, uint64_t end_bytes)
{
    struct machine_event event = {
        .kind = MACHINE_SERIAL, .serial_port = port, .serial_end = end_bytes};
    struct machine *m = ctx;

    if (!m->ended)
        tell(m, &event);
}

/* ---- the worker is gone ---- */

static bool is_released(const void *link)
{
    return link_closing(link);
}

/* Dead without a record: the worker was killed, and the jail ended with it. */
static void tell_worker_lost(struct machine *m)
{
    struct machine_event event;
    struct err err = {0};

    if (!host_worker_kill(&m->vm, &err))
        log_warn("sweeping after the worker of %s: %s", UUID_STR(&m->vm), err.detail);
    if (atomic_load(&m->killing))
        ended_set(&event, VM_OFF, VM_REASON_USER, NULL);
    else
        ended_set(&event, VM_CRASHED, VM_REASON_WORKER_LOST,
                  "the VM's worker was killed, and the guest with it");
    tell_ended(m, &event);
}

void machine_on_gone(void *ctx)
{
    struct machine *m = ctx;
    struct machine_event event;
    struct err err = {0};
    int fd = -1;
    bool found = !m->ended && host_run_dir(&m->vm, &fd, &err);
    CLEANUP(closep) int dir = found ? fd : -1;

    if (m->ended)
        return;
    if (!found && err.code == ERR_NOT_FOUND) {
        tell_worker_lost(m);
    } else if (!found || !ended_wait(dir, machine_last_breath_ms, is_released, m->link)) {
        /* Alive, but not with us: a newer daemon took over, or the worker dropped us. */
        if (!link_closing(m->link))
            tell_kind(m, MACHINE_LOST, VM_REASON_WORKER_LOST);
    } else if (ended_read(dir, &event)) {
        tell_ended(m, &event);
    } else {
        tell_worker_lost(m);
    }
}
