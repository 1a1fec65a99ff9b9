/* A worker without its process: QEMU, main and the jail are the other ends of socket pairs, played
 * by the test. rig_pump() is the loop: it hands over what lies in the sockets until nothing is
 * left. */
#pragma once
#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/sock.h"
#include "tests/lib/worker_client.h"
#include "vmmd/jail/proto.h"
#include "vmmd/worker/worker.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct rig {
    struct worker w;
    struct client c;                 /* main's end; epoch 5 */
    int qemu, jail;                  /* the other ends */
    struct frame_reader from_worker; /* on 'jail' */
    char *run;
};

static inline int rig_pair(int *other, int flags)
{
    struct err err = {0};
    int pair[2];

    assert_true(sock_pair(SOCK_STREAM, pair, &err));
    assert_int_equal(fcntl(pair[0], F_SETFL, O_RDWR | flags), 0);
    *other = pair[1];
    return pair[0];
}

static inline bool rig_turn(struct rig *r)
{
    struct pollfd p[2 + CONV_MAX] = {{.fd = r->w.qmp.sock, .events = qmp_wants(&r->w)},
                                     {.fd = r->w.jail.sock, .events = POLLIN}};

    for (unsigned i = 0; i < CONV_MAX; i++) {
        const struct conv *c = &r->w.daemon.convs[i];
        p[2 + i] = (struct pollfd){.fd = c->sock,
                                   .events = c->sent < c->out.len ? POLLIN | POLLOUT : POLLIN};
    }
    if (poll(p, ARRAY_LEN(p), 0) <= 0)
        return false;
    for (unsigned i = 0; i < CONV_MAX; i++)
        if (p[2 + i].revents)
            daemon_ready(&r->w, i, p[2 + i].revents);
    if (p[0].revents)
        qmp_ready(&r->w, p[0].revents);
    if (p[1].revents)
        jail_link_ready(&r->w);
    daemon_sweep(&r->w, clock_mono_ms());
    return !r->w.leave;
}

static inline void rig_pump(struct rig *r)
{
    while (rig_turn(r))
        ;
}

