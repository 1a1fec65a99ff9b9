/* One fake machine a test, and an owner that notes what it tells. For the tests of the fake
 * backend, which include it once. */
#pragma once
#include "tests/lib/harness.h"

#include "backends/fake/fake.h"
#include "backends/qemu/png.h"
#include "core/base/clock.h"
#include "core/base/commitlog.h"
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/ringlog.h"
#include "core/base/str.h"
#include "core/base/thread.h"
#include "core/port/backend.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define WAIT_MS 5000

static const struct uuid vm = {{5}};

/* ---- an owner that notes; growth of the log only by its end ---- */

static struct {
    struct lock lock;
    struct cond more;
    struct machine_event events[32];
    unsigned n, taken;
    uint64_t serial_end;
} told;

static void told_event(void *ctx, const struct uuid *id, const struct machine_event *event)
{
    lock_take(&told.lock);
    if (event->kind == MACHINE_SERIAL)
        told.serial_end = event->serial_end;
    else if (told.n < ARRAY_LEN(told.events))
        told.events[told.n++] = *event;
    cond_wake_all(&told.more);
    lock_drop(&told.lock);
}

static const struct machine_owner owner = {told_event, NULL};

static struct machine_event told_next(void)
{
    int64_t deadline_ms = clock_mono_ms() + WAIT_MS;
    struct machine_event event = {0};
    bool came;

    lock_take(&told.lock);
    while (told.taken == told.n && cond_wait_until(&told.more, &told.lock, deadline_ms))
        ;
    came = told.taken < told.n;
    if (came)
        event = told.events[told.taken++];
    lock_drop(&told.lock);
    assert_true(came);
    return event;
}

static void assert_told(enum machine_event_kind kind, enum vm_reason reason)
{
    struct machine_event event = told_next();

    assert_int_equal(event.kind, kind);
    assert_int_equal(event.reason, reason);
}

/* ---- one machine a test ---- */

static struct machine *machine;
static int log_fd;    /* our own copy */
static int commit_fd; /* likewise */

static void log_text(char *out, size_t cap)
{
    struct err err = {0};
    uint64_t at = 0;
    ssize_t n = ringlog_read(log_fd, &at, out, cap - 1, NULL, &err);

    assert_true(n >= 0);
    out[n] = 0;
}

/* Waits until the log holds 'words'. */
static void await_words(const char *words)
{
    int64_t deadline_ms = clock_mono_ms() + WAIT_MS;
    char text[4096];
    bool found;

    lock_take(&told.lock);
    for (;;) {
        log_text(text, sizeof text);
        found = strstr(text, words) != NULL;
        if (found || !cond_wait_until(&told.more, &told.lock, deadline_ms))
            break;
    }
    lock_drop(&told.lock);
    if (!found)
        fail_msg("'%s' is not in the log: %s", words, text);
}

static const struct uuid disk_ids[2] = {{{1}}, {{2}}};
static struct uuid leaves[2] = {{{0xa1}}, {{0xa2}}};

static const struct vm_spec spec = {
    .memory_bytes = 1 << 20, .vcpus = 2, .cpu.max_vcpus = 4, .n_cdroms = 1, .serial_ports = 1};

/* 'image' is a memory image, taken; -1: a cold start. */
static bool start_with(int image, struct err *err)
{
    struct machine_plan plan = {.vm = vm, .spec = &spec, MACHINE_PLAN_NO_FDS};
    struct plan_disk disks[2] = {{.id = disk_ids[0], .files = &leaves[0]},
                                 {.id = disk_ids[1], .position = 1, .files = &leaves[1]}};

    plan.disks = disks;
    plan.n_disks = ARRAY_LEN(disks);
    plan.commit_fd = memfd_create("commit", MFD_CLOEXEC);
    commit_fd = fcntl(plan.commit_fd, F_DUPFD_CLOEXEC, 3);

    plan.memory_fd = image;
    plan.serial_log_fds[0] = memfd_create("serial", MFD_CLOEXEC);
    log_fd = fcntl(plan.serial_log_fds[0], F_DUPFD_CLOEXEC, 3);
    return backend_fake.start(&plan, &owner, &machine, err);
}

static bool start(struct err *err)
{
    return start_with(-1, err);
}

static int set_up(void **state)
{
    struct err err = {0};

    memset(&told, 0, sizeof told);
    lock_init(&told.lock);
    cond_init(&told.more);
    return start(&err) ? 0 : -1;
}

static int tear_down(void **state)
{
    backend_fake.release(machine);
    close(log_fd);
    close(commit_fd);
    return 0;
}

static void type(const char *text)
{
    struct err err = {0};

    assert_true(backend_fake.serial_write(machine, 0, text, strlen(text), &err));
}

static void boot(void)
{
    struct err err = {0};

    assert_true(backend_fake.cont(machine, &err));
    assert_told(MACHINE_RUNNING, VM_REASON_NONE);
    await_words("fake machine booted\r\n# ");
}

static void expect_leaf(unsigned disk, const struct uuid *file)
{
    struct err err = {0};
    bool yes = false;

    assert_true(backend_fake.is_leaf(machine, disk, file, &yes, &err));
    assert_true(yes);
}

#define STORY(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
