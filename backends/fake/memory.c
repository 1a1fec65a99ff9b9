/* The memory of a fake machine: how far it has counted, what was typed, which file each disk writes
 * to. Its image is as a real one's (docs/memory.md), with a single page that is no hole.
 *
 * Each look at one that is being written takes it one step further: begun, switched, over; with
 * fake_memory_held it stays where it is. It finds no space while fake_full says so. */
#include "backends/fake/fake.h"
#include "backends/fake/inside.h"

#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/port/memory_image.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAUSE_US   8000 /* what a fake guest says it stood still */
#define PAGE_BYTES 4096

_Atomic(bool) fake_memory_held;
_Atomic(bool) fake_has_precopy;

/* ---- the image ---- */

static uint64_t ram_bytes(const struct machine *m)
{
    uint64_t pages = (m->memory_bytes + PAGE_BYTES - 1) / PAGE_BYTES;

    return (pages ? pages : 1) * PAGE_BYTES;
}

static char *describe(const struct machine *m) REQUIRES(m->lock)
{
    CLEANUP(json_decrefp) json_t *state = json_object();
    json_t *leaves = json_array();

    json_put_u64(state, "ticks", m->ticks);
    json_put_u64(state, "vcpus", m->vcpus);
    json_put_text(state, "line", m->line);
    for (size_t i = 0; i < VM_DISKS_MAX; i++)
        json_array_append_new(leaves, m->disks[i].there ? json_string(UUID_STR(&m->disks[i].leaf))
                                                        : json_null());
    json_put(state, "leaves", leaves);
    return json_write(state);
}

static bool put(int fd, const void *data, size_t len, uint64_t at, struct err *err)
{
    return pwrite(fd, data, len, (off_t)at) == (ssize_t)len ||
           err_errno(err, errno, "cannot write the memory image");
}

static bool image_write(int fd, uint64_t ram, const char *state, struct err *err)
{
    const struct memory_trailer trailer = {
        .magic = MEMORY_MAGIC, .version = 1, .ram_bytes = ram, .held_bytes = PAGE_BYTES};
    char page[PAGE_BYTES] = {0};

    str_copy(page, sizeof page, state);
    return put(fd, page, sizeof page, 0, err) && put(fd, &trailer, sizeof trailer, ram, err) &&
           fs_sync(fd, "the memory image", err);
}

static bool is_whole(int fd, uint64_t ram)
{
    struct memory_trailer trailer;
    struct stat st;

    return fstat(fd, &st) == 0 && (uint64_t)st.st_size == ram + sizeof trailer &&
           pread(fd, &trailer, sizeof trailer, (off_t)ram) == (ssize_t)sizeof trailer &&
           memcmp(trailer.magic, MEMORY_MAGIC, sizeof trailer.magic) == 0 && trailer.version == 1 &&
           trailer.ram_bytes == ram;
}

bool fake_memory_begin(struct machine *m, int fd, struct err *err)
{
    CLEANUP(json_decrefp) json_t *state = NULL;
    char page[PAGE_BYTES];

    if (fd < 0)
        return true;
    if (!is_whole(fd, ram_bytes(m)) || pread(fd, page, sizeof page, 0) != (ssize_t)sizeof page)
        return err_set(err, ERR_HYPERVISOR, "the memory image is not whole");
    state = json_read(page, strnlen(page, sizeof page), err);
    if (!state)
        return false;
    lock_take(&m->lock);
    m->booted = m->from_image = true;
    m->ticks = json_get_u64(state, "ticks", 0);
    m->vcpus = (unsigned)json_get_u64(state, "vcpus", m->vcpus);
    m->line_len = str_copy(m->line, sizeof m->line, json_get_text(state, "line"));
    lock_drop(&m->lock);
    return true;
}

/* ---- one that is being written ---- */

static void close_all(struct fake_memory *f)
{
    if (f->fd >= 0)
        closep(&f->fd);
    f->fd = -1;
    mem_freep(&f->captured);
    mem_freep(&f->overlays);
    f->n = 0;
}

void fake_memory_forget(struct machine *m)
{
    if (m->memory)
        close_all(m->memory);
    mem_freep(&m->memory);
}