/* What QEMU says; then what it was told: one line, owned by the caller. */
static inline void rig_qemu_says(struct rig *r, const char *text)
{
    assert_int_equal(send(r->qemu, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
    rig_pump(r);
}

static inline json_t *rig_qemu_hears(struct rig *r)
{
    char text[8192];
    size_t n = 0;

    rig_pump(r);
    while (n < sizeof text - 1 && recv(r->qemu, text + n, 1, MSG_DONTWAIT) == 1 &&
           text[n++] != '\n')
        ;
    return n ? json_loadb(text, n, 0, NULL) : NULL;
}

/* The next request's id, when it is 'command'; owned by the caller. */
static inline char *rig_expect_command(struct rig *r, const char *command)
{
    CLEANUP(json_decrefp) json_t *heard = rig_qemu_hears(r);

    if (!heard)
        fail_msg("QEMU was not told to %s", command);
    assert_string_equal(json_get_text(heard, "execute"), command);
    return strdup(json_get_text(heard, "id"));
}

static inline void rig_qemu_answers(struct rig *r, const char *id, const char *rest)
{
    char text[1024];

    snprintf(text, sizeof text, "{\"id\":\"%s\",%s}\r\n", id, rest);
    rig_qemu_says(r, text);
}

/* Takes one command of the worker itself and answers it with an empty object. */
static inline void rig_grant(struct rig *r, const char *command)
{
    char *id = rig_expect_command(r, command);

    rig_qemu_answers(r, id, "\"return\":{}");
    free(id);
}

/* The type of the next frame the jail got; 0 when there is none. */
static inline unsigned rig_jail_hears(struct rig *r)
{
    struct err err = {0};
    struct frame f;

    rig_pump(r);
    while (frame_next(&r->from_worker, &f, &err) == 0)
        if (frame_fill(&r->from_worker, &err) <= 0)
            return 0;
    frame_close_fds(&f);
    return f.head.type;
}

static inline void rig_jail_says(struct rig *r, unsigned type)
{
    struct frame_header head = {.type = (uint16_t)type};
    struct err err = {0};

    assert_true(frame_send(r->jail, &head, NULL, NULL, &err));
    rig_pump(r);
}

/* A worker whose QEMU is up, sealed and running; main has said HELLO. */
static inline void rig_init(struct rig *r)
{
    int main_end;

    *r = (struct rig){.run = tmp_dir_make()};
    r->w.vm = "0b5ee8e5-0000-4000-8000-000000000000";
    r->w.jail.qemu_pidfd = r->w.jail.init_pidfd = r->w.net.sock = r->w.jail.lifeline = -1;
    r->w.qmp.sock = r->w.words.pipe = r->w.words.log = -1;
    recorder_init(&r->w);
    split_init(&r->w);
    memory_init(&r->w);
    serial_init(&r->w);
    r->w.dir = open(r->run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    r->w.ending.wstatus = SIGKILL;
    daemon_init(&r->w);
    daemon_add(&r->w, rig_pair(&main_end, O_NONBLOCK));
    r->w.jail.sock = r->w.jail.in.sock = rig_pair(&r->jail, 0);
    assert_int_equal(fcntl(r->jail, F_SETFL, O_RDWR | O_NONBLOCK), 0);
    r->from_worker.sock = r->jail;
    client_init(&r->c, main_end, 5);
}

/* The next frame to main, which must be there already. */
static inline json_t *rig_answer(struct rig *r, uint32_t id, bool *failed)
{
    rig_pump(r);
    return client_answer(&r->c, id, failed);
}

static inline uint32_t rig_ask(struct rig *r, uint16_t type, const char *text)
{
    uint32_t id = client_send(&r->c, type, text, strlen(text), NULL, 0);

    rig_pump(r);
    return id;
}

static inline void rig_hello(struct rig *r)
{
    bool failed;
    uint32_t id = rig_ask(r, WORKER_HELLO, "{\"min\":1,\"max\":1,\"events_after\":0}");

    json_decref(rig_answer(r, id, &failed));
    assert_false(failed);
}

static inline void rig_start(struct rig *r)
{
    rig_init(r);
    rig_hello(r);
    r->w.phase = WORKER_LAUNCHING;
    r->w.launch.deadline_ms = INT64_MAX;
    qmp_open(&r->w, rig_pair(&r->qemu, O_NONBLOCK));
    rig_qemu_says(r, "{\"QMP\":{\"version\":{},\"capabilities\":[]}}\r\n");
    rig_grant(r, "qmp_capabilities");
    assert_int_equal(rig_jail_hears(r), JAIL_SEAL);
    rig_jail_says(r, JAIL_SEALED);
    rig_grant(r, "query-status");
    assert_int_equal(r->w.phase, WORKER_READY);
}

static inline void rig_clear(struct rig *r)
{
    qmp_close(&r->w);
    pivot_qemu_gone(&r->w);
    memory_qemu_gone(&r->w);
    memory_forget(&r->w);
    recorder_close(&r->w);
    if (r->qemu > 0)
        close(r->qemu);
    for (unsigned i = 0; i < CONV_MAX; i++)
        r->w.daemon.convs[i].broken = true;
    daemon_sweep(&r->w, 0);
    for (unsigned i = 0; i < WORKER_EVENTS; i++)
        free(r->w.events.texts[i]);
    strbuf_clear(&r->w.qmp.in);
    frame_reader_clear(&r->w.jail.in);
    frame_reader_clear(&r->from_worker);
    if (r->w.jail.sock >= 0)
        close(r->w.jail.sock);
    close(r->jail);
    close(r->c.sock);
    client_clear(&r->c);
    close(r->w.dir);
    tmp_dir_remove(r->run);
}
