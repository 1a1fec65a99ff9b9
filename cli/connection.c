/* Where the service is: see connection.h.
 *
 * The file is read first and overwritten by what the environment and then the flags say. An address
 * from one source wins over a socket from a lower one and the other way round, so that a flag never
 * has to be accompanied by "unset". */
#include "cli/connection.h"

#include "cli/config.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define MAX_TOKEN_BYTES (64u << 10)

static bool load_file(struct connection *c, const char *wanted, bool elsewhere,
                      struct fault *fault);
static bool load_environment(struct connection *c, struct fault *fault);
static bool load_flags(const struct args *args, struct connection *c, struct fault *fault);
static bool complete(struct connection *c, struct fault *fault);

/* While the file is read. */
struct loading {
    struct connection *connection;
    const char *wanted; /* context, NULL: what the file says */
    char *current;      /* what the file says, NULL: above all sections */
    char *last;         /* context of the line before */
    struct strbuf known;
    bool found;
    bool elsewhere; /* an address is given otherwise: what the file has chosen does not count */
};

static const char *environment(const char *name)
{
    const char *value = getenv(name);

    return value && *value ? value : NULL;
}

bool connection_load(const struct args *args, struct connection *out, struct fault *fault)
{
    const char *flag = args_text(args, "context");
    const char *wanted = flag ? flag : environment("VMMD_CONTEXT");
    bool elsewhere = args_has(args, "url") || args_has(args, "socket") || environment("VMMD_URL") ||
                     environment("VMMD_SOCKET");

    *out = (struct connection){0};
    if (!load_file(out, wanted, elsewhere, fault))
        return false;
    if (!flag && !load_environment(out, fault)) /* who names a context means all of it */
        return false;
    return load_flags(args, out, fault) && complete(out, fault);
}

bool connection_from_flags(const struct args *args, struct connection *out, struct fault *fault)
{
    *out = (struct connection){0};
    return load_flags(args, out, fault) && complete(out, fault);
}

void connection_clear(struct connection *c)
{
    if (c->token)
        mem_free_secret(c->token, strlen(c->token));
    free(c->url);
    free(c->socket);
    free(c->cacert);
    free(c->fingerprint);
    free(c->cert);
    free(c->key);
    free(c->context);
    *c = (struct connection){0};
}

static void put(char **member, const char *value)
{
    free(*member);
    *member = str_dup(value);
}

static void put_secret(char **member, const char *value)
{
    if (*member)
        mem_free_secret(*member, strlen(*member));
    *member = str_dup(value);
}

static void put_url(struct connection *c, const char *url)
{
    put(&c->url, url);
    put(&c->socket, NULL);
}

static void put_socket(struct connection *c, const char *path)
{
    put(&c->socket, path);
    put(&c->url, NULL);
}

bool fingerprint_parse(const char *text, char out[65])
{
    size_t n = 0;

    if (strncasecmp(text, "sha256:", 7) == 0)
        text += 7;
    for (; *text; text++) {
        if (*text == ':')
            continue;
        if (n == 64 || !strchr("0123456789abcdefABCDEF", *text))
            return false;
        out[n++] = *text >= 'A' && *text <= 'F' ? (char)(*text - 'A' + 'a') : *text;
    }
    out[n] = 0;
    return n == 64;
}

static bool put_fingerprint(struct connection *c, const char *text, const char *where,
                            struct fault *fault)
{
    char hex[65];

    if (!fingerprint_parse(text, hex))
        return fault_set(fault, CLI_USAGE,
                         "%s: a SHA-256 fingerprint has 64 hex digits, colons may stand between",
                         where);
    put(&c->fingerprint, hex);
    return true;
}

