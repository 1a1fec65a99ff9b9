/* backend_fake: machines without a guest, for tests and for work on user interfaces. They start,
 * talk on their serial port, tick once a second, take commands, pause, and end, all in this
 * process; they die with it. No QEMU, no worker, no helper. Chosen by a VM's "backend": "fake",
 * where the daemon allows it.
 *
 * One thread a machine does what time and the calls ask for and tells the owner. The calls change
 * the state under the lock and queue events; the thread delivers them, so they come one at a time
 * and in order, as the contract wants. */
#include "backends/fake/fake.h"

#include "backends/fake/fake_png.h"
#include "backends/fake/inside.h"
#include "backends/qemu/plan.h"
#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/ringlog.h"
#include "core/base/str.h"
#include "core/base/thread.h"
#include "core/model/rules.h"
#include "core/port/backend.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOG_BYTES (1u << 20) /* for a log that is still empty */
#define WIDTH     640
#define HEIGHT    400
#define RUNNING   0x2e7d32 /* green */
#define PAUSED    0xf9a825 /* amber */

int64_t fake_tick_ms = 1000;
_Atomic(uint64_t) fake_in_memory_bytes;

/* ---- under the lock ---- */

static void enqueue(struct machine *m, const struct machine_event *event) REQUIRES(m->lock)
{
    struct queued **at = &m->queue;

    while (*at)
        at = &(*at)->next;
    *at = mem_alloc(sizeof **at);
    (*at)->event = *event;
    cond_wake_all(&m->changed);
}

void fake_enqueue(struct machine *m, enum machine_event_kind kind, enum vm_reason reason)
{
    struct machine_event event = {.kind = kind, .reason = reason};

    enqueue(m, &event);
}

static void print_on(struct machine *m, unsigned port, const char *text, size_t len)
    REQUIRES(m->lock)
{
    struct machine_event event = {.kind = MACHINE_SERIAL, .serial_port = port};
    struct err err = {0};

    if (m->logs[port] < 0)
        return;
    if (ringlog_append(m->logs[port], text, len, &event.serial_end, &err))
        enqueue(m, &event);
    else
        log_warn("a fake machine's serial log: %s", err.detail);
}

static void print(struct machine *m, const char *text) REQUIRES(m->lock)
{
    print_on(m, 0, text, strlen(text));
}

/* What was done to it is told on the first serial port, so that tests and people see it. */
static void print_done(struct machine *m, const char *fmt, ...) PRINTF(2, 3) REQUIRES(m->lock);
static void print_done(struct machine *m, const char *fmt, ...)
{
    char text[160];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    print(m, text);
}

static void end(struct machine *m, enum vm_reason reason) REQUIRES(m->lock)
{
    struct machine_event event = {.kind = MACHINE_EXITED, .run = VM_OFF, .reason = reason};

    if (m->ended)
        return;
    m->running = false;
    m->ended = true;
    enqueue(m, &event);
}

static void boot(struct machine *m) REQUIRES(m->lock)
{
    m->booted = true;
    m->ticks = 0;
    m->line_len = 0;
    m->next_tick_ms = clock_mono_ms() + fake_tick_ms;
    print(m, "fake machine booted\r\n# ");
}

static void reboot(struct machine *m) REQUIRES(m->lock)
{
    fake_enqueue(m, MACHINE_RESET, VM_REASON_NONE);
    boot(m);
}

static void panic(struct machine *m) REQUIRES(m->lock)
{
    print(m, "\r\nKernel panic - not syncing: \033[31masked to\033[0m\r\n");
    m->running = false;
    fake_enqueue(m, MACHINE_PAUSED, VM_REASON_GUEST_PANIC);
}

static void run_line(struct machine *m) REQUIRES(m->lock)
{
    char text[TYPED_MAX + 32];

    m->line[m->line_len] = 0;
    m->line_len = 0;
    if (str_eq(m->line, "poweroff")) {
        print(m, "\r\npowering off\r\n");
        end(m, VM_REASON_GUEST_SHUTDOWN);
        return;
    }
    if (str_eq(m->line, "reboot")) {
        reboot(m);
        return;
    }
    if (str_eq(m->line, "panic")) {
        panic(m);
        return;
    }
    snprintf(text, sizeof text, "\r\n%s%s%s# ", m->line[0] ? "you said: " : "", m->line,
             m->line[0] ? "\r\n" : "");
    print(m, text);
}

static void type(struct machine *m, char c) REQUIRES(m->lock)
{
    if (c == '\r' || c == '\n') {
        run_line(m);
    } else if (m->line_len < TYPED_MAX - 1) {
        m->line[m->line_len++] = c;
        print(m, (const char[]){c, 0});
    }
}

