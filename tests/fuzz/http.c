/* Fuzz: a whole HTTP conversation: head, route, authentication, body, field tables, reply. The api
 * runs on the core of its unit tests; each input is one connection. Every answer begins with a
 * status line, and none of them is a 500. */
#include "tests/unit/api/fakes.h"

#include "api/api.h"
#include "core/base/log.h"
#include "core/base/sock.h"

#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#define QUIET_MS 50 /* a stream, or a connection that waits for more */

static struct api *api;
static struct core *core;

static void end(void)
{
    api_stop(api);
    fake_core_free(core);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const struct api_config patient = {
        .head_ms = 100, .idle_ms = 100, .stall_ms = 100, .send_ms = 100, .heartbeat_ms = 20};
    static const char *const names[] = {"x"};
    struct api_config config = patient;
    struct err err = {0};

    (void)argc;
    (void)argv;
    signal(SIGPIPE, SIG_IGN);
    setenv("VMMD_LOG", "error", 1);
    log_init("fuzz");
    config.core = core = fake_core_new();
    config.host_names = names;
    config.n_host_names = ARRAY_LEN(names);
    api = api_start(&config, &err);
    if (!api)
        abort();
    atexit(end);
    return 0;
}

static void hear(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char text[4096];
    bool first = true;

    while (poll(&p, 1, QUIET_MS) > 0) {
        ssize_t n = recv(fd, text, sizeof text - 1, 0);
        if (n <= 0)
            return;
        text[n] = 0;
        if (first &&
            (n < 12 || strncmp(text, "HTTP/1.", 7) != 0 || strncmp(text + 9, "500", 3) == 0))
            abort();
        first = false;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(4711)};
    uint8_t none[32] = {0};
    struct err err = {0};
    int pair[2];

    if (!sock_pair(SOCK_STREAM, pair, &err))
        abort();
    if (api_add_tls(api, pair[1], (struct sockaddr *)&peer, sizeof peer, none)) {
        (void)!send(pair[0], data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        shutdown(pair[0], SHUT_WR);
        hear(pair[0]);
    }
    close(pair[0]);
    return 0;
}
