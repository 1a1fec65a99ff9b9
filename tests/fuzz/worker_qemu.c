/* Fuzz: what a QEMU says to its worker. The input is a script, a line each:
 *
 *   +REST  QEMU answers the oldest command that it has not answered: {"id":"…",REST
 *   !X     somebody else does something, see 'requests' and other_side()
 *   other  QEMU says the line as it is
 *
 * Whatever comes: the worker does not hang, main is sent frames that it can read, QEMU never speaks
 * in the worker's name, its memory is bounded, and QEMU's end ends everything that was under way.
 * The splitter and the commit log are played here: they are processes and threads of their own. */
#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/sock.h"
#include "core/base/str.h"
#include "vmmd/worker/worker.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define TURNS_MAX 4096

static void must(bool what)
{
    if (!what)
        abort();
}

/* ---- the splitter and the commit log ---- */

static bool splitting, writing;

void split_init(struct worker *w)
{
    w->split = (struct split_link){.program = 0, .pidfd = -1, .again = -1, .report = -1};
    splitting = writing = false;
}

bool split_start(struct worker *w, int image, uint64_t ram_bytes, int *stream, struct err *err)
{
    *stream = memfd_create("stream", MFD_CLOEXEC);
    splitting = true;
    return true;
}

void split_ready(struct worker *w)
{
}

bool split_drop(struct worker *w, struct err *err)
{
    splitting = false;
    return true;
}

void split_kill(struct worker *w)
{
    splitting = false;
}

void recorder_init(struct worker *w)
{
    w->recorder.log = 0; /* never used as a descriptor: all who do are here */
    w->recorder.wake = -1;
}

bool recorder_open(struct worker *w, int log, struct err *err)
{
    return true;
}

void recorder_close(struct worker *w)
{
}

bool recorder_write(struct worker *w, const char *text, struct err *err)
{
    must(!w->recorder.busy);
    w->recorder.busy = writing = true;
    return true;
}

void recorder_ready(struct worker *w)
{
}

static void recorded(struct worker *w, bool ok)
{
    struct err err = {.code = ok ? ERR_NONE : ERR_INTERNAL, .detail = "the disk failed"};

    if (!writing)
        return;
    w->recorder.busy = writing = false;
    pivot_recorded(w, ok, &err);
}

static void split_over(struct worker *w, enum split_outcome outcome)
{
    w->split.said = (struct split_report){.outcome = outcome};
    if (splitting)
        memory_split_over(w, &w->split.said);
    splitting = false;
}

/* ---- the worker, with QEMU, main and the jail at the other ends ---- */

struct scene {
    struct worker w;
    int qemu, daemon, jail;
    struct strbuf heard; /* by QEMU, from the first line that was not answered on */
    struct frame_reader from_worker;
    uint32_t last_id;
    int64_t ahead_ms; /* what the clock was turned */
};

static int pair(int *other)
{
    struct err err = {0};
    int ends[2];

    must(sock_pair(SOCK_STREAM, ends, &err));
    must(fcntl(ends[0], F_SETFL, O_RDWR | O_NONBLOCK) == 0);
    must(fcntl(ends[1], F_SETFL, O_RDWR | O_NONBLOCK) == 0);
    *other = ends[1];
    return ends[0];
}

static void main_takes(struct scene *s);

static void pump(struct scene *s)
{
    struct worker *w = &s->w;

    for (unsigned turn = 0, quiet = 0; quiet < 2; turn++) {
        struct pollfd p[2] = {{.fd = w->qmp.sock, .events = qmp_wants(w)},
                              {.fd = w->daemon.convs[0].sock, .events = POLLIN}};
        must(turn < TURNS_MAX);
        if (w->daemon.convs[0].sent < w->daemon.convs[0].out.len)
            p[1].events |= POLLOUT;
        quiet = poll(p, 2, 0) > 0 ? 0 : quiet + 1;
        if (p[1].revents)
            daemon_ready(w, 0, p[1].revents);
        if (p[0].revents)
            qmp_ready(w, p[0].revents);
        daemon_sweep(w, clock_mono_ms());
        main_takes(s);
    }
}

static void ask(struct scene *s, uint16_t type, const char *text, int fd)
{
    struct frame_header head = {.length = (uint32_t)strlen(text),
                                .type = type,
                                .n_fds = fd >= 0,
                                .id = ++s->last_id,
                                .epoch = 5};
    struct err err = {0};

    must(frame_send(s->daemon, &head, text, &fd, &err));
    pump(s);
}

/* What came to main: frames whose payload can be read; nothing in the worker's name that it did not
 * say. */
