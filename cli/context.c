/* vmmctl context …: services by name. The file is config.c's; here are its contexts. */
#include "cli/context.h"

#include "cli/config.h"
#include "cli/output.h"
#include "core/base/json.h"
#include "core/base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool context_list_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool context_show_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool context_use_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool context_add_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool context_remove_run(struct cli *cli, struct fault *fault) MUST_USE;

static const struct column columns[] = {
    {"NAME", "name", CELL_TEXT, false},
    {"CURRENT", "current", CELL_TEXT, false},
    {"ADDRESS", "address", CELL_TEXT, false},
    {"TOKEN", "token", CELL_TEXT, false},
    {"CERT", "cert", CELL_TEXT, true},
    {"CACERT", "cacert", CELL_TEXT, true},
    {"FINGERPRINT", "fingerprint", CELL_TEXT, true},
    {0},
};
static const struct flag add_flags[] = {
    {"use", 0, NULL, "make it the current one"},
    {0},
};

#define LOCAL (USES_NO_SERVICE | USES_OUTPUT)

const struct command context_commands[] = {
    {"list", "", 0, 0, LOCAL, NULL, "list the services that vmmctl knows by name", NULL, NULL,
     context_list_run, false},
    {"show", "[CONTEXT]", 0, 1, LOCAL, NULL, "show a context, without it the current one", NULL,
     NULL, context_show_run, false},
    {"use", "CONTEXT", 1, 1, USES_NO_SERVICE, NULL, "make a context the current one",
     "It counts where no other service is named: by --context, --url or --socket, by VMMD_CONTEXT, "
     "VMMD_URL or VMMD_SOCKET. 'none' goes back to what stands above all contexts.",
     "  vmmctl context use lab", context_use_run, false},
    {"add", "NAME", 1, 1, USES_NO_SERVICE, add_flags, "add a context, or replace it",
     "The flags of the connection say where the service is; nothing is asked from it. vmmctl login "
     "does the same and checks it.",
     "  vmmctl context add lab --url https://lab:8443 --cacert lab.pem --token-file lab.token",
     context_add_run, false},
    {"remove", "CONTEXT", 1, 1, USES_NO_SERVICE, NULL, "remove a context with its token", NULL,
     NULL, context_remove_run, false},
    {0},
};

/* ---- reading ---- */

struct contexts {
    json_t *list; /* of {name, current, address, …}, in the file's order */
    char *current;
};

static void contexts_clear(struct contexts *c)
{
    json_decref(c->list);
    free(c->current);
}

static json_t *entry(struct contexts *c, const char *name)
{
    json_t *one;
    size_t i;

    json_array_foreach (c->list, i, one)
        if (str_eq(json_get_text(one, "name"), name))
            return one;
    one = json_object();
    json_put_text(one, "name", name);
    json_put_bool(one, "current", false);
    json_put_text(one, "address", NULL);
    json_put_bool(one, "token", false);
    json_put_text(one, "cert", NULL);
    json_put_text(one, "cacert", NULL);
    json_put_text(one, "fingerprint", NULL);
    json_array_append_new(c->list, one);
    return one;
}

static bool see(void *arg, const struct config_line *line, struct fault *fault)
{
    struct contexts *c = arg;
    json_t *one;

    (void)fault;
    if (!line->context) {
        if (str_eq(line->key, "context")) {
            free(c->current);
            c->current = str_dup(line->value);
        }
        return true;
    }
    one = entry(c, line->context);
    if (str_eq(line->key, "url") || str_eq(line->key, "socket"))
        json_put_text(one, "address", line->value);
    else if (str_starts(line->key, "token"))
        json_put_bool(one, "token", true);
    else if (str_eq(line->key, "cert"))
        json_put_text(one, "cert", line->value);
    else if (str_eq(line->key, "cacert") || str_eq(line->key, "fingerprint"))
        json_put_text(one, line->key, line->value);
    return true;
}

static bool read_contexts(struct contexts *out, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = config_path();
    char *text = NULL;
    size_t len = 0;
    bool ok;

    *out = (struct contexts){.list = json_array()};
    ok = config_file_load(path, false, &text, &len, fault) &&
         (!text || config_each(path, text, see, out, fault));
    if (text)
        mem_free_secret(text, len);
    if (ok && out->current && !str_eq(out->current, ""))
        json_put_bool(entry(out, out->current), "current", true);
    return ok;
}

void context_each_name(void (*see_name)(void *arg, const char *name), void *arg)
{
    CLEANUP(contexts_clear) struct contexts contexts = {0};
    struct fault nobody_reads;
    const json_t *one;
    size_t i;

    if (read_contexts(&contexts, &nobody_reads))
        json_array_foreach (contexts.list, i, one)
            see_name(arg, json_get_text(one, "name"));
}

/* ---- changing ---- */

typedef char *edit(const char *text, const void *arg);

/* The file's text through 'edit' and back. */
static bool change_file(edit *edit_text, const void *arg, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = config_path();
    char *text = NULL, *edited;
    size_t len = 0;
    bool ok;

    if (!path)
        return fault_set(fault, CLI_USAGE, "set VMMD_CONFIG: there is no home directory");
    if (!config_file_load(path, false, &text, &len, fault))
        return false;
    edited = edit_text(text ? text : "", arg);
    ok = config_save(path, edited, fault);
    mem_free_secret(edited, strlen(edited));
    if (text)
        mem_free_secret(text, len);
    return ok;
}

