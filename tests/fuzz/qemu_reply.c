/* Fuzz: what main makes of a QEMU's answers, as they come through its worker. The input's first
 * byte says which call of the backend it is, or that they are events, or exit records; each line
 * after it is an answer, one that begins with '-' a refusal. The worker is a socket in which all
 * answers lie already; it hangs up after the last one.
 *
 * Whatever comes: the call ends, what it says is within its bounds, a failure has its sentence, no
 * descriptor is left open and none is closed twice. */
#include "backends/qemu/disks.h"
#include "backends/qemu/ended.h"
#include "backends/qemu/layers.h"
#include "backends/qemu/machine.h"
#include "backends/qemu/media.h"
#include "backends/qemu/restore.h"
#include "core/base/mem.h"
#include "core/base/sock.h"
#include "core/base/str.h"
#include "core/port/host.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWERS_MAX 24
#define BYTES_MAX   (96u << 10) /* a socket takes them without a reader */

static void must(bool what)
{
    if (!what)
        abort();
}

/* ---- the helper: there is none ---- */

bool host_worker_spawn(const struct uuid *vm, uint32_t slot, struct host_wants wants,
                       const struct host_limits *limits, int *sock, struct err *err)
{
    return err_set(err, ERR_UNSUPPORTED, "not here");
}

bool host_worker_limit(const struct uuid *vm, const struct host_limits *limits, struct err *err)
{
    return true;
}

bool host_uffd_open(int *fd, struct err *err)
{
    return err_set(err, ERR_UNSUPPORTED, "not here");
}

bool host_worker_kill(const struct uuid *vm, struct err *err)
{
    return true;
}

bool host_run_dir(const struct uuid *vm, int *fd, struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, "no run directory");
}

bool host_run_dir_remove(const struct uuid *vm, struct err *err)
{
    return true;
}

const char *host_qemu_path(void)
{
    return "/usr/bin/qemu-system-x86_64";
}

/* ---- the machine ---- */

static void on_event(void *ctx, const struct uuid *vm, const struct machine_event *event)
{
    must(event->kind <= MACHINE_EXITED || event->kind == MACHINE_SERIAL ||
         event->kind == MACHINE_LOST);
    must(event->reason < VM_REASON_COUNT);
    must(memchr(event->detail, 0, sizeof event->detail) != NULL);
}

static const struct uuid id = {{0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x41, 0x11, 0x81, 0x11, 0x11,
                                0x11, 0x11, 0x11, 0x11, 0x11}};
static const struct uuid other = {{0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x42, 0x22, 0x82, 0x22, 0x22,
                                   0x22, 0x22, 0x22, 0x22, 0x22}};

static int file(void)
{
    return memfd_create("file", MFD_CLOEXEC);
}

static bool set_vcpus(struct machine *m, struct err *err)
{
    unsigned now;

    return machine_set_vcpus(m, 3, &now, err);
}

static bool media(struct machine *m, struct err *err)
{
    return machine_media(m, 0, file(), err);
}

static bool empty_drive(struct machine *m, struct err *err)
{
    return machine_media(m, 0, -1, err);
}

static bool stats(struct machine *m, struct err *err)
{
    struct machine_disk_stats out;

    return machine_disk_stats(m, &out, err);
}

static bool disk_grow(struct machine *m, struct err *err)
{
    uint64_t now;

    return machine_disk_grow(m, 0, 33554432, &now, err);
}

static bool disk_limit(struct machine *m, struct err *err)
{
    const struct disk_limits limits = {.iops = 100, .iops_burst = 200};

    return machine_disk_limit(m, 0, &limits, err);
}

static bool disk_unplug(struct machine *m, struct err *err)
{
    bool yes;

    return machine_disk_unplug(m, 0, err) && machine_disk_is_there(m, 0, &yes, err);
}

static bool snapshot(struct machine *m, struct err *err)
{
    const struct machine_overlay overlay = {.disk = 0, .file = other, .fd = file()};
    bool yes;

    return machine_snapshot(m, &overlay, 1, err) && machine_is_leaf(m, 0, &other, &yes, err);
}

static bool stream(struct machine *m, struct err *err)
{
    const struct machine_stream stream = {
        .top = id, .base = other, .base_name = "base", .top_fd = file()};

    return machine_stream(m, &stream, err);
}

static bool commit(struct machine *m, struct err *err)
{
    const struct machine_commit commit = {.top = id,
                                          .base = other,
                                          .base_fd = file(),
                                          .top_fd = file(),
                                          .above = id,
                                          .base_name = "base"};

    return machine_commit(m, &commit, err);
}

static bool block_job(struct machine *m, struct err *err)
{
    struct machine_block_job job;

    if (!machine_block_job(m, &id, &job, err))
        return false;
    must(job.state <= BLOCK_JOB_ENDED && job.done <= job.total && job.total <= PROGRESS_MAX);
    must(memchr(job.error, 0, sizeof job.error) != NULL);
    return machine_block_job_end(m, &id, false, err);
}