static void tick(struct machine *m) REQUIRES(m->lock)
{
    char text[48];

    snprintf(text, sizeof text, "tick %llu\r\n", (unsigned long long)++m->ticks);
    print(m, text);
    m->next_tick_ms += fake_tick_ms;
}

/* ---- the thread ---- */

/* The next event to tell; ticks meanwhile. False when the machine has nothing more to say. */
static bool next_event(struct machine *m, struct machine_event *event)
{
    struct queued *q;

    lock_take(&m->lock);
    while (!m->queue && !m->ended && !m->released) {
        if (!m->running)
            cond_wait(&m->changed, &m->lock);
        else if (clock_left_ms(m->next_tick_ms) == 0)
            tick(m);
        else
            cond_wait_until(&m->changed, &m->lock, m->next_tick_ms);
    }
    q = m->released ? NULL : m->queue;
    if (q) {
        m->queue = q->next;
        *event = q->event;
    }
    lock_drop(&m->lock);
    free(q);
    return q != NULL;
}

static void *live(void *arg)
{
    struct machine *m = arg;
    struct machine_event event;

    while (next_event(m, &event))
        m->owner.event(m->owner.ctx, &m->vm, &event);
    return NULL;
}

/* ---- the calls ---- */

static void fake_free(struct machine *m)
{
    lock_take(&m->lock);
    while (m->queue) {
        struct queued *q = m->queue;
        m->queue = q->next;
        free(q);
    }
    for (unsigned i = 0; i < VM_SERIAL_PORTS_MAX; i++)
        if (m->logs[i] >= 0)
            close(m->logs[i]);
    closep(&m->commit_fd);
    fake_forget_jobs(m);
    fake_memory_forget(m);
    lock_drop(&m->lock);
    lock_clear(&m->lock);
    cond_clear(&m->changed);
    free(m);
}

static bool open_logs(struct machine *m, struct err *err)
{
    for (unsigned i = 0; i < VM_SERIAL_PORTS_MAX; i++)
        if (m->logs[i] >= 0 && !ringlog_open(m->logs[i], LOG_BYTES, err))
            return false;
    return true;
}

void (*fake_has_started)(const struct uuid *vm, const struct machine_owner *owner);

static bool fake_start(const struct machine_plan *plan, const struct machine_owner *owner,
                       struct machine **out, struct err *err)
{
    const struct vm_spec *spec = plan->spec;
    struct machine *m = mem_alloc(sizeof *m);
    bool ok;

    *m = (struct machine){.vm = plan->vm, .owner = *owner, .commit_fd = plan->commit_fd};
    fake_in_memory_bytes = plan->in_memory_bytes;
    lock_init(&m->lock);
    cond_init(&m->changed);
    if (spec) {
        m->vcpus = spec->vcpus;
        m->memory_bytes = spec->memory_bytes;
        m->max_vcpus = vm_spec_max_vcpus(spec);
        m->heads = spec->video.model == VIDEO_NONE ? 0 : spec->video.heads ? spec->video.heads : 1;
        m->drives = (unsigned)spec->n_cdroms;
    }
    lock_take(&m->lock);
    for (size_t i = 0; i < plan->n_disks; i++)
        fake_disk_put(m, &plan->disks[i]);
    lock_drop(&m->lock);
    memcpy(m->logs, plan->serial_log_fds, sizeof m->logs);
    ok = FAILPOINT("fake.start", err) && fake_memory_begin(m, plan->memory_fd, err);
    plan_close(plan, true);
    if (ok && open_logs(m, err) && thread_start(&m->thread, "vm-fake", live, m, err)) {
        *out = m;
        if (fake_has_started)
            fake_has_started(&plan->vm, owner);
        return true;
    }
    fake_free(m);
    return false;
}

/* Fake machines die with the daemon that made them. */
static bool fake_attach(const struct uuid *vm, const struct machine_owner *owner,
                        struct machine **out, struct machine_report *report, struct err *err)
{
    *out = NULL;
    *report = (struct machine_report){
        .ended = {.kind = MACHINE_EXITED, .run = VM_CRASHED, .reason = VM_REASON_WORKER_LOST}};
    str_copy(report->ended.detail, sizeof report->ended.detail,
             "a fake machine ends with the daemon that started it");
    return true;
}

static void fake_release(struct machine *m)
{
    lock_take(&m->lock);
    m->released = true;
    cond_wake_all(&m->changed);
    lock_drop(&m->lock);
    pthread_join(m->thread, NULL);
    fake_free(m);
}

