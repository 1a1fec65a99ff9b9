/* vmmctl user …, vmmctl whoami: people, their sessions and grants. Passwords are in
 * user_password.c, certificates in user_certificate.c. */
#include "cli/user.h"

#include "cli/list.h"
#include "core/base/json.h"
#include "core/base/mem.h"

#include <string.h>

static bool user_create_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool user_list_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool user_show_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool user_edit_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool user_delete_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool user_link_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool user_sessions_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool user_sign_out_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool user_grant_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool user_grants_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool user_revoke_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool whoami_run(struct cli *cli, struct fault *fault) MUST_USE;

static const struct column columns[] = {
    {"NAME", "name", CELL_TEXT, false},
    {"ROLE", "role", CELL_TEXT, false},
    {"DISABLED", "disabled", CELL_TEXT, false},
    {"PASSWORD", "has_password", CELL_TEXT, false},
    {"SOURCE", "password_source", CELL_TEXT, true},
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
static const struct column grant_columns[] = {
    {"ROLE", "role", CELL_TEXT, false},
    {"LABEL", "label", CELL_TEXT, false},
    {"POOL", "pool", CELL_TEXT, false},
    {"SINCE", "created_at", CELL_TIME, false},
    {"BY", "created_by", CELL_TEXT, true},
    {"ID", "id", CELL_TEXT, false},
    {0},
};
static const struct flag grant_flags[] = {
    {"role", 0, "ROLE", "what the user may do with them: viewer, operator or admin"},
    {"rights", 0, "RIGHT,...", "the same one by one, such as vm-read,vm-power"},
    {"label", 0, "KEY=VALUE", "VMs and templates with this label"},
    {"pool", 0, "POOL", "this pool, and VMs with disks in it"},
    {0},
};
static const struct flag create_flags[] = {
    {"role", 0, "ROLE", "viewer, operator, admin, or none for a user with grants only"},
    {"pam", 0, NULL, "its password is the host's: vmmd.conf must have pam_service"},
    {0},
};
static const struct flag edit_flags[] = {
    {"name", 0, "NAME", "another name"},
    {"role", 0, "ROLE", "none, viewer, operator or admin"},
    {"disable", 0, NULL, "the user cannot sign in, and its tokens do not work"},
    {"enable", 0, NULL, "they work again"},
    {"pam", 0, NULL, "the password is the host's from now on; the one of vmmd is dropped"},
    {"own-password", 0, NULL, "vmmd keeps the password from now on; it has to be set"},
    {0},
};
static const struct flag link_flags[] = {
    {"role", 0, "ROLE", "create the user with this role if there is none of that name"},
    {0},
};

const struct command user_commands[] = {
    {"create", "NAME", 1, 1, USES_OUTPUT, create_flags, "create a user",
     "The user cannot sign in yet, unless by the host's password: set one, or make a link.",
     "  vmmctl user create ann --role operator && vmmctl user link ann", user_create_run, false},
    {"list", "", 0, 0, USES_LIST | USES_OUTPUT, NULL, "list users", NULL, NULL, user_list_run,
     false},
    {"show", "USER", 1, 1, USES_OUTPUT, NULL, "show everything about a user",
     "USER is its name or id.", NULL, user_show_run, false},
    {"edit", "USER", 1, 1, USES_OUTPUT, edit_flags, "change a user",
     "Another role, another place of the password, and disabling end the user's sessions.",
     "  vmmctl user edit ann --disable", user_edit_run, false},
    {"delete", "USER...", 1, 256, USES_OUTPUT | USES_CONFIRM, NULL,
     "delete users with their sessions and tokens", "USER is its name or id.", NULL,
     user_delete_run, false},
    {"password", "[USER]", 0, 1, 0, user_password_flags, "set a user's password, or one's own",
     "It is asked for twice at the terminal. The user's sessions end. Without USER it is one's "
     "own, "
     "for which the old one is asked; standard input has it in the line above the new one then.",
     "  vmmctl user password ann --password-stdin <file", user_password_run, false},
    {"link", "USER", 1, 1, USES_OUTPUT, link_flags,
     "make a one-time link by which the user chooses a password",
     "The address is good for ten minutes and one use; whoever has it becomes the user.",
     "  vmmctl user link ann --role admin", user_link_run, false},
    {"sessions", "USER", 1, 1, USES_LIST | USES_OUTPUT, NULL, "list a user's sessions", NULL, NULL,
     user_sessions_run, false},
    {"sign-out", "USER", 1, 1, 0, NULL, "end all of a user's sessions", NULL, NULL,
     user_sign_out_run, false},
    {"grant", "USER", 1, 1, USES_OUTPUT, grant_flags, "let a user do something with some objects",
     "Beside what the user's role allows with everything. It takes effect at once.",
     "  vmmctl user grant ann --role operator --label team=a", user_grant_run, false},
    {"grants", "USER", 1, 1, USES_OUTPUT, NULL, "list a user's grants", NULL, NULL, user_grants_run,
     false},
    {"revoke", "USER GRANT...", 2, 65, 0, NULL, "take grants back from a user",
     "GRANT is its id: vmmctl user grants lists them.", NULL, user_revoke_run, false},
    {"add-certificate", "USER FILE", 2, 2, USES_OUTPUT, NULL, "let a user come in by a certificate",
     "FILE is the certificate as PEM; its key stays where it is. Whoever has the key is the user "
     "then: vmmctl --cert FILE --key FILE. vmmd.conf must say client_certificates = true.",
     "  vmmctl user add-certificate ci runner.pem", user_add_certificate_run, false},
    {"certificates", "USER", 1, 1, USES_OUTPUT, NULL, "list a user's certificates", NULL, NULL,
     user_certificates_run, false},
    {"remove-certificate", "USER CERTIFICATE...", 2, 17, 0, NULL, "take certificates from a user",
     "CERTIFICATE is its id: vmmctl user certificates lists them.", NULL,
     user_remove_certificate_run, false},
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
        return fault_set(fault, CLI_USAGE,
                         "--role is missing: viewer, operator, admin, or none for grants only");
    json_put_text(spec, "name", cli_word(cli, 0));
    json_put_text(spec, "role", role);
    if (args_has(cli->args, "pam"))
        json_put_text(spec, "password_source", "pam");
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
    bool pam = args_has(cli->args, "pam"), own = args_has(cli->args, "own-password");
    struct http_request request = {
        .method = "PATCH", .path = path, .content_type = "application/merge-patch+json"};

    if (enable && disable)
        return fault_set(fault, CLI_USAGE, "--enable or --disable, not both");
    if (pam && own)
        return fault_set(fault, CLI_USAGE, "--pam or --own-password, not both");
    if (args_has(cli->args, "name"))
        json_put_text(patch, "name", args_text(cli->args, "name"));
    if (args_has(cli->args, "role"))
        json_put_text(patch, "role", args_text(cli->args, "role"));
    if (enable || disable)
        json_put_bool(patch, "disabled", disable);
    if (pam || own)
        json_put_text(patch, "password_source", pam ? "pam" : "own");
    if (!json_object_size(patch))
        return fault_set(fault, CLI_USAGE, "nothing to change: see vmmctl user edit --help");
    body = json_write(patch);
    request.body = body;
    request.body_len = strlen(body);
    user = http_json(cli->http, &request, fault);
    return user && output_object(cli, user, columns, fault);
}

bool user_delete_at(struct cli *cli, const char *path, struct fault *fault)
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

    if (!cli_confirm(cli, question, fault) || !user_delete_at(cli, path, fault))
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

    if (!user_delete_at(cli, path, fault))
        return false;
    cli_say(cli, "%s is signed out everywhere", cli_word(cli, 0));
    return true;
}