struct writing {
    const char *name;
    const struct connection *connection;
    const char *cacert, *cert, *key; /* their whole paths, or NULL */
    bool use;
};

static void add_line(struct strbuf *out, const char *key, const char *value)
{
    if (value)
        strbuf_addf(out, "%s = %s\n", key, value);
}

static char *with_context(const char *text, const void *arg)
{
    const struct writing *w = arg;
    char *others = config_without(text, w->name);
    char *chosen = w->use ? config_using(others, w->name) : str_dup(others);
    struct strbuf out = {0};

    strbuf_adds(&out, chosen);
    while (out.len > 1 && out.data[out.len - 1] == '\n' && out.data[out.len - 2] == '\n')
        out.data[--out.len] = 0;
    strbuf_addf(&out, "%s[context %s]\n", out.len ? "\n" : "", w->name);
    add_line(&out, w->connection->socket ? "socket" : "url",
             w->connection->socket ? w->connection->socket : w->connection->url);
    add_line(&out, "cacert", w->cacert);
    add_line(&out, "cert", w->cert);
    add_line(&out, "key", w->key);
    add_line(&out, "fingerprint", w->connection->fingerprint);
    add_line(&out, "token", w->connection->token);
    mem_free_secret(others, strlen(others));
    mem_free_secret(chosen, strlen(chosen));
    return strbuf_take(&out);
}

bool context_name_ok(const char *name, struct fault *fault)
{
    if (config_name_ok(name) && !str_eq(name, "none"))
        return true;
    fault_set(fault, CLI_USAGE,
              "'%.60s' cannot name a context: letters, digits, - _ . and not 'none'", name);
    return fault_hint(fault, "for login: give one by --name");
}

static bool whole_path(const char *path, char **out, struct fault *fault)
{
    *out = path ? realpath(path, NULL) : NULL;
    return !path || *out || fault_set(fault, CLI_USAGE, "%.200s: %s", path, strerror(errno));
}

bool context_write(const char *name, const struct connection *connection, bool use,
                   struct fault *fault)
{
    CLEANUP(mem_freep) char *cacert = NULL, *cert = NULL, *key = NULL;
    struct writing w = {.name = name, .connection = connection, .use = use};

    if (!context_name_ok(name, fault) || !whole_path(connection->cacert, &cacert, fault) ||
        !whole_path(connection->cert, &cert, fault) || !whole_path(connection->key, &key, fault))
        return false;
    w.cacert = cacert;
    w.cert = cert;
    w.key = key;
    return change_file(with_context, &w, fault);
}

static char *using_context(const char *text, const void *arg)
{
    return config_using(text, arg);
}

struct removing {
    const char *name;
    bool current;
};

static char *without_context(const char *text, const void *arg)
{
    const struct removing *r = arg;
    char *rest = config_without(text, r->name), *out;

    if (!r->current)
        return rest;
    out = config_using(rest, NULL);
    mem_free_secret(rest, strlen(rest));
    return out;
}

/* ---- commands ---- */

static bool no_such(const char *name, struct fault *fault)
{
    fault_set(fault, CLI_NOT_FOUND, "there is no context '%.63s'", name);
    return fault_hint(fault, "see: vmmctl context list");
}

static bool is_known(const struct contexts *c, const char *name)
{
    const json_t *one;
    size_t i;

    json_array_foreach (c->list, i, one)
        if (str_eq(json_get_text(one, "name"), name))
            return true;
    return false;
}

static bool context_list_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(contexts_clear) struct contexts contexts = {0};

    return read_contexts(&contexts, fault) && output_list(cli, contexts.list, columns, fault);
}

static bool context_show_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(contexts_clear) struct contexts contexts = {0};
    const char *name = cli_word(cli, 0);

    if (!read_contexts(&contexts, fault))
        return false;
    name = name ? name : contexts.current;
    if (!name)
        return fault_set(fault, CLI_NOT_FOUND, "no context is the current one");
    return is_known(&contexts, name) ? output_object(cli, entry(&contexts, name), columns, fault)
                                     : no_such(name, fault);
}

static bool context_use_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(contexts_clear) struct contexts contexts = {0};
    const char *name = cli_word(cli, 0);

    if (!read_contexts(&contexts, fault))
        return false;
    if (str_eq(name, "none"))
        return change_file(using_context, NULL, fault);
    if (!is_known(&contexts, name))
        return no_such(name, fault);
    return change_file(using_context, name, fault);
}

static bool context_add_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(connection_clear) struct connection connection = {0};
    bool use = args_has(cli->args, "use");

    if (!args_has(cli->args, "url") && !args_has(cli->args, "socket"))
        return fault_set(fault, CLI_USAGE, "where is it? give --url or --socket");
    if (!connection_from_flags(cli->args, &connection, fault) ||
        !context_write(cli_word(cli, 0), &connection, use, fault))
        return false;
    cli_say(cli, "the context %s is added%s", cli_word(cli, 0), use ? " and used" : "");
    return true;
}

static bool context_remove_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(contexts_clear) struct contexts contexts = {0};
    const char *name = cli_word(cli, 0);
    struct removing removing = {.name = name};

    if (!read_contexts(&contexts, fault))
        return false;
    if (!is_known(&contexts, name))
        return no_such(name, fault);
    removing.current = str_eq(contexts.current, name);
    return change_file(without_context, &removing, fault);
}