static void main_takes(struct scene *s)
{
    struct frame f;
    struct err err = {0};

    while (frame_fill(&s->from_worker, &err) > 0)
        while (frame_next(&s->from_worker, &f, &err) > 0) {
            CLEANUP(json_decrefp)
            json_t *body = json_loadb(f.payload, f.head.length, JSON_DECODE_ANY, NULL);
            const char *event = json_get_text(body, "event");
            must(f.head.n_fds == 0 && body);
            must(f.head.type != WORKER_EVENT || event);
            must(f.head.type != WORKER_EVENT || !str_eq(event, "WORKER_EXITED"));
            must(f.head.type != WORKER_ERROR || json_get_text(body, "detail"));
        }
}

static void begin(struct scene *s)
{
    int main_end;

    *s = (struct scene){.w = {.vm = "0b5ee8e5-0000-4000-8000-000000000000"}};
    s->w.jail.qemu_pidfd = s->w.jail.init_pidfd = s->w.net.sock = s->w.jail.lifeline = -1;
    s->w.words.pipe = s->w.words.log = s->w.listen = s->w.signals = s->w.dir = -1;
    recorder_init(&s->w);
    split_init(&s->w);
    memory_init(&s->w);
    serial_init(&s->w);
    daemon_init(&s->w);
    main_end = pair(&s->daemon);
    daemon_add(&s->w, main_end);
    s->from_worker.sock = s->daemon;
    s->w.jail.sock = s->w.jail.in.sock = pair(&s->jail);
    qmp_open(&s->w, pair(&s->qemu));
    s->w.qmp.greeted = s->w.qmp.up = true;
    s->w.phase = WORKER_READY;
    status_set(&s->w, "running");
    ask(s, WORKER_HELLO, "{\"min\":1,\"max\":1,\"events_after\":0}", -1);
}

static void end(struct scene *s)
{
    struct worker *w = &s->w;

    must(w->qmp.in.len <= QMP_MAX_LINE + 65536 && w->qmp.queued <= QMP_MAX_QUEUE + 65536);
    recorded(w, true);
    qmp_close(w);
    pivot_qemu_gone(w);
    memory_qemu_gone(w);
    recorded(w, false);
    must(!w->pivot.ask && !memory_is_busy(w));
    pump(s);
    memory_forget(w);
    for (unsigned i = 0; i < CONV_MAX; i++) {
        struct conv *c = &w->daemon.convs[i];
        if (c->sock >= 0)
            close(c->sock);
        frame_reader_clear(&c->in);
        strbuf_clear(&c->out);
    }
    for (unsigned i = 0; i < WORKER_EVENTS; i++)
        free(w->events.texts[i]);
    strbuf_clear(&w->qmp.in);
    strbuf_clear(&s->heard);
    frame_reader_clear(&s->from_worker);
    frame_reader_clear(&w->jail.in);
    if (w->jail.sock >= 0)
        close(w->jail.sock);
    close(s->qemu);
    close(s->daemon);
    close(s->jail);
}

/* ---- the script ---- */

static void qemu_hears(struct scene *s)
{
    char piece[8192], control[256];
    ssize_t n = 1;

    while (n > 0) {
        struct iovec v = {piece, sizeof piece};
        struct msghdr m = {.msg_iov = &v,
                           .msg_iovlen = 1,
                           .msg_control = control,
                           .msg_controllen = sizeof control};
        n = recvmsg(s->qemu, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        for (struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL; c; c = CMSG_NXTHDR(&m, c))
            for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
                int fd;
                memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
                close(fd);
            }
        if (n > 0)
            strbuf_add(&s->heard, piece, (size_t)n);
    }
}

static void qemu_says(struct scene *s, const char *text, size_t len)
{
    ssize_t n = send(s->qemu, text, len, MSG_DONTWAIT | MSG_NOSIGNAL);

    (void)n;                      /* the worker may have hung up */
    s->w.flood.deaf_until_ms = 0; /* that time passes */
    pump(s);
}

static void qemu_answers(struct scene *s, const char *rest, size_t len)
{
    CLEANUP(json_decrefp) json_t *request = NULL;
    CLEANUP(mem_freep) char *text = NULL;
    const char *line_end, *id;

    qemu_hears(s);
    line_end = s->heard.len ? memchr(s->heard.data, '\n', s->heard.len) : NULL;
    if (!line_end)
        return;
    request = json_loadb(s->heard.data, (size_t)(line_end - s->heard.data), 0, NULL);
    id = json_get_text(request, "id");
    must(id != NULL);
    text = str_format("{\"id\":\"%s\",%.*s\n", id, (int)len, rest);
    s->heard.len -= (size_t)(line_end + 1 - s->heard.data);
    memmove(s->heard.data, line_end + 1, s->heard.len);
    qemu_says(s, text, strlen(text));
}

