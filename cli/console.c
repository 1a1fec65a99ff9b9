/* vmmctl console VM: the guest's serial console.
 *
 * Theory of operation: a reader thread long-polls GET …/serial from an offset on and writes what
 * comes to stdout; the calling thread reads stdin and POSTs it. The offset is fixed before the
 * first key is sent, so an answer cannot be missed, and it makes the console survive a restart of
 * the service without losing or repeating a byte.
 *
 *   stdin ──► caller ──POST──► service          service ──GET wait=20──► reader ──► stdout
 *               ▲ interrupt fd                                │ 'until' matched, or a fault
 *               └──────────── done (eventfd) ◄───────────────┘
 *               └─ stop (eventfd) ─► ends the reader's request at once */
#include "cli/cli.h"
#include "cli/interrupt.h"
#include "cli/tty.h"
#include "cli/until.h"
#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/thread.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define WAIT_S      20
#define RETRY_MS    500
#define INPUT_CHUNK 4096
#define NO_ESCAPE   -1
#define NO_DEADLINE INT64_MAX

static bool console_run(struct cli *cli, struct fault *fault) MUST_USE;

static const struct flag flags[] = {
    {"escape", 'e', "KEY", "key that detaches: ^] (the default), ^A to ^_, one character, or none"},
    {"history", 0, "N", "show the last N bytes first (default 0)"},
    {"until", 0, "REGEX", "end with exit code 0 as soon as the guest's output matches"},
    {"timeout", 0, "TIME", "end after this time; with --until exit code 7"},
    {0},
};

const struct command console_commands[] = {
    {NULL, "VM", 1, 1, 0, flags, "connect to a VM's serial console",
     "At a terminal every key goes to the guest, Ctrl-C too; Ctrl-] detaches. Otherwise standard "
     "input is sent to the guest and its output is written until --until matches, --timeout has "
     "passed, or Ctrl-C. The console also works while the VM is off: it then waits for output.",
     "  vmmctl console web\n"
     "  echo 'uname -r' | vmmctl console web --until '^[0-9]+\\.[0-9]+' --timeout 30s\n"
     "  vmmctl console web --history 65536 --timeout 0 </dev/null",
     console_run, false},
    {0},
};

struct console {
    struct cli *cli;
    int escape;          /* byte that detaches, NO_ESCAPE */
    bool raw;            /* the terminal is ours */
    int64_t deadline_ms; /* monotonic */
    int done, stop;      /* eventfds: reader -> caller, caller -> reader */

    /* the reader's until it has ended */
    struct http *http;
    uint64_t offset;
    struct until until;
    bool matched;
    struct fault fault;
};

/* ---- messages: a raw terminal needs its own line ends ---- */

static void notice(const struct console *c, const char *text)
{
    if (c->raw)
        fputs("\r\n", c->cli->err);
    cli_say(c->cli, "[%s]", text);
    if (c->raw)
        fputs("\r", c->cli->err);
}

static void ring(int fd)
{
    uint64_t one = 1;

    if (write(fd, &one, sizeof one) < 0)
        return; /* full: it is readable already */
}

/* ---- reader ---- */

/* One long-poll. Returns false at the end: a fault, a stop, or a match. */
static bool read_once(struct console *c, struct http_reply *reply, struct fault *fault)
{
    CLEANUP(mem_freep) char *base = http_path("/vms/{}/serial", cli_word(c->cli, 0));
    CLEANUP(mem_freep)
    char *path = str_format("%s?offset=%llu&wait=%d", base, (unsigned long long)c->offset, WAIT_S);
    CLEANUP(mem_freep) char *next = NULL;
    struct http_request request = {
        .method = "GET", .path = path, .timeout_ms = (WAIT_S + 15) * 1000};

    if (!http_call(c->http, &request, reply, fault))
        return false;
    next = http_header(reply, "Vmmd-Serial-Next");
    if (!str_to_u64(next, &c->offset))
        return fault_set(fault, CLI_FAILED, "the reply has no offset; is this vmmd?");
    return true;
}

static bool write_out(struct console *c, const struct strbuf *data, struct fault *fault)
{
    FILE *out = c->cli->out;

    if (data->len && (fwrite(data->data, 1, data->len, out) != data->len || fflush(out) != 0))
        return fault_set(fault, CLI_FAILED, "%s%s", errno == EPIPE ? "" : "writing the output: ",
                         errno == EPIPE ? "" : strerror(errno));
    return true;
}