static void let_run(struct machine *m) REQUIRES(m->lock)
{
    m->running = true;
    m->next_tick_ms = clock_mono_ms() + fake_tick_ms;
    cond_wake_all(&m->changed);
}

/* It has worked, and the guest that stands still for it runs again nevertheless: the image is one
 * that nobody goes on with. */
static void take_back(struct machine *m, const struct err *why) REQUIRES(m->lock)
{
    str_copy(m->memory->error, sizeof m->memory->error, why->detail);
    if (!m->memory->ran || m->running)
        return;
    fake_enqueue(m, MACHINE_RUNNING, VM_REASON_NONE);
    let_run(m);
}

/* Over. A guest that was stopped for it runs again when it has failed; else its owner is told only
 * now that it stands still. */
static void finish(struct machine *m, const struct err *why) REQUIRES(m->lock)
{
    struct fake_memory *f = m->memory;

    f->ended = true;
    close_all(f);
    if (why) {
        str_copy(f->error, sizeof f->error, why->detail);
        f->no_space = why->code == ERR_NO_SPACE;
    }
    if (f->way != MEMORY_STILL || !f->ran || m->ended)
        return;
    if (why || f->goes_on)
        let_run(m);
    else
        fake_enqueue(m, MACHINE_PAUSED, VM_REASON_MIGRATION);
}

/* The instant that the image shows. */
static bool capture(struct machine *m, struct err *err) REQUIRES(m->lock)
{
    struct fake_memory *f = m->memory;

    if (!FAILPOINT("fake.memory.switch", err))
        return false;
    f->captured = describe(m);
    for (size_t i = 0; i < f->n; i++)
        if (f->overlays[i].disk < VM_DISKS_MAX)
            m->disks[f->overlays[i].disk].leaf = f->overlays[i].file;
    f->switched = f->n > 0;
    return true;
}

static bool stream(struct machine *m, struct err *err) REQUIRES(m->lock)
{
    struct fake_memory *f = m->memory;

    if (fake_full)
        return err_set(err, ERR_NO_SPACE, "the pool is full");
    return FAILPOINT("fake.memory.stream", err) &&
           (f->captured || f->way == MEMORY_BACKGROUND || capture(m, err)) &&
           image_write(f->fd, ram_bytes(m), f->captured, err);
}

static void step(struct machine *m) REQUIRES(m->lock)
{
    struct fake_memory *f = m->memory;
    struct err err = {0};

    if (f->steps == 0 || fake_memory_held) {
        f->steps = f->steps ? f->steps : 1;
    } else if (f->steps++ == 1) {
        if (f->way == MEMORY_BACKGROUND && !capture(m, &err))
            finish(m, &err);
    } else {
        finish(m, stream(m, &err) ? NULL : &err);
    }
}

static void look_at(const struct machine *m, struct machine_memory_state *out) REQUIRES(m->lock)
{
    const struct fake_memory *f = m->memory;
    bool well = f->ended && !f->error[0];

    *out = (struct machine_memory_state){
        .state = f->ended ? MEMORY_ENDED : MEMORY_WRITING,
        .switched = f->switched,
        .done = well       ? ram_bytes(m)
                : f->steps ? ram_bytes(m) / 2
                           : 0,
        .total = ram_bytes(m),
        .pause_us = f->switched ? PAUSE_US : 0,
        .ram_bytes = well ? ram_bytes(m) : 0,
        .held_bytes = well ? PAGE_BYTES : 0,
        .no_space = f->no_space,
    };
    str_copy(out->error, sizeof out->error, f->error);
}

/* ---- the calls ---- */

bool fake_memory_look(struct machine *m, struct machine_memory_ways *out, struct err *err)
{
    bool ok = FAILPOINT("fake.memory.look", err);

    *out = (struct machine_memory_ways){.background = true, .still = true};
    lock_take(&m->lock);
    ok = ok && fake_is_there(m, err);
    out->from_image = m->from_image;
    if (m->from_image) {
        out->background = false;
        out->precopy = fake_has_precopy;
        str_copy(out->reason, sizeof out->reason,
                 "the VM's memory is that of an image until its next cold start");
    }
    for (unsigned i = 0; i < VM_DISKS_MAX && !out->blocker[0]; i++)
        if (m->disks[i].there && m->disks[i].nvme)
            snprintf(out->blocker, sizeof out->blocker,
                     "disk %u is on an NVMe controller, whose state cannot be saved: move it to "
                     "another bus while the VM is off",
                     i);
    lock_drop(&m->lock);
    return ok;
}

