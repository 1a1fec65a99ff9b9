/* A machine below core: the real worker, jail and QEMU, with two raw disks. The test plays the
 * helper. The guest counts on both disks (tests/lib/counter.h). */
#pragma once
#include "tests/lib/counter.h"

#include "backends/qemu/qemu.h"
#include "core/base/clock.h"
#include "core/base/commitlog.h"
#include "core/base/fs.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/ringlog.h"
#include "core/base/str.h"
#include "core/base/thread.h"
#include "core/port/backend.h"
#include "core/port/host.h"
#include "core/port/image.h"
#include "tests/lib/spawn.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SOON_MS   60000
#define BOOT_DISK (1u << 20)
#define DATA_DISK (64u << 20)
#define PIECES    32 /* of 4 KiB, all over the data disk */

static const struct uuid operation = {{0x77}};
static const struct uuid disk_ids[2] = {{{0xd0}}, {{0xd1}}};

/* ---- the helper, played by the test ---- */

static struct {
    struct spawned s;
    struct uuid vm;
    bool taken; /* the worker's first conversation */
} host;

bool host_worker_spawn(const struct uuid *vm, uint32_t slot, struct host_wants wants,
                       const struct host_limits *limits, int *sock, struct err *err)
{
    *sock = TAKE_FD(host.s.main);
    host.taken = true;
    return true;
}

bool host_worker_limit(const struct uuid *vm, const struct host_limits *limits, struct err *err)
{
    return true;
}

bool host_uffd_open(int *fd, struct err *err)
{
    *fd = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
    return *fd >= 0 || err_set(err, ERR_UNSUPPORTED, "not here");
}

bool host_worker_kill(const struct uuid *vm, struct err *err)
{
    return true;
}

bool host_run_dir(const struct uuid *vm, int *fd, struct err *err)
{
    CLEANUP(mem_freep) char *path = spawn_path(&host.s, "");

    *fd = host.taken ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    return *fd >= 0 || err_set(err, ERR_NOT_FOUND, "no run directory");
}

bool host_run_dir_remove(const struct uuid *vm, struct err *err)
{
    return true;
}

const char *host_qemu_path(void)
{
    return "/usr/bin/qemu-system-x86_64";
}

/* ---- files ---- */

static char *dir; /* all images */

static inline char *path_of(const struct uuid *file)
{
    return str_format("%s/%s", dir, UUID_STR(file));
}

static inline int open_file(const struct uuid *file, int flags)
{
    CLEANUP(mem_freep) char *path = path_of(file);
    int fd = open(path, flags | O_CLOEXEC, 0600);

    if (fd < 0)
        fail_msg("%s cannot be opened", path);
    return fd;
}

static inline struct uuid make_file(uint8_t number, enum disk_format format, uint64_t size,
                                    const struct uuid *parent)
{
    const struct uuid file = {{0xf0, number}};
    CLEANUP(closep) int fd = open_file(&file, O_RDWR | O_CREAT | O_EXCL);
    const struct image_parent below = {parent ? UUID_STR(parent) : "", DISK_RAW};
    struct err err = {0};

    if (!image_create(fd, format, size, parent ? &below : NULL, &err))
        fail_msg("%s", err.detail);
    return file;
}

static inline uint32_t counter_of(const struct uuid *file)
{
    CLEANUP(mem_freep) char *path = path_of(file);

    return counter_in_file(path);
}

