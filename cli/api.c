/* vmmctl api METHOD PATH: any request, for what has no command and for scripts. */
#include "cli/cli.h"

#include "core/base/mem.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#define MAX_HEADERS 32

static bool api_run(struct cli *cli, struct fault *fault) MUST_USE;

static const struct flag flags[] = {
    {"data", 'd', "JSON", "the body; @FILE or - read it from a file or standard input"},
    {"header", 'H', "NAME: VALUE", "one more header; may be repeated"},
    {"include", 'i', NULL, "print the reply's head too"},
    {"timeout", 0, "TIME", "for the whole exchange (default 120s)"},
    {0},
};

const struct command api_commands[] = {
    {NULL, "METHOD PATH", 2, 2, 0, flags, "send any request to the API and print the reply's body",
     "PATH is written as in the API's description, with or without /api/v1 in front. The body is "
     "printed as it came, whatever the status; the exit code tells the status.",
     "  vmmctl api GET /vms?filter=state==running\n"
     "  vmmctl api PATCH /vms/web -d '{\"notes\":\"x\"}' -H 'If-Match: \"3\"'",
     api_run, false},
    {0},
};

static bool is_token(const char *s)
{
    return *s && s[strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")] == 0;
}

/* "vms", "/vms" and "/api/v1/vms" are the same; "/healthz" lies outside. */
static char *make_path(const char *path, struct fault *fault)
{
    for (const char *p = path; *p; p++) {
        if (*p > ' ' && *p < 0x7f && !strchr("\"<>\\^`{|}#", *p))
            continue;
        fault_set(fault, CLI_USAGE, "PATH: character %zu must be percent-encoded",
                  (size_t)(p - path) + 1);
        return NULL;
    }
    if (str_starts(path, "/api/") || str_eq(path, "/healthz") || str_eq(path, "/") ||
        str_starts(path, "/ui/"))
        return str_dup(path);
    return str_format("/api/v1%s%s", *path == '/' ? "" : "/", path);
}

struct headers {
    const char *line[MAX_HEADERS + 1];
    size_t n;
    const char *content_type; /* given by -H */
    bool has_key;             /* Idempotency-Key given by -H */
};

static bool read_headers(const struct args *args, struct headers *h, struct fault *fault)
{
    const char *text;

    for (size_t i = 0; (text = args_nth(args, "header", i)); i++) {
        const char *colon = strchr(text, ':');

        if (!colon || colon == text || strpbrk(text, "\r\n"))
            return fault_set(fault, CLI_USAGE, "--header '%.60s': write 'Name: value'", text);
        if (h->n == MAX_HEADERS)
            return fault_set(fault, CLI_USAGE, "--header: %d at most", MAX_HEADERS);
        if (strncasecmp(text, "Content-Type:", 13) == 0) {
            h->content_type = colon + 1 + strspn(colon + 1, " ");
            continue;
        }
        if (strncasecmp(text, "Authorization:", 14) == 0)
            return fault_set(fault, CLI_USAGE,
                             "give the token by VMMD_TOKEN or --token-file, not "
                             "on the command line, where others see it");
        h->has_key = h->has_key || strncasecmp(text, "Idempotency-Key:", 16) == 0;
        h->line[h->n++] = text;
    }
    return true;
}

static bool read_body(struct cli *cli, char **body, size_t *len, struct fault *fault)
{
    const char *text = args_text(cli->args, "data");

    if (!text)
        return true;
    if (str_eq(text, "-") || *text == '@')
        return cli_read_input(cli, *text == '@' ? text + 1 : text, body, len, fault);
    *body = str_dup(text);
    *len = strlen(text);
    return true;
}

static bool write_body(void *arg, const char *data, size_t len)
{
    FILE *out = arg;

    return fwrite(data, 1, len, out) == len && fflush(out) == 0;
}

static bool print_reply(struct cli *cli, const struct http_reply *reply, struct fault *fault)
{
    if (args_has(cli->args, "include"))
        fwrite(reply->head.data ? reply->head.data : "", 1, reply->head.len, cli->out);
    if (reply->body.len)
        fwrite(reply->body.data, 1, reply->body.len, cli->out);
    if (cli->out_tty && reply->body.len && reply->body.data[reply->body.len - 1] != '\n')
        fputc('\n', cli->out);
    return reply->status < 400 || fault_set(fault, exit_of_status(reply->status), "%s", "");
}

static bool api_run(struct cli *cli, struct fault *fault)
{
    const char *method = cli_word(cli, 0);
    CLEANUP(mem_freep) char *path = make_path(cli_word(cli, 1), fault);
    CLEANUP(mem_freep) char *body = NULL, *upper = str_dup(method);
    CLEANUP(http_reply_clear) struct http_reply reply = {0};
    struct headers headers = {0};
    struct http_request request = {
        .method = upper, .path = path, .headers = headers.line, .timeout_ms = cli->timeout_ms};

    if (!path || !read_headers(cli->args, &headers, fault) ||
        !read_body(cli, &body, &request.body_len, fault))
        return false;
    if (!is_token(method))
        return fault_set(fault, CLI_USAGE, "'%.20s' is no method; write GET, POST, PATCH or DELETE",
                         method);
    for (char *p = upper; *p; p++)
        *p &= ~0x20;
    request.body = body;
    request.once = headers.has_key;
    request.content_type = headers.content_type;
    if (!headers.content_type && str_eq(upper, "PATCH"))
        request.content_type = "application/merge-patch+json";
    if (!args_has(cli->args, "include")) { /* streams are shown as they come */
        request.sink = write_body;
        request.sink_arg = cli->out;
    }
    return http_send(cli->http, &request, &reply, fault) && print_reply(cli, &reply, fault);
}
