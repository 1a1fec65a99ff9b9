/* vmmctl user …, vmmctl whoami: people, their passwords and sessions. A password never stands on
 * the command line, where others see it. */
#include "cli/list.h"
#include "cli/tty.h"
#include "core/base/json.h"
#include "core/base/mem.h"

#include <string.h>

#define PASSWORD_SIZE 1032

static bool user_create_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool user_list_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool user_show_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool user_edit_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool user_delete_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool user_password_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool user_link_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool user_sessions_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool user_sign_out_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool whoami_run(struct cli *cli, struct fault *fault) MUST_USE;

static const struct column columns[] = {
    {"NAME", "name", CELL_TEXT, false},
    {"ROLE", "role", CELL_TEXT, false},
    {"DISABLED", "disabled", CELL_TEXT, false},
    {"PASSWORD", "has_password", CELL_TEXT, false},
    {"CREATED", "created_at", CELL_TIME, false},
    {"BY", "created_by", CELL_TEXT, true},
    {"ID", "id", CELL_TEXT, true},
    {0},
};
static const struct column session_columns[] = {
    {"USER", "user", CELL_TEXT, false},
    {"FROM", "from", CELL_TEXT, false},
    {"SINCE", "created_at", CELL_TIME, false},
    {"USED", "used_at", CELL_TIME, false},
    {"ID", "id", CELL_TEXT, false},
    {0},
};
static const struct flag create_flags[] = {
    {"role", 0, "ROLE", "viewer, operator or admin"},
    {0},
};
static const struct flag edit_flags[] = {
    {"name", 0, "NAME", "another name"},
    {"role", 0, "ROLE", "viewer, operator or admin"},
    {"disable", 0, NULL, "the user cannot sign in, and its tokens do not work"},
    {"enable", 0, NULL, "they work again"},
    {0},
};
static const struct flag password_flags[] = {
    {"password-stdin", 0, NULL, "read it from the first line of standard input"},
    {0},
};
static const struct flag link_flags[] = {
    {"role", 0, "ROLE", "create the user with this role if there is none of that name"},
    {0},
};

const struct command user_commands[] = {
    {"create", "NAME", 1, 1, USES_OUTPUT, create_flags, "create a user",
     "The user cannot sign in yet: set a password, or make a link.",
     "  vmmctl user create ann --role operator && vmmctl user link ann", user_create_run, false},
    {"list", "", 0, 0, USES_LIST | USES_OUTPUT, NULL, "list users", NULL, NULL, user_list_run,
     false},
    {"show", "USER", 1, 1, USES_OUTPUT, NULL, "show everything about a user",
     "USER is its name or id.", NULL, user_show_run, false},
    {"edit", "USER", 1, 1, USES_OUTPUT, edit_flags, "change a user",
     "Another role, and disabling, end the user's sessions.", "  vmmctl user edit ann --disable",
     user_edit_run, false},
    {"delete", "USER...", 1, 256, USES_OUTPUT | USES_CONFIRM, NULL,
     "delete users with their sessions and tokens", "USER is its name or id.", NULL,
     user_delete_run, false},
    {"password", "USER", 1, 1, 0, password_flags, "set a user's password",
     "It is asked for twice at the terminal. The user's sessions end.",
     "  vmmctl user password ann --password-stdin <file", user_password_run, false},
    {"link", "USER", 1, 1, USES_OUTPUT, link_flags,
     "make a one-time link by which the user chooses a password",
     "The address is good for ten minutes and one use; whoever has it becomes the user.",
     "  vmmctl user link ann --role admin", user_link_run, false},
    {"sessions", "USER", 1, 1, USES_LIST | USES_OUTPUT, NULL, "list a user's sessions", NULL, NULL,
     user_sessions_run, false},
    {"sign-out", "USER", 1, 1, 0, NULL, "end all of a user's sessions", NULL, NULL,
     user_sign_out_run, false},
    {0},
};

const struct command whoami_commands[] = {
    {NULL, "", 0, 0, USES_OUTPUT, NULL, "who one is to the service, and what one may do", NULL,
     NULL, whoami_run, false},
    {0},
};

static bool user_create_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/users");
    CLEANUP(json_decrefp) json_t *spec = json_object(), *user = NULL;
    const char *role = args_text(cli->args, "role");

    if (!role)
        return fault_set(fault, CLI_USAGE, "--role is missing: viewer, operator or admin");
    json_put_text(spec, "name", cli_word(cli, 0));
    json_put_text(spec, "role", role);
    user = http_post(cli->http, path, spec, fault);
    return user && output_object(cli, user, columns, fault);
}

static bool user_list_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/users");

    return list_print(cli, path, columns, fault);
}

static bool user_show_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/users/{}", cli_word(cli, 0));

    return output_shown(cli, path, columns, fault);
}

static bool user_edit_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/users/{}", cli_word(cli, 0)), *body = NULL;
    CLEANUP(json_decrefp) json_t *patch = json_object(), *user = NULL;
    bool enable = args_has(cli->args, "enable"), disable = args_has(cli->args, "disable");
    struct http_request request = {
        .method = "PATCH", .path = path, .content_type = "application/merge-patch+json"};

    if (enable && disable)
        return fault_set(fault, CLI_USAGE, "--enable or --disable, not both");
    if (args_has(cli->args, "name"))
        json_put_text(patch, "name", args_text(cli->args, "name"));
    if (args_has(cli->args, "role"))
        json_put_text(patch, "role", args_text(cli->args, "role"));
    if (enable || disable)
        json_put_bool(patch, "disabled", disable);
    if (!json_object_size(patch))
        return fault_set(fault, CLI_USAGE, "nothing to change: see vmmctl user edit --help");
    body = json_write(patch);
    request.body = body;
    request.body_len = strlen(body);
    user = http_json(cli->http, &request, fault);
    return user && output_object(cli, user, columns, fault);
}

