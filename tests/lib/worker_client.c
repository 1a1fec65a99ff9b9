/* Speaking with a worker: see worker_client.h. */
#include "tests/lib/harness.h"

#include "tests/lib/worker_client.h"

#include "backends/qemu/preload.h"
#include "core/base/frame.h"
#include "core/base/ringlog.h"
#include "core/base/sock.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* 16-bit code: prints "BOOT\n" on COM1, then echoes every byte but these: 'q' powers off (ACPI port
 * 604h), 'r' resets (port CF9h), 'h' halts for ever, 'f' prints dots for ever. */
static const unsigned char boot_sector[] = {
    0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xd0, 0xbc, 0x00, 0x7c, 0xba, 0xfb, 0x03, 0xb0, 0x80, 0xee, 0xba,
    0xf8, 0x03, 0xb0, 0x01, 0xee, 0x42, 0x30, 0xc0, 0xee, 0xba, 0xfb, 0x03, 0xb0, 0x03, 0xee, 0xbe,
    0x78, 0x7c, 0xac, 0x84, 0xc0, 0x74, 0x05, 0xe8, 0x23, 0x00, 0xeb, 0xf6, 0xba, 0xfd, 0x03, 0xec,
    0xa8, 0x01, 0x74, 0xf8, 0xba, 0xf8, 0x03, 0xec, 0x3c, 0x71, 0x74, 0x22, 0x3c, 0x72, 0x74, 0x29,
    0x3c, 0x68, 0x74, 0x21, 0x3c, 0x66, 0x74, 0x29, 0xe8, 0x02, 0x00, 0xeb, 0xdf, 0x88, 0xc4, 0xba,
    0xfd, 0x03, 0xec, 0xa8, 0x20, 0x74, 0xfb, 0xba, 0xf8, 0x03, 0x88, 0xe0, 0xee, 0xc3, 0xba, 0x04,
    0x06, 0xb8, 0x00, 0x20, 0xef, 0xfa, 0xf4, 0xeb, 0xfc, 0xba, 0xf9, 0x0c, 0xb0, 0x06, 0xee, 0xeb,
    0xf4, 0xb0, 0x2e, 0xe8, 0xd7, 0xff, 0xeb, 0xf9, 'B',  'O',  'O',  'T',  '\n', 0x00};

void client_init(struct client *c, int sock, uint32_t epoch)
{
    struct err err = {0};

    *c =
        (struct client){.sock = sock, .epoch = epoch, .in = {.sock = sock}, .events = json_array()};
    assert_true(sock_set_timeout_ms(sock, WORKER_TEST_MS, &err));
}

void client_clear(struct client *c)
{
    frame_reader_clear(&c->in);
    json_decref(c->events);
    c->events = NULL;
}

uint32_t client_send(struct client *c, uint16_t type, const void *data, size_t len, const int *fds,
                     unsigned n_fds)
{
    struct frame_header head = {.length = (uint32_t)len,
                                .type = type,
                                .n_fds = (uint16_t)n_fds,
                                .id = ++c->last_id,
                                .epoch = c->epoch};
    struct err err = {0};

    if (!frame_send(c->sock, &head, data, fds, &err))
        fail_msg("%s", err.detail);
    return head.id;
}

/* Notes an event or the end of the serial log. */
static void note(struct client *c, const struct frame *f)
{
    struct err err = {0};

    if (f->head.type == WORKER_EVENT)
        json_array_append_new(c->events, json_read(f->payload, f->head.length, &err));
    else if (f->head.type == WORKER_SERIAL)
        memcpy(&c->serial_end, f->payload, sizeof c->serial_end);
}

void client_wait(struct client *c)
{
    struct err err = {0};
    struct frame f;

    if (!frame_read(&c->in, &f, &err))
        fail_msg("waited in vain: %s", err.detail);
    note(c, &f);
}

json_t *client_answer(struct client *c, uint32_t id, bool *failed)
{
    struct err err = {0};
    struct frame f;
    json_t *body;

    do {
        if (!frame_read(&c->in, &f, &err))
            fail_msg("no answer: %s", err.detail);
        note(c, &f);
    } while (f.head.id != id);
    *failed = f.head.type == WORKER_ERROR;
    body = json_loadb(f.payload, f.head.length, JSON_DECODE_ANY, NULL);
    assert_non_null(body);
    return body;
}

json_t *client_ask(struct client *c, uint16_t type, const char *text)
{
    bool failed;
    json_t *body = client_answer(c, client_send(c, type, text, strlen(text), NULL, 0), &failed);

    if (failed)
        fail_msg("refused: %s", json_get_text(body, "detail"));
    return body;
}

