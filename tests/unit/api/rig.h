/* An api on the fake core, and a client that speaks raw HTTP over socket pairs. */
#pragma once
#include "tests/unit/api/fakes.h"

#include "api/api.h"
#include "core/base/sock.h"

#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#define ADMIN    "Authorization: Bearer vmmd_admin_x\r\n"
#define OPERATOR "Authorization: Bearer vmmd_operator_x\r\n"
#define VIEWER   "Authorization: Bearer vmmd_viewer_x\r\n"
#define PATIENCE 10000 /* ms until a test gives up on a reply */

struct rig {
    struct core *core;
    struct api *api;
};

struct reply_seen {
    unsigned status;
    char head[4096]; /* status line and headers */
    char *body;      /* NUL-terminated */
    size_t len;
};

/* Deadlines that a test's client keeps, however busy the machine is; rig_start_strict() has those
 * that a test waits for. */
static const struct api_config patient = {
    .head_ms = 20000, .idle_ms = 20000, .stall_ms = 20000, .send_ms = 20000};
static inline const struct api_config *strict(void)
{
    static const struct api_config config = {
        .head_ms = 100, .idle_ms = 150, .stall_ms = 100, .send_ms = 100, .heartbeat_ms = 40};

    return &config;
}

static int rig_start_with(void **state, const struct api_config *base)
{
    static const char *const names[] = {"x", "Lab.Example.org"};
    struct rig *rig = mem_alloc(sizeof *rig);
    struct api_config config = *base;
    struct err err = {0};

    signal(SIGPIPE, SIG_IGN);
    rig->core = fake_core_new();
    config.core = rig->core;
    config.host_names = names;
    config.n_host_names = ARRAY_LEN(names);
    rig->api = api_start(&config, &err);
    *state = rig;
    return rig->api ? 0 : -1;
}

static int rig_start(void **state)
{
    return rig_start_with(state, &patient);
}

static inline int rig_start_strict(void **state)
{
    return rig_start_with(state, strict());
}

static int rig_stop(void **state)
{
    struct rig *rig = *state;

    if (rig->api)
        api_stop(rig->api);
    fake_core_free(rig->core);
    free(rig);
    return 0;
}

/* A connection as the front hands it in. */
static int dial(struct rig *rig)
{
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(4711)};
    uint8_t none[32] = {0};
    struct err err = {0};
    int pair[2];

    assert_true(sock_pair(SOCK_STREAM, pair, &err));
    api_add_tls(rig->api, pair[1], (struct sockaddr *)&peer, sizeof peer, none);
    return pair[0];
}

static inline int dial_unix(struct rig *rig)
{
    struct err err = {0};
    int pair[2];

    assert_true(sock_pair(SOCK_STREAM, pair, &err));
    assert_true(api_add_unix(rig->api, pair[1]));
    return pair[0];
}

/* As another user of the host; -1 when there is no room. Only root can ask it. */
static inline int dial_unix_as(struct rig *rig, uid_t uid)
{
    struct err err = {0};
    int pair[2];

    assert_int_equal(seteuid(uid), 0);
    assert_true(sock_pair(SOCK_STREAM, pair, &err));
    assert_int_equal(seteuid(0), 0);
    if (api_add_unix(rig->api, pair[1]))
        return pair[0];
    close(pair[0]);
    return -1;
}

static inline void say_bytes(int fd, const char *data, size_t len)
{
    while (len) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n <= 0)
            return; /* closed on us: the reply tells */
        data += n;
        len -= (size_t)n;
    }
}

static void say(int fd, const char *text)
{
    say_bytes(fd, text, strlen(text));
}

/* One byte, or -1 at the end of the stream. */
static int hear(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    unsigned char c;

    if (poll(&p, 1, PATIENCE) <= 0)
        fail_msg("no answer within %d ms", PATIENCE);
    return recv(fd, &c, 1, 0) == 1 ? c : -1;
}

/* Reads until 'mark' has come; the text read, owned. Fails the test at the end of the stream. */
static char *hear_until(int fd, const char *mark)
{
    struct strbuf text = {0};

    while (!text.len || !strstr(text.data, mark)) {
        int c = hear(fd);
        if (c < 0)
            fail_msg("the stream ended before '%s': %s", mark, text.data ? text.data : "");
        strbuf_add(&text, &(char){(char)c}, 1);
    }
    return strbuf_take(&text);
}

static inline void assert_closed(int fd)
{
    while (hear(fd) >= 0)
        ;
    close(fd);
}

/* One reply with Content-Length (or none). */
static struct reply_seen listen_to(int fd, bool is_head)
{
    struct reply_seen r = {0};
    char *head = hear_until(fd, "\r\n\r\n");
    const char *length = strcasestr(head, "Content-Length:");

    str_copy(r.head, sizeof r.head, head);
    free(head);
    r.status = (unsigned)atoi(r.head + 9);
    r.len = length && !is_head && r.status != 304
                ? strtoul(strchr(strcasestr(r.head, "Content-Length:"), ':') + 1, NULL, 10)
                : 0;
    r.body = mem_alloc(r.len + 1);
    for (size_t i = 0; i < r.len; i++) {
        int c = hear(fd);
        assert_true(c >= 0);
        r.body[i] = (char)c;
    }
    return r;
}

static inline void reply_seen_clear(struct reply_seen *r)
{
    mem_freep(&r->body);
}

/* "METHOD /path" with headers (each with CRLF) and a body, on a connection of its own. */
static inline struct reply_seen ask(struct rig *rig, const char *line, const char *headers,
                                    const char *body)
{
    CLEANUP(strbuf_clear) struct strbuf text = {0};
    struct reply_seen r;
    int fd = dial(rig);

    strbuf_addf(&text, "%s HTTP/1.1\r\nHost: x\r\n%s", line, headers);
    if (body)
        strbuf_addf(&text, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
                    strlen(body));
    strbuf_addf(&text, "\r\n%s", body ? body : "");
    say(fd, text.data);
    r = listen_to(fd, strncmp(line, "HEAD", 4) == 0);
    close(fd);
    return r;
}

/* Status and (unless NULL) a piece of head or body. */
static inline void expect(struct rig *rig, const char *line, const char *headers, const char *body,
                          unsigned status, const char *piece)
{
    CLEANUP(reply_seen_clear) struct reply_seen r = ask(rig, line, headers, body);

    if (r.status != status)
        fail_msg("%s: %u instead of %u: %s", line, r.status, status, r.body);
    if (piece && !strstr(r.body, piece) && !strstr(r.head, piece))
        fail_msg("%s: no '%s' in: %s%s", line, piece, r.head, r.body);
    if (status >= 400)
        assert_non_null(strstr(r.head, "application/problem+json"));
}
