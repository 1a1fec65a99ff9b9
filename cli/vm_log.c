/* vmmctl vm log: the last lines of what QEMU or the guest's serial port wrote, and on request what
 * comes then: the service is asked for its last lines again and again. */
#include "cli/interrupt.h"
#include "cli/vm.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <errno.h>
#include <string.h>

const struct flag vm_log_flags[] = {
    {"serial", 0, "[=PORT]", "of a serial port (default 0) instead of QEMU's log"},
    {"lines", 'n', "N", "so many lines, up to 10000 (default 100)"},
    {"follow", 'f', NULL, "go on with what comes, until Ctrl-C"},
    {0},
};

#define LINES_MAX 10000
#define LOOK_MS   1000

static bool fetch(struct cli *cli, uint64_t lines, struct http_reply *reply, struct fault *fault)
{
    const char *port = args_text_or(cli->args, "serial", "0");
    CLEANUP(mem_freep) char *base = http_path("/vms/{}/log", cli_word(cli, 0));
    CLEANUP(mem_freep) char *encoded = port ? http_encode(port) : NULL;
    CLEANUP(mem_freep)
    char *path = str_format("%s?lines=%llu%s%s", base, (unsigned long long)lines,
                            port ? "&source=serial&port=" : "", port ? encoded : "");
    const struct http_request request = {.method = "GET", .path = path};

    return http_call(cli->http, &request, reply, fault);
}

static bool print(struct cli *cli, const char *text, size_t len, struct fault *fault)
{
    return (fwrite(text ? text : "", 1, len, cli->out) == len && fflush(cli->out) == 0) ||
           fault_set(fault, CLI_FAILED, "writing the output: %s", strerror(errno));
}

/* Where what is new begins in 'now': behind the longest part of it that ended 'before', from the
 * beginning of a line on. Lines at the front may have gone; a log that began anew is all new. */
static size_t new_from(const struct strbuf *before, const struct strbuf *now)
{
    size_t at = 0;

    while (at < before->len) {
        const size_t len = before->len - at;
        const char *line_end;
        if (len <= now->len && memcmp(before->data + at, now->data, len) == 0)
            return len;
        line_end = memchr(before->data + at, '\n', len);
        at = line_end ? (size_t)(line_end - before->data) + 1 : before->len;
    }
    return 0;
}

/* Where the last 'lines' lines begin. */
static size_t last_lines(const struct strbuf *text, uint64_t lines)
{
    size_t at = text->len;

    while (at && lines) {
        at--; /* the end of a line, if it is one, belongs to it */
        while (at && text->data[at - 1] != '\n')
            at--;
        lines--;
    }
    return at;
}

/* Until Ctrl-C, which is how this ends. A service that is away for a while is asked again. */
static bool follow(struct cli *cli, uint64_t lines, struct fault *fault)
{
    CLEANUP(http_reply_clear) struct http_reply seen = {0};
    size_t begin;

    if (!fetch(cli, LINES_MAX, &seen, fault))
        return false;
    begin = last_lines(&seen.body, lines);
    if (!print(cli, seen.body.data + begin, seen.body.len - begin, fault))
        return false;
    while (!interrupt_wait(LOOK_MS)) {
        CLEANUP(http_reply_clear) struct http_reply now = {0};
        struct http_reply swap;
        size_t from;
        if (!fetch(cli, LINES_MAX, &now, fault)) {
            if (fault->exit != CLI_UNREACHABLE && fault->exit != CLI_TIMED_OUT)
                return fault->exit == CLI_INTERRUPTED;
            *fault = (struct fault){0};
            continue;
        }
        from = new_from(&seen.body, &now.body);
        if (!print(cli, now.body.data + from, now.body.len - from, fault))
            return false;
        swap = seen;
        seen = now;
        now = swap;
    }
    return true;
}

bool vm_log_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(http_reply_clear) struct http_reply reply = {0};
    uint64_t lines;

    if (!args_number(cli->args, "lines", 100, &lines, fault))
        return false;
    if (args_has(cli->args, "follow"))
        return follow(cli, lines, fault);
    return fetch(cli, lines, &reply, fault) && print(cli, reply.body.data, reply.body.len, fault);
}