void client_tell(struct client *c, uint16_t type, const char *text)
{
    json_decref(client_ask(c, type, text));
}

void client_expect_refusal(struct client *c, uint16_t type, const char *text, const char *code)
{
    bool failed;
    json_t *body = client_answer(c, client_send(c, type, text, strlen(text), NULL, 0), &failed);

    if (!failed)
        fail_msg("not refused: %.200s", text);
    assert_string_equal(json_get_text(body, "code"), code);
    assert_true(strlen(json_get_text(body, "detail")) > 5);
    json_decref(body);
}

json_t *client_hello(struct client *c, uint64_t after)
{
    char text[96];

    snprintf(text, sizeof text, "{\"min\":1,\"max\":1,\"events_after\":%llu}",
             (unsigned long long)after);
    return client_ask(c, WORKER_HELLO, text);
}

json_t *client_qmp(struct client *c, const char *command)
{
    char text[128];

    snprintf(text, sizeof text, "{\"execute\":\"%s\"}", command);
    return client_ask(c, WORKER_QMP, text);
}

static const json_t *find_event(const struct client *c, const char *name)
{
    size_t i;
    json_t *e;

    json_array_foreach (c->events, i, e)
        if (str_eq(json_get_text(e, "event"), name))
            return e;
    return NULL;
}

const json_t *client_await_event(struct client *c, const char *name)
{
    while (!find_event(c, name))
        client_wait(c);
    return find_event(c, name);
}

void client_await_end(struct client *c)
{
    struct err err = {0};
    struct frame f;

    while (frame_read(&c->in, &f, &err))
        note(c, &f);
    assert_int_equal(err.code, ERR_UNAVAILABLE);
}

static int memory_file(const char *name, const void *data, size_t len, size_t size)
{
    int fd = memfd_create(name, MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    assert_int_equal(pwrite(fd, data, len, 0), (ssize_t)len);
    return fd;
}

static int boot_disk(void)
{
    int fd = memory_file("disk", boot_sector, sizeof boot_sector, 1 << 20);

    assert_int_equal(pwrite(fd, "\x55\xaa", 2, 510), 2);
    return fd;
}

#define DISK_NODE                                                                                  \
    "{\"driver\":\"raw\",\"node-name\":\"d0\","                                                    \
    "\"file\":{\"driver\":\"file\",\"filename\":\"/dev/fdset/1\"}}"

static const char *const common_args[] = {
    "/usr/bin/qemu-system-x86_64",
    "-nodefaults",
    "-no-user-config",
    "-S",
    "-display",
    "none",
    "-machine",
    "pc,accel=tcg",
    "-m",
    "16",
    "-action",
    "shutdown=pause,panic=pause,reboot=reset,watchdog=pause",
    "-sandbox",
    "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
    "-add-fd",
    "fd=6,set=1",
    "-blockdev",
    DISK_NODE,
    "-device",
    "ide-hd,drive=d0",
    "-chardev",
    "socket,id=mon,fd=3",
    "-mon",
    "chardev=mon,mode=control",
    "-chardev",
    "socket,id=ser,fd=4",
    "-serial",
    "chardev:ser"};

static char *launch_text(const struct guest *g, const char *extra_arg, const char *mtu)
{
    CLEANUP(json_decrefp)
    json_t *root = json_pack(
        "{s:[],s:[{s:i,s:s},{s:i,s:s},{s:i,s:s,s:i},{s:s,s:s,s:i}],s:{s:i,s:i}}", "argv", "fds",
        "fd", 3, "role", "qmp", "fd", 4, "role", "serial", "fd", 6, "role", "file", "index", 0,
        "input", "kernel", "role", "file", "index", 1, "logs", "serial", 2, "qemu", 3);
    json_t *argv = json_object_get(root, "argv");

    for (unsigned i = 0; i < ARRAY_LEN(common_args); i++)
        json_array_append_new(argv, json_string(common_args[i]));
    if (mtu) {
        json_array_append_new(json_object_get(root, "fds"),
                              json_pack("{s:i,s:s}", "fd", 5, "role", "passt"));
        json_object_set_new(root, "passt", json_pack("[s,s]", "--mtu", mtu));
        json_array_append_new(argv, json_string("-netdev"));
        json_array_append_new(
            argv, json_string("{\"type\":\"stream\",\"id\":\"n0\",\"addr\":{\"type\":\"fd\","
                              "\"str\":\"5\"}}"));
        json_array_append_new(argv, json_string("-device"));
        json_array_append_new(argv, json_string("virtio-net-pci,netdev=n0,romfile="));
    }
    if (g->file_max_bytes)
        json_put_u64(root, "file_max_bytes", g->file_max_bytes);
    if (g->uffd >= 0)
        json_array_append_new(
            json_object_get(root, "fds"),
            json_pack("{s:i,s:s,s:i}", "fd", PRELOAD_FD_UFFD, "role", "file", "index", 4));
    if (extra_arg)
        json_array_append_new(argv, json_string(extra_arg));
    return json_write(root);
}

void guest_init(struct guest *g, bool rootless)
{
    json_t *about;

    spawn_worker(&g->s, rootless);
    client_init(&g->c, g->s.main, 5);
    about = client_hello(&g->c, 0);
    assert_string_equal(json_get_text(about, "phase"), "idle");
    assert_string_equal(json_get_text(about, "vm"), g->s.vm);
    json_decref(about);
    g->serial_log = memory_file("serial", "", 0, 0);
    g->qemu_log = memory_file("qemu", "", 0, 0);
    g->uffd = -1;
    g->file_max_bytes = 0;
    g->qemu = 0;
}

void guest_clear(struct guest *g)
{
    client_clear(&g->c);
    close(g->serial_log);
    close(g->qemu_log);
    spawn_clear(&g->s);
}

int guest_dial(const struct guest *g)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    char *path = spawn_path(&g->s, WORKER_SOCK);
    int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    str_copy(to.sun_path, sizeof to.sun_path, path);
    if (connect(sock, (struct sockaddr *)&to, sizeof to) < 0)
        fail_msg("connect %s: %s", path, strerror(errno));
    free(path);
    return sock;
}

