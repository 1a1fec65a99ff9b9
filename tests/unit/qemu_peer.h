/* A scripted worker in a thread, a helper that hands it out, and an owner that notes what it is
 * told: for the tests of backends/qemu. Included by one test program each. */
#pragma once
#include "tests/lib/harness.h"

#include "backends/qemu/machine.h"
#include "backends/qemu/plan.h"
#include "backends/qemu/qemu.h"
#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/sock.h"
#include "core/base/str.h"
#include "core/base/thread.h"
#include "core/port/host.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define WAIT_MS 5000

/* ---- the worker's side ---- */

struct peer {
    int sock;
    pthread_t thread;
    struct frame_reader reader;
    int mute;             /* requests of this type get no answer */
    int refuse;           /* ... are answered by ERROR */
    int hang_up;          /* ... end the conversation */
    const char *hello;    /* reply to HELLO */
    const char *launched; /* ... to LAUNCH; NULL: an empty one */
    json_t *heard;        /* payload of the last HELLO */
    uint64_t replay_from; /* after HELLO: RESET events from here … */
    uint64_t replay_to;   /* … to here */
    unsigned launch_fds;  /* descriptors that came with LAUNCH */
    /* What QEMU says to a command, before any other answer; NULL: that one */
    const char *(*lie)(const char *command);
    _Atomic uint64_t seq;
};

static inline void peer_send(struct peer *p, int type, uint32_t id, const void *data, size_t len)
{
    struct frame_header head = {.length = (uint32_t)len, .type = (uint16_t)type, .id = id};
    struct err err = {0};
    bool ok = frame_send(p->sock, &head, data, NULL, &err);

    err_ignore(ok, &err); /* the other side may have hung up: then it says so itself */
}

static inline void peer_text(struct peer *p, int type, uint32_t id, const char *text)
{
    peer_send(p, type, id, text, strlen(text));
}

/* 'data' is JSON text. */
static inline void peer_event(struct peer *p, const char *name, const char *data)
{
    CLEANUP(mem_freep)
    char *text = str_format("{\"seq\":%llu,\"at\":1,\"event\":\"%s\",\"data\":%s}",
                            (unsigned long long)++p->seq, name, data);

    peer_text(p, WORKER_EVENT, 0, text);
}

/* A picture's frame without pixels, which is all that main looks at. */
static const char tiny_png[] = "\x89PNG\r\n\x1a\n"
                               "\0\0\0\rIHDR\0\0\0\1\0\0\0\1\10\0\0\0\0crc!"
                               "\0\0\0\0IENDcrc!";

static inline const char *peer_qmp(struct peer *p, struct frame *f)
{
    static int lent = -1;
    struct err err = {0};
    CLEANUP(json_decrefp) json_t *request = json_read(f->payload, f->head.length, &err);
    const char *command = json_get_text(request, "execute");

    if (p->lie && p->lie(command))
        return p->lie(command);
    if (str_eq(command, "cont"))
        peer_event(p, "RESUME", "{}");
    else if (str_eq(command, "stop"))
        peer_event(p, "STOP", "{}");
    else if (str_eq(command, "add-fd")) {
        assert_int_equal(f->head.n_fds, 1);
        lent = TAKE_FD(f->fds[0]);
        assert_int_equal(fcntl(lent, F_GETFL) & O_ACCMODE, O_WRONLY);
        return "{\"fdset-id\":7,\"fd\":9}";
    } else if (str_eq(command, "screendump")) {
        assert_string_equal(json_get_text(json_object_get(request, "arguments"), "filename"),
                            "/dev/fdset/7");
        assert_int_equal(ftruncate(lent, 0), 0); /* as QEMU does */
        assert_true(write(lent, tiny_png, sizeof tiny_png - 1) > 0);
    } else if (str_eq(command, "remove-fd")) {
        close(lent);
        lent = -1;
    } else if (str_eq(command, "query-block"))
        return "[{\"io-status\":\"ok\"},{\"io-status\":\"nospace\"}]";
    return "{}";
}

static inline void peer_hello(struct peer *p, struct frame *f)
{
    struct err err = {0};

    json_decref(p->heard);
    p->heard = json_read(f->payload, f->head.length, &err);
    peer_text(p, WORKER_OK, f->head.id, p->hello);
    if (p->replay_from)
        p->seq = p->replay_from - 1;
    while (p->seq < p->replay_to)
        peer_event(p, "RESET", "{}");
}