static bool delete_at(struct cli *cli, const char *path, struct fault *fault)
{
    CLEANUP(http_reply_clear) struct http_reply reply = {0};
    struct http_request request = {.method = "DELETE", .path = path};

    return http_call(cli->http, &request, &reply, fault);
}

static bool delete_one(struct cli *cli, const char *ref, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/users/{}", ref);
    CLEANUP(mem_freep)
    char *question =
        str_format("Delete the user %s? Its sessions end, and its tokens go with it.", ref);

    if (!cli_confirm(cli, question, fault) || !delete_at(cli, path, fault))
        return false;
    cli_say(cli, "%s is deleted", ref);
    return true;
}

static bool user_delete_run(struct cli *cli, struct fault *fault)
{
    for (size_t i = 0; i < cli->args->n_words; i++)
        if (!delete_one(cli, cli_word(cli, i), fault))
            return false;
    return true;
}

/* ---- passwords ---- */

static bool read_password(struct cli *cli, char out[PASSWORD_SIZE], struct fault *fault)
{
    CLEANUP(mem_freep) char *text = NULL;
    size_t len;
    bool fits;

    if (!cli_read_input(cli, "-", &text, &len, fault))
        return false;
    text[strcspn(text, "\r\n")] = 0;
    fits = str_copy(out, PASSWORD_SIZE, text) == strlen(text);
    explicit_bzero(text, len);
    return fits || fault_set(fault, CLI_USAGE, "the password is longer than 1024 bytes");
}

static bool ask_password(struct cli *cli, char out[PASSWORD_SIZE], struct fault *fault)
{
    char again[PASSWORD_SIZE] = "";
    bool same;

    if (!cli->in_tty || !cli->err_tty)
        return fault_set(fault, CLI_USAGE,
                         "nobody can be asked here: give the password by --password-stdin");
    if (!tty_ask_secret(cli->in, cli->err, "New password: ", out, PASSWORD_SIZE, fault) ||
        !tty_ask_secret(cli->in, cli->err, "Again: ", again, sizeof again, fault))
        return false;
    same = strcmp(out, again) == 0;
    explicit_bzero(again, sizeof again);
    return same || fault_set(fault, CLI_USAGE, "the two are not the same");
}

static void forget(json_t *spec)
{
    const char *text = json_get_text(spec, "password");

    if (text)
        explicit_bzero((char *)text, strlen(text));
}

static bool user_password_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep)
    char *path = http_path("/users/{}/actions/set-password", cli_word(cli, 0)), *body = NULL;
    CLEANUP(json_decrefp) json_t *spec = json_object();
    CLEANUP(http_reply_clear) struct http_reply reply = {0};
    struct http_request request = {.method = "POST", .path = path};
    char password[PASSWORD_SIZE] = "";
    bool ok = args_has(cli->args, "password-stdin") ? read_password(cli, password, fault)
                                                    : ask_password(cli, password, fault);

    if (ok) {
        json_put_text(spec, "password", password);
        body = json_write(spec);
        request.body = body;
        request.body_len = strlen(body);
        ok = http_call(cli->http, &request, &reply, fault);
        explicit_bzero(body, request.body_len);
        forget(spec);
    }
    explicit_bzero(password, sizeof password);
    if (ok)
        cli_say(cli, "the password of %s is set", cli_word(cli, 0));
    return ok;
}

/* With --role: makes the user, unless there is one. */
static bool make_sure(struct cli *cli, const char *role, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/users/{}", cli_word(cli, 0)), *all = NULL;
    CLEANUP(json_decrefp) json_t *user = http_get(cli->http, path, fault), *spec = NULL;

    if (user || fault->exit != CLI_NOT_FOUND)
        return user != NULL;
    *fault = (struct fault){0};
    all = http_path("/users");
    spec = json_object();
    json_put_text(spec, "name", cli_word(cli, 0));
    json_put_text(spec, "role", role);
    user = http_post(cli->http, all, spec, fault);
    return user != NULL;
}

static bool user_link_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/users/{}/actions/link", cli_word(cli, 0));
    CLEANUP(json_decrefp) json_t *link = NULL;
    const char *role = args_text(cli->args, "role"), *url;

    if (role && !make_sure(cli, role, fault))
        return false;
    link = http_post(cli->http, path, NULL, fault);
    if (!link)
        return false;
    if (cli->output != OUTPUT_TABLE && cli->output != OUTPUT_WIDE)
        return output_object(cli, link, NULL, fault);
    url = json_get_text(link, "url");
    fprintf(cli->out, "%s\n", url ? url : "");
    cli_say(cli, "good for ten minutes and one use: whoever opens it becomes %s", cli_word(cli, 0));
    return true;
}

/* ---- sessions ---- */

static bool user_sessions_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/users/{}/sessions", cli_word(cli, 0));

    return list_print(cli, path, session_columns, fault);
}

static bool user_sign_out_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/users/{}/sessions", cli_word(cli, 0));

    if (!delete_at(cli, path, fault))
        return false;
    cli_say(cli, "%s is signed out everywhere", cli_word(cli, 0));
    return true;
}

static bool whoami_run(struct cli *cli, struct fault *fault)
{
    static const struct column who[] = {
        {"PRINCIPAL", "principal", CELL_TEXT, false},
        {"ROLE", "role", CELL_TEXT, false},
        {"BY", "by", CELL_TEXT, false},
        {0},
    };
    CLEANUP(mem_freep) char *path = http_path("/session");
    CLEANUP(json_decrefp) json_t *session = http_get(cli->http, path, fault);

    return session && output_object(cli, session, who, fault);
}