static bool is_free(const struct machine *m, struct err *err) REQUIRES(m->lock)
{
    return !m->memory || m->memory->ended ||
           err_set(err, ERR_BUSY, "the VM's memory is being written already");
}

bool fake_memory_save(struct machine *m, const struct machine_memory_save *save, struct err *err)
{
    bool ok = FAILPOINT("fake.memory", err);
    int fd = save->fd;

    for (size_t i = 0; i < save->n; i++) {
        int overlay_fd = save->overlays[i].fd;
        closep(&overlay_fd);
    }
    lock_take(&m->lock);
    ok = ok && fake_is_there(m, err) && is_free(m, err);
    if (ok) {
        fake_memory_forget(m);
        m->memory = mem_alloc(sizeof *m->memory);
        *m->memory =
            (struct fake_memory){.image = save->image, .fd = fd, .way = save->way, .n = save->n};
        if (save->n)
            m->memory->overlays = mem_dup(save->overlays, save->n * sizeof *save->overlays);
        m->memory->ran = m->running;
        m->memory->goes_on = save->goes_on;
        if (save->way == MEMORY_STILL)
            m->running = false;
    }
    lock_drop(&m->lock);
    if (!ok)
        closep(&fd);
    return ok && FAILPOINT("fake.memory.done", err);
}

static bool is_about(const struct machine *m, const struct uuid *image) REQUIRES(m->lock)
{
    return m->memory && uuid_eq(&m->memory->image, image);
}

bool fake_memory_state(struct machine *m, const struct uuid *image,
                       struct machine_memory_state *out, struct err *err)
{
    bool ok;

    *out = (struct machine_memory_state){.state = MEMORY_NONE};
    lock_take(&m->lock);
    ok = fake_is_there(m, err);
    if (ok && is_about(m, image)) {
        if (!m->memory->ended)
            step(m);
        look_at(m, out);
    }
    lock_drop(&m->lock);
    return ok;
}

bool fake_memory_end(struct machine *m, const struct uuid *image, bool cancel, struct err *err)
{
    const struct err why = {.code = ERR_CANCELLED, .detail = "it was cancelled"};
    bool ok = FAILPOINT("fake.memory.end", err);

    lock_take(&m->lock);
    ok = ok && fake_is_there(m, err);
    if (ok && is_about(m, image) && m->memory->ended && !cancel)
        fake_memory_forget(m);
    else if (ok && is_about(m, image) && !m->memory->ended && cancel)
        finish(m, &why);
    else if (ok && is_about(m, image) && cancel && m->memory->way == MEMORY_STILL &&
             !m->memory->goes_on && !m->memory->error[0])
        take_back(m, &why);
    lock_drop(&m->lock);
    return ok;
}

bool fake_memory_made(struct machine *m, char **made, struct err *err)
{
    CLEANUP(json_decrefp) json_t *body = json_object();
    bool ok;

    json_put_text(body, "hypervisor", "fake");
    json_put_u64(body, "memory_bytes", m->memory_bytes);
    lock_take(&m->lock);
    ok = fake_is_there(m, err);
    lock_drop(&m->lock);
    *made = ok ? json_write(body) : NULL;
    return ok;
}

bool fake_memory_fits(const char *made, const struct vm_spec *spec, enum vm_accel accel,
                      struct err *err)
{
    CLEANUP(json_decrefp) json_t *body = json_read(made, strlen(made), err);

    return body &&
           (str_eq(json_get_text(body, "hypervisor"), "fake") ||
            err_set(err, ERR_UNSUPPORTED, "it was made by another hypervisor")) &&
           (json_get_u64(body, "memory_bytes", 0) == spec->memory_bytes ||
            err_set(err, ERR_UNSUPPORTED, "it was made with another size of memory"));
}