char *connection_read_token(const char *path, struct fault *fault)
{
    bool standard = str_eq(path, "-");
    CLEANUP(closep) int opened = standard ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    char *text = NULL, *token = NULL, *start;
    size_t len = 0;
    struct err err;

    if (opened < 0 && !standard) {
        fault_set(fault, CLI_USAGE, "the token file %.200s: %s", path, strerror(errno));
        return NULL;
    }
    if (!fs_read_all(standard ? STDIN_FILENO : opened, MAX_TOKEN_BYTES, &text, &len, &err)) {
        fault_err(fault, CLI_USAGE, &err);
        return NULL;
    }
    start = text + strspn(text, " \t\r\n");
    start[strcspn(start, " \t\r\n")] = 0;
    if (*start)
        token = str_dup(start);
    else
        fault_set(fault, CLI_USAGE, "the token file %.200s is empty", path);
    mem_free_secret(text, len);
    return token;
}

static bool put_token_file(struct connection *c, const char *path, struct fault *fault)
{
    char *token = connection_read_token(path, fault);

    if (!token)
        return false;
    put_secret(&c->token, token);
    mem_free_secret(token, strlen(token));
    return true;
}

/* ---- configuration file ---- */

static bool config_set(struct connection *c, const struct config_line *line, struct fault *fault)
{
    if (str_eq(line->key, "url"))
        put_url(c, line->value);
    else if (str_eq(line->key, "socket"))
        put_socket(c, line->value);
    else if (str_eq(line->key, "cacert"))
        put(&c->cacert, line->value);
    else if (str_eq(line->key, "cert"))
        put(&c->cert, line->value);
    else if (str_eq(line->key, "key"))
        put(&c->key, line->value);
    else if (str_eq(line->key, "token"))
        put_secret(&c->token, line->value);
    else if (str_eq(line->key, "token_file"))
        return put_token_file(c, line->value, fault);
    else if (str_eq(line->key, "fingerprint"))
        return put_fingerprint(c, line->value, line->where, fault);
    else
        return fault_set(fault, CLI_USAGE,
                         "%s: unknown key '%.40s' (known: url, socket, cacert, fingerprint, token, "
                         "token_file, cert, key)",
                         line->where, line->key);
    return true;
}

/* Which context the file names, and which there are. */
static bool see_contexts(void *arg, const struct config_line *line, struct fault *fault)
{
    struct loading *l = arg;

    (void)fault;
    if (!line->context && str_eq(line->key, "context"))
        put(&l->current, line->value);
    if (line->context && !str_eq(line->context, l->last)) {
        put(&l->last, line->context);
        strbuf_addf(&l->known, "%s%s", l->known.len ? ", " : "", line->context);
    }
    return true;
}

/* A context is a whole connection: nothing of another one, a token least of all, is mixed in. */
static bool see_setting(void *arg, const struct config_line *line, struct fault *fault)
{
    struct loading *l = arg;

    if (!str_eq(line->context, l->wanted) || (!line->context && str_eq(line->key, "context")))
        return true;
    l->found = true;
    return config_set(l->connection, line, fault);
}

static bool read_settings(struct loading *l, char *text, const char *path, struct fault *fault)
{
    char *copy = str_dup(text ? text : "");
    size_t len = strlen(copy);
    bool ok = config_each(path, copy, see_contexts, l, fault);

    mem_free_secret(copy, len);
    if (!ok)
        return false;
    if (!l->wanted && !l->elsewhere)
        l->wanted = l->current;
    if (text && !config_each(path, text, see_setting, l, fault))
        return false;
    put(&l->connection->context, l->wanted);
    return !l->wanted || l->found ||
           fault_set(fault, CLI_USAGE, "there is no context '%.63s' in %.200s (there are: %.200s)",
                     l->wanted, path, l->known.len ? l->known.data : "none");
}

static bool load_file(struct connection *c, const char *wanted, bool elsewhere, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = config_path();
    struct loading l = {.connection = c, .wanted = wanted, .elsewhere = elsewhere};
    char *text = NULL;
    size_t len = 0;
    bool ok = config_file_load(path, environment("VMMD_CONFIG") != NULL, &text, &len, fault) &&
              read_settings(&l, text, path ? path : "the configuration file", fault);

    if (text)
        mem_free_secret(text, len);
    free(l.current);
    free(l.last);
    strbuf_clear(&l.known);
    return ok;
}