static inline bool peer_answer(struct peer *p, struct frame *f)
{
    const char *reply = "{}";
    int type = f->head.type;

    if (type == p->hang_up)
        return false;
    if (type == p->mute)
        return true;
    if (type == p->refuse) {
        peer_text(p, WORKER_ERROR, f->head.id,
                  "{\"code\":\"hypervisor\",\"detail\":\"qemu: no such thing\"}");
        return true;
    }
    if (type == WORKER_HELLO) {
        peer_hello(p, f);
        return true;
    }
    if (type == WORKER_LAUNCH) {
        p->launch_fds = f->head.n_fds;
        reply = p->launched ? p->launched : reply;
    }
    if (type == WORKER_QMP)
        reply = peer_qmp(p, f);
    peer_text(p, WORKER_OK, f->head.id, reply);
    return true;
}

static inline void *peer_run(void *arg)
{
    struct peer *p = arg;
    struct err err = {0};
    struct frame f;
    bool on = true;

    while (on && frame_read(&p->reader, &f, &err)) {
        on = peer_answer(p, &f);
        frame_close_fds(&f);
    }
    shutdown(p->sock, SHUT_RDWR);
    return NULL;
}

/* Starts the worker; returns main's end of the socket. */
static inline int peer_start(struct peer *p)
{
    struct err err = {0};
    int ends[2];

    assert_true(sock_pair(SOCK_STREAM, ends, &err));
    p->sock = ends[1];
    p->reader = (struct frame_reader){.sock = ends[1]};
    if (!p->hello)
        p->hello = "{\"version\":1,\"phase\":\"idle\",\"events\":0}";
    assert_true(thread_start(&p->thread, "peer", peer_run, p, &err));
    return ends[0];
}

static inline void peer_stop(struct peer *p)
{
    shutdown(p->sock, SHUT_RDWR);
    pthread_join(p->thread, NULL);
    close(p->sock);
    frame_reader_clear(&p->reader);
    json_decref(p->heard);
    *p = (struct peer){0};
}

/* ---- the helper ---- */

static struct {
    char *dir;         /* holds the VMs' run directories */
    struct peer *peer; /* what host_worker_spawn() starts */
    unsigned kills;
    struct host_limits limits; /* of the last one that was started */
} helper;

bool host_worker_spawn(const struct uuid *vm, uint32_t slot, struct host_wants wants,
                       const struct host_limits *limits, int *sock, struct err *err)
{
    if (!helper.peer)
        return err_set(err, ERR_UNSUPPORTED, "no user namespaces");
    helper.limits = *limits;
    *sock = peer_start(helper.peer);
    return true;
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
    __atomic_add_fetch(&helper.kills, 1, __ATOMIC_SEQ_CST);
    return true;
}

bool host_run_dir(const struct uuid *vm, int *fd, struct err *err)
{
    CLEANUP(mem_freep) char *path = str_format("%s/%s", helper.dir, UUID_STR(vm));

    *fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *fd >= 0 || err_set(err, ERR_NOT_FOUND, "no run directory");
}

bool host_run_dir_remove(const struct uuid *vm, struct err *err)
{
    CLEANUP(closep) int dir = open(helper.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fs_remove_tree(dir, UUID_STR(vm), err);
}

const char *host_qemu_path(void)
{
    return "/usr/bin/qemu-system-x86_64";
}

/* ---- the owner ---- */

static struct {
    struct lock lock;
    struct cond more;
    struct machine_event events[64];
    unsigned n, taken;
} told;

static inline void told_event(void *ctx, const struct uuid *vm, const struct machine_event *event)
{
    lock_take(&told.lock);
    assert_true(told.n < ARRAY_LEN(told.events));
    told.events[told.n++] = *event;
    cond_wake_all(&told.more);
    lock_drop(&told.lock);
}

static const struct machine_owner owner = {told_event, NULL};

/* The next event, waited for. */
static inline struct machine_event told_next(void)
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
    if (!came)
        fail_msg("no event came");
    return event;
}

static inline unsigned told_left(void)
{
    unsigned n;

    lock_take(&told.lock);
    n = told.n - told.taken;
    lock_drop(&told.lock);
    return n;
}

static inline void assert_told(enum machine_event_kind kind, enum vm_reason reason)
{
    struct machine_event event = told_next();

    assert_int_equal(event.kind, kind);
    assert_int_equal(event.reason, reason);
}

/* ---- set-up ---- */

static inline int stage_up(void **state)
{
    helper.dir = tmp_dir_make();
    helper.peer = NULL;
    helper.kills = 0;
    lock_init(&told.lock);
    cond_init(&told.more);
    told.n = told.taken = 0;
    return 0;
}

static inline int stage_down(void **state)
{
#ifdef VMMD_FAILPOINTS
    failpoint_arm(NULL);
#endif
    tmp_dir_remove(helper.dir);
    return 0;
}

static inline unsigned open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;

    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}