static bool fake_cont(struct machine *m, struct err *err)
{
    bool ok = FAILPOINT("fake.cont", err);

    lock_take(&m->lock);
    ok = ok && fake_is_there(m, err);
    if (ok && !m->running) {
        m->running = true;
        fake_enqueue(m, MACHINE_RUNNING, VM_REASON_NONE);
        if (!m->booted)
            boot(m);
        else if (!m->next_tick_ms)
            print(m, "fake machine goes on\r\n"); /* where its image has it */
        m->next_tick_ms = clock_mono_ms() + fake_tick_ms;
    }
    lock_drop(&m->lock);
    return ok;
}

static bool fake_pause(struct machine *m, struct err *err)
{
    bool ok = FAILPOINT("fake.pause", err);

    lock_take(&m->lock);
    ok = ok && fake_is_there(m, err);
    if (ok && m->running) {
        m->running = false;
        fake_enqueue(m, MACHINE_PAUSED, VM_REASON_USER);
    }
    lock_drop(&m->lock);
    return ok;
}

static bool fake_reset(struct machine *m, struct err *err)
{
    bool ok = FAILPOINT("fake.reset", err);

    lock_take(&m->lock);
    ok = ok && fake_is_there(m, err);
    if (ok)
        reboot(m);
    lock_drop(&m->lock);
    return ok;
}

/* A paused guest does not see its power button, as with QEMU. */
static bool fake_powerdown(struct machine *m, struct err *err)
{
    bool ok = FAILPOINT("fake.powerdown", err);

    lock_take(&m->lock);
    ok = ok && fake_is_there(m, err);
    if (ok && m->running) {
        print(m, "\r\npower button\r\n");
        end(m, VM_REASON_GUEST_SHUTDOWN);
    }
    lock_drop(&m->lock);
    return ok;
}

static bool fake_kill(struct machine *m, struct err *err)
{
    if (!FAILPOINT("fake.kill", err))
        return false;
    lock_take(&m->lock);
    end(m, VM_REASON_USER);
    lock_drop(&m->lock);
    return true;
}

static bool has_head(const struct machine *m, unsigned head, struct err *err)
{
    if (!m->heads)
        return err_set(err, ERR_UNSUPPORTED, "the VM has no graphics card");
    return head < m->heads ||
           err_set(err, ERR_INVALID, "the VM's graphics card has no display %u", head);
}

static bool fake_screenshot(struct machine *m, unsigned head, char **png, size_t *len,
                            struct err *err)
{
    bool ok = FAILPOINT("fake.screenshot", err);
    uint32_t colour = PAUSED;

    lock_take(&m->lock);
    ok = ok && fake_is_there(m, err) && has_head(m, head, err);
    if (m->running)
        colour = RUNNING;
    lock_drop(&m->lock);
    if (ok)
        *png = fake_png(WIDTH, HEIGHT, colour, len);
    return ok;
}

/* Its displays are small. */
static bool fake_thumbnail(struct machine *m, unsigned max_px, char **png, size_t *len,
                           struct err *err)
{
    return fake_screenshot(m, 0, png, len, err);
}

static bool fake_serial_write(struct machine *m, unsigned port, const void *data, size_t len,
                              struct err *err)
{
    const char *text = data;
    bool ok = FAILPOINT("fake.serial", err);

    lock_take(&m->lock);
    ok = ok && fake_is_there(m, err) &&
         (m->running || err_set(err, ERR_BUSY, "the guest does not read its serial port")) &&
         (port == 0 || (port < VM_SERIAL_PORTS_MAX && m->logs[port] >= 0) ||
          err_set(err, ERR_WRONG_STATE, "the VM has no serial port %u", port));
    for (size_t i = 0; ok && port == 0 && i < len && !m->ended; i++)
        type(m, text[i]);
    if (ok && port)
        print_on(m, port, text, len); /* an echo */
    lock_drop(&m->lock);
    return ok;
}

static void show_input(struct machine *m, const struct machine_input *e) REQUIRES(m->lock)
{
    switch (e->kind) {
    case INPUT_KEY:
        print_done(m, "key %s %s\r\n", e->name, e->down ? "down" : "up");
        break;
    case INPUT_BUTTON:
        print_done(m, "button %s %s\r\n", e->name, e->down ? "down" : "up");
        break;
    default:
        print_done(m, "pointer %c %s%d\r\n", e->axis, e->kind == INPUT_RELATIVE ? "by " : "",
                   e->value);
    }
}