static bool pause_before_retry(const struct console *c)
{
    struct pollfd p = {.fd = c->stop, .events = POLLIN};

    return poll(&p, 1, RETRY_MS) == 0;
}

static void *reader(void *arg)
{
    struct console *c = arg;
    bool lost = false;

    for (;;) {
        CLEANUP(http_reply_clear) struct http_reply reply = {0};

        if (read_once(c, &reply, &c->fault)) {
            lost = false;
            if (!write_out(c, &reply.body, &c->fault))
                break;
            c->matched = until_seen(&c->until, reply.body.data, reply.body.len);
            if (c->matched)
                break;
        } else if (c->fault.exit == CLI_UNREACHABLE || c->fault.exit == CLI_TIMED_OUT) {
            if (!lost)
                notice(c, "connection lost, trying again");
            lost = true;
            if (!pause_before_retry(c))
                break;
        } else {
            break;
        }
    }
    ring(c->done);
    return NULL;
}

/* ---- writer ---- */

static bool send_keys(struct console *c, const char *keys, size_t len, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/vms/{}/serial", cli_word(c->cli, 0));
    CLEANUP(http_reply_clear) struct http_reply reply = {0};
    struct http_request request = {.method = "POST",
                                   .path = path,
                                   .body = keys,
                                   .body_len = len,
                                   .content_type = "application/octet-stream",
                                   .once = true};

    if (!len || http_call(c->cli->http, &request, &reply, fault))
        return true;
    if (!c->raw || fault->exit == CLI_INTERRUPTED || fault->exit == CLI_AUTH)
        return false;
    notice(c, fault->detail); /* at a terminal a VM that is off is no reason to leave */
    return true;
}

/* 1: go on, 0: standard input has ended or the escape key came ('*detached'), -1: fault */
static int pump_input(struct console *c, bool *detached, struct fault *fault)
{
    char keys[INPUT_CHUNK];
    ssize_t n = read(c->cli->in, keys, sizeof keys);
    const char *escape;

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return 1;
    if (n <= 0) {
        *detached = c->raw; /* the terminal went away */
        return 0;
    }
    escape = c->raw && c->escape != NO_ESCAPE ? memchr(keys, c->escape, (size_t)n) : NULL;
    *detached = escape != NULL;
    if (!send_keys(c, keys, escape ? (size_t)(escape - keys) : (size_t)n, fault))
        return -1;
    return escape ? 0 : 1;
}

static int time_left(const struct console *c)
{
    int64_t left = c->deadline_ms == NO_DEADLINE ? INT_MAX : clock_left_ms(c->deadline_ms);

    return left > INT_MAX ? INT_MAX : (int)left;
}

static void say_input_ended(const struct console *c)
{
    if (!c->raw && !c->until.active && c->deadline_ms == NO_DEADLINE)
        notice(c, "the input has ended; Ctrl-C ends, --until or --timeout would end it by itself");
}

/* Until the reader ends, a key detaches, the time is over or a signal comes. */
static bool talk(struct console *c, struct fault *fault)
{
    struct pollfd p[3] = {{.fd = c->cli->in, .events = POLLIN},
                          {.fd = c->done, .events = POLLIN},
                          {.fd = interrupt_fd(), .events = POLLIN}};
    bool detached = false;

    while (!detached) {
        int n = poll(p, 3, time_left(c));

        if (n < 0 && errno != EINTR)
            return fault_set(fault, CLI_FAILED, "poll: %s", strerror(errno));
        if (interrupt_signal())
            return fault_set(fault, CLI_INTERRUPTED, "%s", "");
        if (n > 0 && p[1].revents)
            return true;
        if (n == 0 && c->deadline_ms != NO_DEADLINE)
            return true;
        if (n > 0 && p[0].revents) {
            int more = pump_input(c, &detached, fault);
            if (more < 0)
                return false;
            if (more == 0) {
                p[0].fd = -1;
                say_input_ended(c);
            }
        }
    }
    return true;
}

/* ---- set up and end ---- */