/* ---- environment and flags ---- */

static bool load_environment(struct connection *c, struct fault *fault)
{
    const char *text;

    if ((text = environment("VMMD_SOCKET")))
        put_socket(c, text);
    if ((text = environment("VMMD_URL")))
        put_url(c, text);
    if ((text = environment("VMMD_CACERT")))
        put(&c->cacert, text);
    if ((text = environment("VMMD_CERT")))
        put(&c->cert, text);
    if ((text = environment("VMMD_KEY")))
        put(&c->key, text);
    if ((text = environment("VMMD_TOKEN_FILE")) && !put_token_file(c, text, fault))
        return false;
    if ((text = environment("VMMD_TOKEN")))
        put_secret(&c->token, text);
    text = environment("VMMD_FINGERPRINT");
    return !text || put_fingerprint(c, text, "VMMD_FINGERPRINT", fault);
}

static bool load_flags(const struct args *args, struct connection *c, struct fault *fault)
{
    const char *url = args_text(args, "url"), *path = args_text(args, "socket");
    const char *text;

    if (url && path)
        return fault_set(fault, CLI_USAGE, "--url and --socket cannot be given together");
    if (url)
        put_url(c, url);
    if (path)
        put_socket(c, path);
    if ((text = args_text(args, "cacert")))
        put(&c->cacert, text);
    if ((text = args_text(args, "cert")))
        put(&c->cert, text);
    if ((text = args_text(args, "key")))
        put(&c->key, text);
    if ((text = args_text(args, "token-file")) && !put_token_file(c, text, fault))
        return false;
    text = args_text(args, "accept-fingerprint");
    return !text || put_fingerprint(c, text, "--accept-fingerprint", fault);
}

/* ---- what is left open ---- */

static char *default_socket(void)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");

    if (geteuid() != 0 && runtime && *runtime == '/')
        return str_format("%s/vmmd/api.sock", runtime);
    return str_dup("/run/vmmd/api.sock");
}

static bool is_loopback(const char *host)
{
    static const char *const names[] = {"127.0.0.1", "localhost", "[::1]"};

    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        size_t n = strlen(names[i]);
        if (strncmp(host, names[i], n) == 0 && (!host[n] || host[n] == ':'))
            return true;
    }
    return false;
}

/* A token must not travel in clear text, nor be sent where a crafted URL says. */
bool connection_check_url(const char *url, struct fault *fault)
{
    const char *host = strstr(url, "://");

    if (!host || (!str_starts(url, "https://") && !str_starts(url, "http://")) || !host[3])
        return fault_set(fault, CLI_USAGE, "'%.100s' is no address; write https://HOST:8443", url);
    host += 3;
    if (strpbrk(host, "@/?# \\\"<>\t\r\n"))
        return fault_set(fault, CLI_USAGE,
                         "'%.100s': an address has a host and a port only: https://HOST:8443", url);
    if (str_starts(url, "http://") && !is_loopback(host))
        return fault_set(fault, CLI_USAGE,
                         "'%.100s' would send the token in clear text; use https://", url);
    return true;
}

static bool complete(struct connection *c, struct fault *fault)
{
    size_t n;

    if (!c->url && !c->socket)
        c->socket = default_socket();
    if (c->token)
        for (const char *p = c->token; *p; p++)
            if (*p <= ' ' || *p > '~')
                return fault_set(
                    fault, CLI_USAGE,
                    "the token has characters that no token has; was it pasted whole?");
    if (c->socket) {
        c->url = str_dup("http://localhost");
        return true;
    }
    n = strlen(c->url);
    if (n && c->url[n - 1] == '/')
        c->url[n - 1] = 0;
    return connection_check_url(c->url, fault);
}