/* ---- grants ---- */

static json_t *words_of(const char *list)
{
    json_t *words = json_array();

    while (*list) {
        size_t n = strcspn(list, ",");
        if (n)
            json_array_append_new(words, json_stringn(list, n));
        list += n;
        list += *list == ',';
    }
    return words;
}

static bool user_grant_run(struct cli *cli, struct fault *fault)
{
    static const char *const texts[] = {"role", "label", "pool"};
    CLEANUP(mem_freep) char *path = http_path("/users/{}/grants", cli_word(cli, 0));
    CLEANUP(json_decrefp) json_t *spec = json_object(), *grant = NULL;
    const char *rights = args_text(cli->args, "rights");

    if (!args_has(cli->args, "label") == !args_has(cli->args, "pool"))
        return fault_set(fault, CLI_USAGE, "say what it is for: --label KEY=VALUE or --pool POOL");
    if (!args_has(cli->args, "role") == !rights)
        return fault_set(fault, CLI_USAGE,
                         "say what may be done: --role ROLE or --rights RIGHT,...");
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (args_has(cli->args, texts[i]))
            json_put_text(spec, texts[i], args_text(cli->args, texts[i]));
    if (rights)
        json_put(spec, "rights", words_of(rights));
    grant = http_post(cli->http, path, spec, fault);
    return grant && output_object(cli, grant, grant_columns, fault);
}

static bool user_grants_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/users/{}/grants", cli_word(cli, 0));

    return list_print(cli, path, grant_columns, fault);
}

static bool user_revoke_run(struct cli *cli, struct fault *fault)
{
    for (size_t i = 1; i < cli->args->n_words; i++) {
        CLEANUP(mem_freep)
        char *path = http_path("/users/{}/grants/{}", cli_word(cli, 0), cli_word(cli, i));

        if (!user_delete_at(cli, path, fault))
            return false;
        cli_say(cli, "%s is revoked", cli_word(cli, i));
    }
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
