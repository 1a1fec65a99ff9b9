/* vmmctl user password: somebody else's, or one's own. A password never stands on the command line,
 * where others see it. */
#include "cli/tty.h"
#include "cli/user.h"
#include "core/base/json.h"
#include "core/base/mem.h"

#include <string.h>

#define PASSWORD_SIZE 1032

const struct flag user_password_flags[] = {
    {"password-stdin", 0, NULL, "read it from standard input, a line"},
    {0},
};

struct typed {
    char old[PASSWORD_SIZE]; /* "": of somebody else nobody has to know it */
    char new[PASSWORD_SIZE];
};

/* Cuts the first line off; false when it is too long. */
static bool take_line(char **text, char out[PASSWORD_SIZE])
{
    size_t n = strcspn(*text, "\r\n");
    char *line = *text;

    *text += n;
    *text += **text == '\r';
    *text += **text == '\n';
    if (n >= PASSWORD_SIZE)
        return false;
    memcpy(out, line, n);
    out[n] = 0;
    return true;
}

static bool read_typed(struct cli *cli, bool own, struct typed *out, struct fault *fault)
{
    CLEANUP(mem_freep) char *text = NULL;
    char *left;
    size_t len;
    bool fits;

    if (!cli_read_input(cli, "-", &text, &len, fault))
        return false;
    left = text;
    fits = (!own || take_line(&left, out->old)) && take_line(&left, out->new);
    explicit_bzero(text, len);
    if (!fits)
        return fault_set(fault, CLI_USAGE, "the password is longer than 1024 bytes");
    return !own || *out->new ||
           fault_set(fault, CLI_USAGE,
                     "standard input has to have two lines: the password so far, "
                     "and the new one");
}

static bool ask(struct cli *cli, bool own, struct typed *out, struct fault *fault)
{
    char again[PASSWORD_SIZE] = "";
    bool same;

    if (!cli->in_tty || !cli->err_tty)
        return fault_set(fault, CLI_USAGE,
                         "nobody can be asked here: give the password by --password-stdin");
    if ((own &&
         !tty_ask_secret(cli->in, cli->err, "Password so far: ", out->old, PASSWORD_SIZE, fault)) ||
        !tty_ask_secret(cli->in, cli->err, "New password: ", out->new, PASSWORD_SIZE, fault) ||
        !tty_ask_secret(cli->in, cli->err, "Again: ", again, sizeof again, fault))
        return false;
    same = strcmp(out->new, again) == 0;
    explicit_bzero(again, sizeof again);
    return same || fault_set(fault, CLI_USAGE, "the two are not the same");
}

static void forget(json_t *spec, const char *member)
{
    const char *text = json_get_text(spec, member);

    if (text)
        explicit_bzero((char *)text, strlen(text));
}

static bool send(struct cli *cli, const char *path, const struct typed *typed, struct fault *fault)
{
    CLEANUP(json_decrefp) json_t *spec = json_object();
    CLEANUP(http_reply_clear) struct http_reply reply = {0};
    struct http_request request = {.method = "POST", .path = path};
    CLEANUP(mem_freep) char *body = NULL;
    bool ok;

    if (*typed->old)
        json_put_text(spec, "old", typed->old);
    json_put_text(spec, "password", typed->new);
    body = json_write(spec);
    request.body = body;
    request.body_len = strlen(body);
    ok = http_call(cli->http, &request, &reply, fault);
    explicit_bzero(body, request.body_len);
    forget(spec, "old");
    forget(spec, "password");
    return ok;
}

bool user_password_run(struct cli *cli, struct fault *fault)
{
    bool own = !cli->args->n_words;
    CLEANUP(mem_freep)
    char *path = own ? http_path("/session/actions/change-password")
                     : http_path("/users/{}/actions/set-password", cli_word(cli, 0));
    struct typed typed = {0};
    bool ok = args_has(cli->args, "password-stdin") ? read_typed(cli, own, &typed, fault)
                                                    : ask(cli, own, &typed, fault);

    ok = ok && send(cli, path, &typed, fault);
    explicit_bzero(&typed, sizeof typed);
    if (ok)
        cli_say(cli, own ? "the password is changed" : "the password of %s is set",
                own ? "" : cli_word(cli, 0));
    return ok;
}
