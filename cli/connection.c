/* Where the service is: see connection.h.
 *
 * The file is read first and overwritten by what the environment and then the flags say. An address
 * from one source wins over a socket from a lower one and the other way round, so that a flag never
 * has to be accompanied by "unset". */
#include "cli/connection.h"

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_CONFIG_BYTES (64u << 10)

static bool load_file(struct connection *c, struct fault *fault);
static bool load_environment(struct connection *c, struct fault *fault);
static bool load_flags(const struct args *args, struct connection *c, struct fault *fault);
static bool complete(struct connection *c, struct fault *fault);

bool connection_load(const struct args *args, struct connection *out, struct fault *fault)
{
    *out = (struct connection){0};
    return load_file(out, fault) && load_environment(out, fault) && load_flags(args, out, fault) &&
           complete(out, fault);
}

void connection_clear(struct connection *c)
{
    if (c->token)
        mem_free_secret(c->token, strlen(c->token));
    free(c->url);
    free(c->socket);
    free(c->cacert);
    free(c->fingerprint);
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

/* The first line of a file, without blanks around it. */
static bool put_token_file(struct connection *c, const char *path, struct fault *fault)
{
    CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *text = NULL, *token;
    size_t len = 0;
    struct err err;

    if (fd < 0)
        return fault_set(fault, CLI_USAGE, "the token file %.200s: %s", path, strerror(errno));
    if (!fs_read_all(fd, MAX_CONFIG_BYTES, &text, &len, &err))
        return fault_err(fault, CLI_USAGE, &err);
    token = text + strspn(text, " \t\r\n");
    token[strcspn(token, " \t\r\n")] = 0;
    if (*token)
        put_secret(&c->token, token);
    else
        fault_set(fault, CLI_USAGE, "the token file %.200s is empty", path);
    bool ok = *token != 0;
    mem_free_secret(text, len);
    return ok;
}

/* ---- configuration file ---- */

static char *config_path(void)
{
    const char *given = getenv("VMMD_CONFIG");
    const char *xdg = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");

    if (given && *given)
        return str_dup(given);
    if (xdg && *xdg == '/')
        return str_format("%s/vmmd/config", xdg);
    return home && *home ? str_format("%s/.config/vmmd/config", home) : NULL;
}

static bool config_set(struct connection *c, const char *key, const char *value, const char *where,
                       struct fault *fault)
{
    if (str_eq(key, "url"))
        put_url(c, value);
    else if (str_eq(key, "socket"))
        put_socket(c, value);
    else if (str_eq(key, "cacert"))
        put(&c->cacert, value);
    else if (str_eq(key, "token"))
        put_secret(&c->token, value);
    else if (str_eq(key, "token_file"))
        return put_token_file(c, value, fault);
    else if (str_eq(key, "fingerprint"))
        return put_fingerprint(c, value, where, fault);
    else
        return fault_set(fault, CLI_USAGE,
                         "%s: unknown key '%.40s' (known: url, socket, cacert, fingerprint, token, "
                         "token_file)",
                         where, key);
    return true;
}

static char *trim(char *s)
{
    s += strspn(s, " \t\r");
    for (size_t n = strlen(s); n && strchr(" \t\r", s[n - 1]); n--)
        s[n - 1] = 0;
    return s;
}

static bool parse_config(struct connection *c, const char *path, char *text, struct fault *fault)
{
    char *rest = text, *line;
    char where[300];

    for (unsigned number = 1; (line = strsep(&rest, "\n")); number++) {
        char *value = strchr(line, '=');
        char *key = trim(line);

        if (!*key || *key == '#' || *key == ';')
            continue;
        snprintf(where, sizeof where, "%.240s line %u", path, number);
        if (!value)
            return fault_set(fault, CLI_USAGE, "%s: expected 'key = value'", where);
        *value++ = 0;
        if (!config_set(c, trim(key), trim(value), where, fault))
            return false;
    }
    return true;
}

static bool load_file(struct connection *c, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = config_path();
    CLEANUP(closep) int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    struct stat st;
    struct err err;
    char *text = NULL;
    size_t len = 0;

    if (fd < 0) {
        if (!path || (errno == ENOENT && !getenv("VMMD_CONFIG")) || errno == ENOTDIR)
            return true;
        return fault_set(fault, CLI_USAGE, "the configuration file %.200s: %s", path,
                         strerror(errno));
    }
    if (fstat(fd, &st) < 0 || st.st_mode & 077)
        return fault_set(fault, CLI_USAGE,
                         "%.200s may hold a token and is open to other users; do: chmod 600 %.200s",
                         path, path);
    if (!fs_read_all(fd, MAX_CONFIG_BYTES, &text, &len, &err))
        return fault_err(fault, CLI_USAGE, &err);
    bool ok = parse_config(c, path, text, fault);
    mem_free_secret(text, len);
    return ok;
}

/* ---- environment and flags ---- */

static const char *environment(const char *name)
{
    const char *value = getenv(name);

    return value && *value ? value : NULL;
}

static bool load_environment(struct connection *c, struct fault *fault)
{
    const char *text;

    if ((text = environment("VMMD_SOCKET")))
        put_socket(c, text);
    if ((text = environment("VMMD_URL")))
        put_url(c, text);
    if ((text = environment("VMMD_CACERT")))
        put(&c->cacert, text);
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
static bool check_url(const char *url, struct fault *fault)
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
    return check_url(c->url, fault);
}