static bool points(const struct machine_input *events, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (events[i].kind != INPUT_KEY)
            return true;
    return false;
}

static bool fake_input(struct machine *m, unsigned head, const struct machine_input *events,
                       size_t n, struct err *err)
{
    bool ok = FAILPOINT("fake.input", err);

    lock_take(&m->lock);
    ok = ok && fake_is_there(m, err) &&
         (m->running || err_set(err, ERR_WRONG_STATE,
                                "the VM is paused: its guest sees no keys until it resumes")) &&
         (!m->heads || !points(events, n) || has_head(m, head, err));
    for (size_t i = 0; ok && i < n; i++)
        show_input(m, &events[i]);
    lock_drop(&m->lock);
    return ok;
}

static bool fake_nmi(struct machine *m, struct err *err)
{
    bool ok = FAILPOINT("fake.nmi", err);

    lock_take(&m->lock);
    ok = ok && fake_is_there(m, err);
    if (ok)
        print(m, "nmi\r\n");
    lock_drop(&m->lock);
    return ok;
}

/* Its terminal says what it was told. */
static bool fake_limit(struct machine *m, const struct vm_spec *spec, struct err *err)
{
    bool ok = FAILPOINT("fake.limit", err);

    lock_take(&m->lock);
    ok = ok && fake_is_there(m, err);
    if (ok)
        print_done(m, "cpu %u%%\r\n", spec->limits.cpu_percent);
    lock_drop(&m->lock);
    return ok && FAILPOINT("fake.limit.done", err);
}

static bool fake_set_vcpus(struct machine *m, unsigned wanted, unsigned *now, struct err *err)
{
    bool ok = FAILPOINT("fake.vcpus", err);

    lock_take(&m->lock);
    *now = m->vcpus;
    ok = ok && fake_is_there(m, err);
    if (ok && wanted < m->vcpus)
        ok = err_set(err, ERR_UNSUPPORTED,
                     "the VM has %u processors and they cannot be taken away while it runs",
                     m->vcpus);
    else if (ok && wanted > m->max_vcpus)
        ok = err_set(err, ERR_UNSUPPORTED, "the running VM has room for %u processors",
                     m->max_vcpus);
    if (ok) {
        *now = m->vcpus = wanted;
        ok = FAILPOINT("fake.vcpus.done", err);
        print_done(m, "vcpus %u\r\n", wanted);
    }
    lock_drop(&m->lock);
    return ok;
}

static bool fake_media(struct machine *m, unsigned drive, int fd, struct err *err)
{
    bool ok = FAILPOINT("fake.media", err);

    lock_take(&m->lock);
    ok = ok && fake_is_there(m, err) &&
         (drive < m->drives || err_set(err, ERR_INVALID, "the VM has no CD drive %u", drive));
    if (ok)
        print_done(m, "CD drive %u: %s\r\n", drive, fd >= 0 ? "medium" : "empty");
    lock_drop(&m->lock);
    closep(&fd);
    return ok;
}

const struct backend backend_fake = {
    .name = "fake",
    .start = fake_start,
    .attach = fake_attach,
    .release = fake_release,
    .cont = fake_cont,
    .pause = fake_pause,
    .reset = fake_reset,
    .powerdown = fake_powerdown,
    .kill = fake_kill,
    .serve = fake_serve,
    .screenshot = fake_screenshot,
    .thumbnail = fake_thumbnail,
    .serial_write = fake_serial_write,
    .input = fake_input,
    .nmi = fake_nmi,
    .set_vcpus = fake_set_vcpus,
    .limit = fake_limit,
    .media = fake_media,
    .snapshot = fake_snapshot,
    .is_leaf = fake_is_leaf,
    .stream = fake_stream,
    .block_job = fake_block_job,
    .mirror = fake_mirror,
    .commit = fake_commit,
    .block_job_limit = fake_block_job_limit,
    .block_job_resume = fake_block_job_resume,
    .pivot = fake_pivot,
    .block_job_end = fake_block_job_end,
    .flush = fake_flush,
    .drop_file = fake_drop_file,
    .disk_add = fake_disk_add,
    .disk_unplug = fake_disk_unplug,
    .disk_is_there = fake_disk_is_there,
    .disk_grow = fake_disk_grow,
    .disk_limit = fake_disk_limit,
    .memory_look = fake_memory_look,
    .memory_save = fake_memory_save,
    .memory_state = fake_memory_state,
    .memory_end = fake_memory_end,
    .memory_made = fake_memory_made,
    .memory_fits = fake_memory_fits,
};