static void time_passes(struct scene *s, int64_t ms)
{
    s->ahead_ms += ms;
    pivot_tick(&s->w, clock_mono_ms() + s->ahead_ms);
    memory_tick(&s->w, clock_mono_ms() + s->ahead_ms);
    ending_tick(&s->w, clock_mono_ms() + s->ahead_ms);
    pump(s);
}

#define IMAGE "\"image\":\"5f0f3c0e-1c2d-4e5f-8a9b-0c1d2e3f4a5b\""
#define SAVE(way)                                                                                  \
    "{" IMAGE ",\"way\":\"" way "\",\"ram_bytes\":1048576,\"overlays\":[{\"node\":\"a\","          \
    "\"overlay\":\"b\"}]}"

static const struct {
    char word;
    uint16_t type;
    const char *text;
    bool with_fd;
} requests[] = {
    {'p', WORKER_PIVOT,
     "{\"jobs\":[\"j0\",\"j1\"],\"record\":{\"job\":\"5f0f3c0e-1c2d-4e5f-8a9b-0c1d2e3f4a5b\","
     "\"leaves\":[{\"disk\":\"5f0f3c0e-1c2d-4e5f-8a9b-0c1d2e3f4a5b\",\"file\":"
     "\"6f0f3c0e-1c2d-4e5f-8a9b-0c1d2e3f4a5b\"},{\"disk\":\"7f0f3c0e-1c2d-4e5f-8a9b-0c1d2e3f4a5b\","
     "\"file\":\"8f0f3c0e-1c2d-4e5f-8a9b-0c1d2e3f4a5b\"}]}}",
     false},
    {'b', WORKER_MEMORY, SAVE("background"), true},
    {'m', WORKER_MEMORY, SAVE("precopy"), true},
    {'s', WORKER_MEMORY, "{" IMAGE ",\"way\":\"still\",\"ram_bytes\":1048576,\"overlays\":[]}",
     true},
    {'a', WORKER_MEMORY, SAVE("pause"), true},
    {'c', WORKER_MEMORY_END, "{" IMAGE ",\"cancel\":true}", false},
    {'g', WORKER_MEMORY_END, "{" IMAGE ",\"cancel\":false}", false},
    {'w', WORKER_MEMORY_STATE, "{" IMAGE "}", false},
    {'l', WORKER_MEMORY_LOOK, "{}", false},
    {'q', WORKER_QMP, "{\"execute\":\"query-block\"}", false},
    {'z', WORKER_QMP, "{\"execute\":\"stop\"}", false},
    {'h', WORKER_HOLD, "{\"on\":true}", false},
    {'H', WORKER_HOLD, "{\"on\":false}", false},
    {'k', WORKER_KILL, "{}", false},
};

static void other_side(struct scene *s, char word)
{
    CLEANUP(closep) int fd = -1;

    for (size_t i = 0; i < ARRAY_LEN(requests); i++)
        if (requests[i].word == word && s->w.daemon.convs[0].sock >= 0) {
            fd = requests[i].with_fd ? memfd_create("image", MFD_CLOEXEC) : -1;
            ask(s, requests[i].type, requests[i].text, fd);
        }
    switch (word) {
    case 't':
        time_passes(s, 1000);
        break;
    case 'T':
        time_passes(s, 60000);
        break;
    case 'd':
        split_over(&s->w, SPLIT_DONE);
        break;
    case 'e':
        split_over(&s->w, SPLIT_CUT_SHORT);
        break;
    case 'r':
        recorded(&s->w, true);
        break;
    case 'f':
        recorded(&s->w, false);
        break;
    }
    pump(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *at = (const char *)data, *stop = at + size;
    unsigned lines = 0;
    static struct scene scene;

    begin(&scene);
    while (at < stop && lines++ < 200 && !scene.w.leave) {
        const char *line_end = memchr(at, '\n', (size_t)(stop - at));
        size_t len = line_end ? (size_t)(line_end - at) : (size_t)(stop - at);
        if (len == 2 && *at == '!')
            other_side(&scene, at[1]);
        else if (len && *at == '+')
            qemu_answers(&scene, at + 1, len - 1);
        else
            qemu_says(&scene, at, line_end ? len + 1 : len);
        at += len + 1;
    }
    end(&scene);
    return 0;
}
