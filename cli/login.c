/* vmmctl login: a first connection to a service elsewhere, kept as a context.
 *
 *   reach it ─► certificate trusted ───────────────────────────┐
 *      └► not trusted ─► the fingerprint is shown, a person      ├► token ─► tried ─► written
 *                        compares it and says yes ─► pinned ────┘
 *
 * Nobody but a person at a terminal, or --accept-fingerprint, can say yes to a certificate: --yes
 * does not. The token is sent to nobody before that. */
#include "cli/context.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "cli/tty.h"
#include "core/base/json.h"
#include "core/base/mem.h"

#include <stdlib.h>
#include <string.h>

#define TOKEN_MAX 256

static bool login_run(struct cli *cli, struct fault *fault) MUST_USE;

static const struct flag flags[] = {
    {"name", 0, "NAME", "what the context is called (default: the host's name)"},
    {0},
};

const struct command login_commands[] = {
    {NULL, "ADDRESS", 1, 1, USES_NO_SERVICE, flags,
     "connect to a service elsewhere and remember it",
     "ADDRESS is HOST, HOST:PORT or https://HOST:PORT. A certificate that no known authority has "
     "signed is shown by its SHA-256 fingerprint; compare it on the host with: openssl x509 -noout "
     "-fingerprint -sha256 -in server.pem. The token is asked for at a terminal, else it comes "
     "from "
     "--token-file or VMMD_TOKEN. What is remembered is the current context from then on.",
     "  vmmctl login lab.example.org\n"
     "  vmmctl login lab:8443 --name lab --accept-fingerprint AB:CD:… --token-file - <token",
     login_run, false},
    {0},
};

/* "lab" -> "https://lab:8443" */
static char *whole_address(const char *text)
{
    const char *colon = strrchr(text, ':');

    if (strstr(text, "://"))
        return str_dup(text);
    return str_format("https://%s%s", text, colon && !strchr(colon, ']') ? "" : ":8443");
}

static char *host_of(const char *url)
{
    const char *host = strstr(url, "://") + 3;

    return str_format("%.*s", (int)strcspn(host, ":/"), host);
}

static bool get(struct cli *cli, const struct connection *c, const char *path, char seen[65],
                bool *refused, struct fault *fault)
{
    struct http *http = http_open(c, interrupt_fd(), args_has(cli->args, "debug"), fault);
    CLEANUP(http_reply_clear) struct http_reply reply = {0};
    struct http_request request = {.method = "GET", .path = path};
    bool ok;

    if (!http)
        return false;
    ok = http_call(http, &request, &reply, fault);
    str_copy(seen, 65, http_certificate(http, refused));
    http_free(http);
    return ok;
}

/* "ab:cd:…", as openssl and people write it. */
static void print_fingerprint(FILE *to, const char *hex)
{
    for (size_t i = 0; hex[i] && hex[i + 1]; i += 2)
        fprintf(to, "%s%.2s", i ? ":" : "", hex + i);
    fputs("\n", to);
}

/* Reaches the service, by a certificate that is trusted when this returns true. */
static bool meet(struct cli *cli, struct connection *c, struct fault *fault)
{
    bool refused, ask;
    char seen[65];

    if (get(cli, c, "/healthz", seen, &refused, fault))
        return true;
    ask = refused && !c->fingerprint && !c->cacert && cli->in_tty && cli->err_tty;
    if (!ask)
        return false;
    fprintf(cli->err,
            "No known authority has signed the certificate of %s.\n"
            "Its SHA-256 fingerprint is\n  ",
            c->url);
    print_fingerprint(cli->err, seen);
    if (!cli_confirm(cli, "Is that the fingerprint on the host?", fault))
        return false;
    *fault = (struct fault){0};
    c->fingerprint = str_dup(seen);
    return get(cli, c, "/healthz", seen, &refused, fault);
}

static bool find_token(struct cli *cli, struct connection *c, struct fault *fault)
{
    const char *given = getenv("VMMD_TOKEN");
    char typed[TOKEN_MAX] = "";

    if (c->token || c->cert)
        return true;
    if (given && *given) {
        c->token = str_dup(given);
        return true;
    }
    if (!cli->in_tty || !cli->err_tty)
        return fault_set(fault, CLI_USAGE,
                         "give the token by --token-file FILE (- for standard "
                         "input) or VMMD_TOKEN");
    if (!tty_ask_secret(cli->in, cli->err, "Token: ", typed, sizeof typed, fault))
        return false;
    c->token = str_dup(typed);
    explicit_bzero(typed, sizeof typed);
    return *c->token || fault_set(fault, CLI_USAGE, "no token was given");
}

static bool address(struct cli *cli, struct connection *c, struct fault *fault)
{
    if (args_has(cli->args, "url") || args_has(cli->args, "socket") ||
        args_has(cli->args, "context"))
        return fault_set(fault, CLI_USAGE, "the address is login's own word: vmmctl login ADDRESS");
    if (!connection_from_flags(cli->args, c, fault))
        return false;
    mem_freep(&c->socket);
    mem_freep(&c->url);
    c->url = whole_address(cli_word(cli, 0));
    return connection_check_url(c->url, fault);
}

static bool login_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(connection_clear) struct connection c = {0};
    const char *given = args_text(cli->args, "name");
    CLEANUP(mem_freep) char *host = NULL;
    char seen[65];
    bool refused;

    if (!address(cli, &c, fault))
        return false;
    host = host_of(c.url);
    if (!context_name_ok(given ? given : host, fault) || !meet(cli, &c, fault) ||
        !find_token(cli, &c, fault) || !get(cli, &c, "/api/v1/version", seen, &refused, fault) ||
        !context_write(given ? given : host, &c, true, fault))
        return false;
    cli_say(cli, "%s is the context %s, which is used from now on", c.url, given ? given : host);
    return true;
}