json_t *guest_launch_answer(struct guest *g, const char *extra_arg, const char *mtu, bool *failed)
{
    char *text = launch_text(g, extra_arg, mtu);
    int fds[5] = {boot_disk(), memory_file("kernel", "not read", 8, 8), g->serial_log, g->qemu_log,
                  g->uffd};
    uint32_t id = client_send(&g->c, WORKER_LAUNCH, text, strlen(text), fds, g->uffd >= 0 ? 5 : 4);

    close(fds[0]);
    close(fds[1]);
    free(text);
    return client_answer(&g->c, id, failed);
}

void guest_launch(struct guest *g, const char *mtu)
{
    bool failed;
    json_t *body = guest_launch_answer(g, NULL, mtu, &failed);

    if (failed)
        fail_msg("launch: %s", json_get_text(body, "detail"));
    g->qemu = (pid_t)json_get_u64(body, "qemu_pid", 0);
    assert_true(g->qemu > 1);
    json_decref(body);
}

void guest_boot(struct guest *g, bool rootless)
{
    guest_init(g, rootless);
    guest_launch(g, NULL);
    json_decref(client_qmp(&g->c, "cont"));
    guest_await_serial(g, "BOOT\n");
}

void guest_type(struct guest *g, const char *text)
{
    client_tell(&g->c, WORKER_INPUT, text);
}

char *guest_serial(const struct guest *g)
{
    struct strbuf all = {0};
    struct err err = {0};
    uint64_t at = 0;
    char piece[4096];
    ssize_t n;

    while ((n = ringlog_read(g->serial_log, &at, piece, sizeof piece, NULL, &err)) > 0) {
        strbuf_add(&all, piece, (size_t)n);
        at += (uint64_t)n;
    }
    assert_true(n == 0);
    return strbuf_take(&all);
}

void guest_await_serial(struct guest *g, const char *text)
{
    for (;;) {
        char *now = guest_serial(g);
        bool there = strstr(now, text);
        free(now);
        if (there)
            return;
        client_wait(&g->c);
    }
}

void guest_expect_record(const struct guest *g, const char *cause, int wstatus)
{
    char *path = spawn_path(&g->s, WORKER_EXIT);
    json_t *record = json_load_file(path, 0, NULL);

    assert_non_null(record);
    assert_string_equal(json_get_text(record, "cause"), cause);
    if (wstatus >= 0)
        assert_int_equal(json_get_u64(record, "wstatus", 9999), wstatus);
    assert_int_equal(strlen(json_get_text(record, "boot_id")), 36);
    json_decref(record);
    free(path);
}

void guest_expect_clean_end(struct guest *g)
{
    char *path = spawn_path(&g->s, WORKER_SOCK);
    int status = spawn_wait(&g->s, WORKER_TEST_MS);

    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("the worker ended with wait status %#x", (unsigned)status);
    assert_int_equal(access(path, F_OK), -1);
    assert_true(guest_lock_is_free(g));
    free(path);
}

bool guest_lock_is_free(const struct guest *g)
{
    char *path = spawn_path(&g->s, WORKER_ALIVE);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    bool mine = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0;

    assert_true(fd >= 0);
    free(path);
    close(fd);
    return mine;
}