static bool pivot(struct machine *m, struct err *err)
{
    const struct machine_new_leaf leaf = {id, id, id};
    const struct machine_pivot pivot = {.job = id, .leaves = &leaf, .n = 1};
    struct machine_pivoted out;

    if (!machine_pivot(m, &pivot, &out, err))
        return false;
    must(out.outcome <= PIVOT_UNKNOWN && memchr(out.detail, 0, sizeof out.detail) != NULL);
    return true;
}

static bool flush(struct machine *m, struct err *err)
{
    return machine_flush(m, &id, &other, err);
}

static bool drop_file(struct machine *m, struct err *err)
{
    return machine_drop_file(m, &id, err);
}

static bool serve(struct machine *m, struct err *err)
{
    return machine_serve(m, 0, file(), err);
}

static bool memory_look(struct machine *m, struct err *err)
{
    struct machine_memory_ways ways;

    if (!machine_memory_look(m, &ways, err))
        return false;
    must(str_is_utf8(ways.blocker, strlen(ways.blocker)));
    must(str_is_utf8(ways.reason, strlen(ways.reason)));
    return true;
}

static bool memory_save(struct machine *m, struct err *err)
{
    const struct machine_overlay overlay = {.disk = 0, .file = other, .fd = file()};
    const struct machine_memory_save save = {.image = id,
                                             .fd = file(),
                                             .ram_bytes = 16777216,
                                             .way = MEMORY_PRECOPY,
                                             .goes_on = true,
                                             .overlays = &overlay,
                                             .n = 1};

    return machine_memory_save(m, &save, err);
}

static bool memory_state(struct machine *m, struct err *err)
{
    struct machine_memory_state state;

    if (!machine_memory_state(m, &id, &state, err))
        return false;
    must(state.done <= state.total && state.total <= PROGRESS_MAX);
    must(str_is_utf8(state.error, strlen(state.error)));
    return machine_memory_end(m, &id, true, err);
}

static bool screenshot(struct machine *m, struct err *err)
{
    CLEANUP(mem_freep) char *png = NULL;
    size_t len;

    return machine_screenshot(m, 0, &png, &len, err);
}

static bool nmi(struct machine *m, struct err *err)
{
    return machine_nmi(m, err);
}

static bool (*const calls[])(struct machine *m, struct err *err) = {
    set_vcpus, media,       empty_drive, stats,        disk_grow,  disk_limit, disk_unplug,
    snapshot,  stream,      commit,      block_job,    pivot,      flush,      drop_file,
    serve,     memory_look, memory_save, memory_state, screenshot, nmi,
};

/* ---- the worker's answers ---- */

static void put_answer(int sock, uint32_t number, const char *text, size_t len)
{
    bool refused = len && *text == '-';
    struct frame_header head = {.type = refused ? WORKER_ERROR : WORKER_OK, .id = number};
    struct err err = {0};

    head.length = (uint32_t)(len - refused);
    must(frame_send(sock, &head, text + refused, NULL, &err));
}

static void put_answers(int sock, const char *text, size_t len)
{
    const char *stop = text + len;

    for (uint32_t n = 1; text < stop && n <= ANSWERS_MAX; n++) {
        const char *line_end = memchr(text, '\n', (size_t)(stop - text));
        size_t line = (size_t)((line_end ? line_end : stop) - text);
        put_answer(sock, n, text, line);
        text += line + 1;
    }
    shutdown(sock, SHUT_WR);
}

static void call(unsigned which, const char *text, size_t len)
{
    struct machine m = {.vm = id, .owner = {on_event, NULL}, .can_pivot = true};
    struct err err = {0};
    int ends[2];

    must(sock_pair(SOCK_STREAM, ends, &err));
    put_answers(ends[1], text, len);
    lock_init(&m.changing);
    m.link = link_new(ends[0], 5);
    if (!calls[which](&m, &err)) {
        must(err.code != ERR_NONE && err.detail[0]);
        must(str_is_utf8(err.detail, strlen(err.detail)));
    }
    link_free(m.link);
    lock_clear(&m.changing);
    close(ends[1]);
}

/* Events as the worker passes them on, and an exit record. */
static void tell(const char *text, size_t len)
{
    struct machine m = {.vm = id, .owner = {on_event, NULL}};
    const char *stop = text + len;
    struct machine_event ended;

    for (uint64_t seq = 1; text < stop; seq++) {
        const char *line_end = memchr(text, '\n', (size_t)(stop - text));
        size_t line = (size_t)((line_end ? line_end : stop) - text);
        struct err err = {0};
        CLEANUP(json_decrefp) json_t *event = json_read(text, line, &err);
        if (json_get_text(event, "event"))
            machine_on_event(&m, seq, event);
        ended_map(event, "", &ended);
        must(ended.kind == MACHINE_EXITED && ended.reason < VM_REASON_COUNT);
        text += line + 1;
    }
    seen_forget(&id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int before = dup(0), after;
    unsigned which;

    close(before);
    if (!size || size > BYTES_MAX)
        return 0;
    which = (unsigned)(data[0] - 'a') % (ARRAY_LEN(calls) + 1);
    if (which < ARRAY_LEN(calls))
        call(which, (const char *)data + 1, size - 1);
    else
        tell((const char *)data + 1, size - 1);
    after = dup(0);
    close(after);
    must(before == after);
    return 0;
}