static inline uint64_t allocated(const struct uuid *file)
{
    CLEANUP(closep) int fd = open_file(file, O_RDONLY);
    struct stat st;

    assert_int_equal(fstat(fd, &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

/* ---- the machine ---- */

static struct {
    struct lock lock;
    struct cond more;
    bool ended;
    enum vm_run run;
    bool paused;
    enum vm_reason reason;
} told;

static inline void on_event(void *ctx, const struct uuid *vm, const struct machine_event *event)
{
    lock_take(&told.lock);
    if (event->kind == MACHINE_EXITED) {
        told.ended = true;
        told.run = event->run;
    } else if (event->kind == MACHINE_PAUSED || event->kind == MACHINE_RUNNING) {
        told.paused = event->kind == MACHINE_PAUSED;
        told.reason = event->reason;
    }
    cond_wake_all(&told.more);
    lock_drop(&told.lock);
}

static inline void await_end(void)
{
    int64_t deadline_ms = clock_mono_ms() + SOON_MS;

    lock_take(&told.lock);
    while (!told.ended && cond_wait_until(&told.more, &told.lock, deadline_ms))
        ;
    lock_drop(&told.lock);
    assert_true(told.ended);
}

static struct machine *machine;
static int serial = -1, commit_log = -1;
static struct uuid leaves[2]; /* raw, without anything below */

static inline struct vm_spec *spec_new(void)
{
    CLEANUP(mem_freep) char *text = counter_spec("pivot");
    struct err err = {0};
    CLEANUP(json_decrefp) json_t *json = json_read(text, strlen(text), &err);
    struct vm_spec *spec = mem_alloc(sizeof *spec);

    if (!model_decode(&vm_model, json, MODEL_STORED, spec, &err))
        fail_msg("%s", err.detail);
    return spec;
}

static inline int dup_of(int fd)
{
    return fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

/* 'overlay': on the first disk from the start, open as a base then. NULL: the disks' files alone.
 */
static inline void start(struct uuid *overlay, bool runs)
{
    static const struct machine_owner owner = {on_event, NULL};
    struct vm_spec *spec = spec_new();
    struct machine_plan plan = {
        .vm = host.vm, .spec = spec, .accel = VM_ACCEL_TCG, MACHINE_PLAN_NO_FDS};
    struct plan_disk disks[2];
    struct err err = {0};
    int fds[2], chain[2] = {-1, -1}, raw = DISK_RAW;
    struct uuid both[2];

    for (unsigned i = 0; i < 2; i++) {
        fds[i] = open_file(&leaves[i], O_RDWR);
        disks[i] = (struct plan_disk){.id = disk_ids[i],
                                      .position = i,
                                      .format = DISK_RAW,
                                      .bus = DISK_BUS_IDE,
                                      .files = &leaves[i],
                                      .fds = &fds[i],
                                      .n_fds = 1};
    }
    if (overlay) {
        close(fds[0]);
        chain[0] = open_file(overlay, O_RDWR);
        chain[1] = open_file(&leaves[0], O_RDONLY);
        both[0] = *overlay;
        both[1] = leaves[0];
        disks[0].format = DISK_QCOW2;
        disks[0].files = both;
        disks[0].fds = chain;
        disks[0].n_fds = 2;
        disks[0].base_formats = &raw;
    }
    plan.disks = disks;
    plan.n_disks = 2;
    serial = memfd_create("serial", MFD_CLOEXEC);
    assert_true(ringlog_open(serial, 1 << 20, &err));
    plan.serial_log_fds[0] = dup_of(serial);
    plan.qemu_log_fd = memfd_create("log", MFD_CLOEXEC);
    plan.commit_fd = dup_of(commit_log);
    if (!backend_qemu.start(&plan, &owner, &machine, &err) ||
        (runs && !backend_qemu.cont(machine, &err)))
        fail_msg("%s", err.detail);
    vm_spec_clear(spec);
    free(spec);
}

/* The last number the guest said. */
static inline uint32_t said(void)
{
    static char text[1 << 20];
    struct err err = {0};
    uint64_t at = 0;
    ssize_t n = ringlog_read(serial, &at, text, sizeof text - 1, NULL, &err);
    char *save = NULL;
    uint32_t last = 0;

    assert_true(n >= 0);
    text[n] = 0;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        if (line[0] == 'E')
            fail_msg("the guest met a disk error after %x", last);
        if ((line[0] == '+' || line[0] == 'B') && strlen(line) == 9)
            last = (uint32_t)strtoul(line + 1, NULL, 16);
    }
    return last;
}

static inline void count_on(void)
{
    const uint32_t until = said() + 5;
    int64_t deadline_ms = clock_mono_ms() + SOON_MS;

    while (said() < until) {
        if (clock_mono_ms() > deadline_ms)
            fail_msg("the guest does not go on: it stands at %x", said());
        (void)poll(NULL, 0, 10); /* asked again until it has counted */
    }
}

/* By the power button: QEMU ends in order, and all it has is in its files. */
static inline uint32_t halt(void)
{
    struct err err = {0};

    assert_true(backend_qemu.powerdown(machine, &err));
    await_end();
    assert_int_equal(told.run, VM_OFF);
    return said();
}