static bool parse_escape(const char *text, int *out, struct fault *fault)
{
    size_t n = text ? strlen(text) : 0;

    *out = 0x1d;
    if (!text)
        return true;
    if (str_eq(text, "none"))
        *out = NO_ESCAPE;
    else if (n == 1)
        *out = (unsigned char)text[0];
    else if (n == 2 && text[0] == '^' && text[1] >= 'a' && text[1] <= 'z')
        *out = text[1] - 'a' + 1;
    else if (n == 2 && text[0] == '^' && text[1] >= '@' && text[1] <= '_')
        *out = text[1] - '@';
    else
        return fault_set(fault, CLI_USAGE, "--escape '%.20s': write ^], ^A, one character or none",
                         text);
    return true;
}

/* The offset to start from: the log's end, or 'history' bytes before it. */
static bool find_start(struct console *c, uint64_t history, struct fault *fault)
{
    CLEANUP(mem_freep)
    char *path = http_path("/vms/{}/serial?offset=end&limit=1", cli_word(c->cli, 0));
    CLEANUP(http_reply_clear) struct http_reply reply = {0};
    CLEANUP(mem_freep) char *end = NULL;
    struct http_request request = {.method = "GET", .path = path};

    if (!http_call(c->cli->http, &request, &reply, fault))
        return false;
    end = http_header(&reply, "Vmmd-Serial-End");
    if (!str_to_u64(end, &c->offset))
        return fault_set(fault, CLI_FAILED, "the reply has no offset; is this vmmd?");
    c->offset = c->offset > history ? c->offset - history : 0;
    return true;
}

static bool read_flags(struct console *c, uint64_t *history, struct fault *fault)
{
    const struct args *args = c->cli->args;
    int64_t timeout_ms;

    if (!parse_escape(args_text(args, "escape"), &c->escape, fault) ||
        !args_size(args, "history", 0, history, fault) ||
        !args_duration(args, "timeout", 0, &timeout_ms, fault) ||
        !until_init(&c->until, args_text(args, "until"), fault))
        return false;
    c->deadline_ms = args_has(args, "timeout") ? clock_mono_ms() + timeout_ms : NO_DEADLINE;
    return true;
}

static bool enter_raw(struct console *c, struct fault *fault)
{
    if (!c->cli->in_tty || !c->cli->out_tty)
        return true;
    if (c->escape == 0x1d)
        cli_say(c->cli, "connected to %s; Ctrl-] detaches", cli_word(c->cli, 0));
    else
        cli_say(c->cli, "connected to %s", cli_word(c->cli, 0));
    c->raw = tty_raw(c->cli->in, fault);
    return c->raw;
}

static bool outcome(struct console *c, struct fault *fault)
{
    if (c->matched)
        return true;
    if (c->fault.exit != CLI_OK && c->fault.exit != CLI_INTERRUPTED &&
        c->fault.exit != CLI_UNREACHABLE && c->fault.exit != CLI_TIMED_OUT) {
        *fault = c->fault;
        return false;
    }
    if (c->until.active && time_left(c) == 0)
        return fault_set(fault, CLI_TIMED_OUT, "the output did not match in the time given");
    return true;
}

static bool run_threads(struct console *c, struct fault *fault)
{
    pthread_t thread;
    struct err err;
    bool ok;

    if (!thread_start(&thread, "serial", reader, c, &err))
        return fault_err(fault, CLI_FAILED, &err);
    ok = talk(c, fault);
    ring(c->stop);
    pthread_join(thread, NULL);
    return ok;
}

static bool connected(struct console *c, struct fault *fault)
{
    bool debug = args_has(c->cli->args, "debug");
    bool ok;

    c->http = http_open(&c->cli->connection, c->stop, debug, fault);
    if (!c->http)
        return false;
    ok = enter_raw(c, fault) && run_threads(c, fault);
    http_free(c->http);
    tty_restore();
    if (c->raw)
        fputs("\n", c->cli->err);
    c->raw = false;
    return ok && outcome(c, fault);
}

static bool console_run(struct cli *cli, struct fault *fault)
{
    struct console c = {.cli = cli};
    CLEANUP(closep) int done = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    CLEANUP(closep) int stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    uint64_t history;
    bool ok;

    c.done = done;
    c.stop = stop;
    if (done < 0 || stop < 0)
        return fault_set(fault, CLI_FAILED, "eventfd: %s", strerror(errno));
    ok = read_flags(&c, &history, fault) && find_start(&c, history, fault) && connected(&c, fault);
    until_clear(&c.until);
    return ok;
}
