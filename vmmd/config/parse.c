/* The text of vmmd.conf -> struct config: sections, the table of keys, the values. Not the defaults
 * (defaults.c), not the file's owner (config.c).
 *
 * inih splits lines into names and values but neither counts lines for its handler nor reports a
 * section without keys. Both are done in next_line(), which inih calls once a line. */
#include "vmmd/config/parse.h"

#include "core/base/cidr.h"
#include "core/base/str.h"

#include <arpa/inet.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LINE 2048

enum section { SECTION_NONE, SECTION_VMMD, SECTION_ROOT, SECTION_BOOT };

struct parse {
    struct config *c;
    const char *name; /* of the file, for errors */
    const char *rest; /* of the text */
    unsigned line;
    enum section section;
    uint32_t seen; /* one bit a key of [vmmd] */
    bool failed;   /* *err is set */
    struct err *err;
};

struct key {
    const char *name;
    bool (*set)(struct config *c, void *member, const struct key *key, const char *value);
    size_t offset;
    uint64_t least, most;
    const char *expected;
};

static bool set_path(struct config *c, void *member, const struct key *key, const char *value);
static bool set_u32(struct config *c, void *member, const struct key *key, const char *value);
static bool set_bool(struct config *c, void *member, const struct key *key, const char *value);
static bool set_listen(struct config *c, void *member, const struct key *key, const char *value);
static bool set_user(struct config *c, void *member, const struct key *key, const char *value);
static bool set_cgroup(struct config *c, void *member, const struct key *key, const char *value);
static bool set_admins(struct config *c, void *member, const struct key *key, const char *value);
static bool set_service(struct config *c, void *member, const struct key *key, const char *value);
static bool set_allow(struct config *c, void *member, const struct key *key, const char *value);

#define A_PATH "an absolute path without ';' and control characters"
#define PATH(name)                                                                                 \
    {                                                                                              \
#name, set_path, offsetof(struct config, name), 0, 0, A_PATH                               \
    }
#define U32(name, least, most)                                                                     \
    {                                                                                              \
#name, set_u32, offsetof(struct config, name), least, most,                                \
            "a number from " #least " to " #most                                                   \
    }

static const struct key keys[] = {
    {"listen", set_listen, 0, 0, 0, "a literal address and a port: 127.0.0.1:8443 or [::1]:8443"},
    {"user", set_user, offsetof(struct config, user), 0, 0,
     "the name of a user, or UID:GID as numbers, but not root"},
    {"cgroup", set_cgroup, offsetof(struct config, cgroup), 0, 0,
     "a path below the cgroup v2 mount, such as vmm.slice/vmmd-workers.service"},
    {"admin_uids", set_admins, 0, 0, 0, "up to 16 numeric user ids, separated by blanks"},
    {"hostnames", set_allow, offsetof(struct config, hostnames), 0, 0,
     "host names separated by blanks"},
    {"webhook_allow", set_allow, offsetof(struct config, webhook_allow), 0, 0,
     "addresses, ranges such as 127.0.0.0/8 and host names, separated by blanks"},
    {"enable_fake_backend", set_bool, offsetof(struct config, enable_fake_backend), 0, 0,
     "true or false"},
    {"client_certificates", set_bool, offsetof(struct config, client_certificates), 0, 0,
     "true or false"},
    {"pam_service", set_service, offsetof(struct config, pam_service), 0, 0,
     "the name of a file in /etc/pam.d: a letter, then up to 31 of a-z, 0-9, - and _"},
    PATH(state_dir),
    PATH(run_dir),
    PATH(libexec_dir),
    PATH(tls_cert),
    PATH(tls_key),
    PATH(qemu),
    U32(uid_base, 65536, 4000000000),
    U32(uid_count, 19, 16777216),
    U32(max_connections, 1, 65536),
    U32(session_idle_hours, 1, 720),
    U32(session_max_days, 1, 365),
    U32(max_connections_per_address, 1, 65536),
    U32(restart_limit, 1, 64),
    U32(rate_limit, 0, 1000000),
    U32(rate_limit_burst, 1, 1000000),
    U32(auth_failures_per_minute, 0, 1000000),
};

const char *config_key(size_t i)
{
    return i < ARRAY_LEN(keys) ? keys[i].name : NULL;
}

static bool fail(struct parse *p, const char *fmt, ...) PRINTF(2, 3);
static bool fail(struct parse *p, const char *fmt, ...)
{
    char what[300];
    va_list args;

    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    if (!p->failed)
        err_set(p->err, ERR_INVALID, "%s:%u: %s", p->name, p->line, what);
    p->failed = true;
    return false;
}

bool config_path_ok(const char *path)
{
    size_t len = strlen(path);

    if (path[0] != '/' || len > 1024 || path[len - 1] == ' ')
        return false;
    for (const char *p = path; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f || *p == ';')
            return false;
    return true;
}

bool config_parse_ids(const char *text, uid_t *uid, gid_t *gid)
{
    char copy[32];
    uint64_t u, g;
    char *colon;

    if (str_copy(copy, sizeof copy, text) != strlen(text) || !(colon = strchr(copy, ':')))
        return false;
    *colon = 0;
    if (!str_to_u64(copy, &u) || !str_to_u64(colon + 1, &g) || u >= UINT32_MAX || g >= UINT32_MAX)
        return false;
    *uid = (uid_t)u;
    *gid = (gid_t)g;
    return true;
}

static bool parse_address(struct config *c, const char *host, in_port_t port, bool v6)
{
    struct sockaddr_in *in = (struct sockaddr_in *)&c->listen;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&c->listen;

    if (v6) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(port);
        c->listen_len = sizeof *in6;
        return inet_pton(AF_INET6, host, &in6->sin6_addr) == 1;
    }
    in->sin_family = AF_INET;
    in->sin_port = htons(port);
    c->listen_len = sizeof *in;
    return inet_pton(AF_INET, host, &in->sin_addr) == 1;
}

bool config_parse_listen(struct config *c, const char *text)
{
    char copy[80];
    char *colon, *host = copy;
    uint64_t port;
    size_t len;

    if (str_copy(copy, sizeof copy, text) != strlen(text) || !(colon = strrchr(copy, ':')))
        return false;
    *colon = 0;
    if (!str_to_u64(colon + 1, &port) || port == 0 || port > 65535)
        return false;
    len = strlen(host);
    if (host[0] == '[' && host[len - 1] == ']') {
        host[len - 1] = 0;
        host++;
    } else if (strchr(host, ':')) {
        return false; /* which colon is the port's? */
    }
    if (!parse_address(c, host, (in_port_t)port, host != copy))
        return false;
    free(c->listen_text);
    c->listen_text = str_dup(text);
    return true;
}

static bool set_path(struct config *c, void *member, const struct key *key, const char *value)
{
    if (!config_path_ok(value))
        return false;
    *(char **)member = str_dup(value);
    return true;
}

static bool set_u32(struct config *c, void *member, const struct key *key, const char *value)
{
    uint64_t n;

    if (!str_to_u64(value, &n) || n < key->least || n > key->most)
        return false;
    *(uint32_t *)member = (uint32_t)n;
    return true;
}

static bool set_bool(struct config *c, void *member, const struct key *key, const char *value)
{
    *(bool *)member = str_eq(value, "true");
    return str_eq(value, "true") || str_eq(value, "false");
}

static bool set_listen(struct config *c, void *member, const struct key *key, const char *value)
{
    return config_parse_listen(c, value);
}

static bool set_user(struct config *c, void *member, const struct key *key, const char *value)
{
    if (!*value || strlen(value) > 64 || str_eq(value, "root"))
        return false;
    *(char **)member = str_dup(value);
    return true;
}

static bool set_cgroup(struct config *c, void *member, const struct key *key, const char *value)
{
    if (!*value || *value == '/' || strlen(value) > 200 || strstr(value, ".."))
        return false;
    for (const char *p = value; *p; p++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.@:/", *p))
            return false;
    *(char **)member = str_dup(value);
    return true;
}

static bool set_admins(struct config *c, void *member, const struct key *key, const char *value)
{
    char copy[256];
    char *save = NULL;

    if (str_copy(copy, sizeof copy, value) != strlen(value))
        return false;
    for (char *word = strtok_r(copy, " \t", &save); word; word = strtok_r(NULL, " \t", &save)) {
        uint64_t uid;
        if (c->n_admin_uids == CONFIG_MAX_ADMINS || !str_to_u64(word, &uid) || uid >= UINT32_MAX)
            return false;
        c->admin_uids[c->n_admin_uids++] = (uid_t)uid;
    }
    return true;
}

/* A file's name, which goes to libpam: nothing that could lead elsewhere. */
static bool set_service(struct config *c, void *member, const struct key *key, const char *value)
{
    if (value[0] < 'a' || value[0] > 'z' || strlen(value) > 32 ||
        value[strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789-_")])
        return false;
    *(char **)member = str_dup(value);
    return true;
}

/* A word with a slash or a colon, or of digits and dots, is an address or a range. */
static bool allow_word(const char *word)
{
    struct cidr range;

    if (strpbrk(word, "/:") || !word[strspn(word, "0123456789.")])
        return cidr_parse(word, &range);
    return strlen(word) < 128 &&
           !word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")];
}

static bool set_allow(struct config *c, void *member, const struct key *key, const char *value)
{
    char copy[1024];
    char *save = NULL;
    unsigned n = 0;

    if (str_copy(copy, sizeof copy, value) != strlen(value))
        return false;
    for (char *word = strtok_r(copy, " \t", &save); word; word = strtok_r(NULL, " \t", &save))
        if (!allow_word(word) || ++n > 64)
            return false;
    *(char **)member = str_dup(value);
    return true;
}

static bool set_key(struct parse *p, const char *name, const char *value)
{
    for (unsigned i = 0; i < ARRAY_LEN(keys); i++) {
        if (!str_eq(keys[i].name, name))
            continue;
        if (p->seen & (1u << i))
            return fail(p, "%s is given twice", name);
        p->seen |= 1u << i;
        return keys[i].set(p->c, (char *)p->c + keys[i].offset, &keys[i], value) ||
               fail(p, "%s: expected %s", name, keys[i].expected);
    }
    return fail(p, "unknown key %s in [vmmd]", name);
}

/* A path of the entry (pool root or boot entry) whose section the line stands in. */
static bool set_entry(struct parse *p, const char *name, const char *value, char **member)
{
    if (!member)
        return fail(p, "unknown key %s in [%s]", name,
                    p->section == SECTION_ROOT ? "pool-root NAME" : "boot NAME");
    if (*member)
        return fail(p, "%s is given twice", name);
    if (!config_path_ok(value))
        return fail(p, "%s: expected " A_PATH, name);
    *member = str_dup(value);
    return true;
}

static int on_key(void *arg, const char *section, const char *name, const char *value)
{
    struct parse *p = arg;
    struct config_root *root = &p->c->roots[p->c->n_roots - (p->section == SECTION_ROOT)];
    struct config_boot *boot = &p->c->boots[p->c->n_boots - (p->section == SECTION_BOOT)];

    if (p->failed)
        return 0;
    switch (p->section) {
    case SECTION_VMMD:
        return set_key(p, name, value);
    case SECTION_ROOT:
        return set_entry(p, name, value, str_eq(name, "path") ? &root->path : NULL);
    case SECTION_BOOT:
        return set_entry(p, name, value,
                         str_eq(name, "kernel")   ? &boot->kernel
                         : str_eq(name, "initrd") ? &boot->initrd
                                                  : NULL);
    case SECTION_NONE:
        break;
    }
    return fail(p, "%s stands in front of the first section: expected [vmmd]", name);
}

static bool id_ok(const char *id)
{
    size_t len = strlen(id);

    return len >= 1 && len <= 31 && strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789-_") == len &&
           id[0] != '-';
}

/* The section that was being read must be whole before the next begins or the file ends. */
static bool section_end(struct parse *p)
{
    const struct config *c = p->c;

    if (p->section == SECTION_ROOT && !c->roots[c->n_roots - 1].path)
        return fail(p, "[pool-root %s] has no path", c->roots[c->n_roots - 1].id);
    if (p->section == SECTION_BOOT && !c->boots[c->n_boots - 1].kernel)
        return fail(p, "[boot %s] has no kernel", c->boots[c->n_boots - 1].id);
    return true;
}

static bool root_begin(struct parse *p, const char *id)
{
    struct config *c = p->c;

    for (unsigned i = 0; i < c->n_roots; i++)
        if (str_eq(c->roots[i].id, id))
            return fail(p, "[pool-root %s] is given twice", id);
    if (c->n_roots == CONFIG_MAX_ROOTS)
        return fail(p, "there are more than %d pool roots", CONFIG_MAX_ROOTS);
    str_copy(c->roots[c->n_roots++].id, sizeof c->roots->id, id);
    p->section = SECTION_ROOT;
    return true;
}

static bool boot_begin(struct parse *p, const char *id)
{
    struct config *c = p->c;

    for (unsigned i = 0; i < c->n_boots; i++)
        if (str_eq(c->boots[i].id, id))
            return fail(p, "[boot %s] is given twice", id);
    if (c->n_boots == CONFIG_MAX_BOOTS)
        return fail(p, "there are more than %d boot entries", CONFIG_MAX_BOOTS);
    str_copy(c->boots[c->n_boots++].id, sizeof c->boots->id, id);
    p->section = SECTION_BOOT;
    return true;
}

/* 'header' is the text behind '['; the file goes on behind the line. */
static bool section_begin(struct parse *p, const char *header)
{
    char text[64];
    const char *end = header + strcspn(header, "]\n");
    const char *after = end + (*end == ']') + strspn(end + (*end == ']'), " \t\r");
    bool closed = *end == ']' && (!*after || strchr("\n;#", *after));

    if (!section_end(p))
        return false;
    if (!closed || end - header >= (ptrdiff_t)sizeof text)
        return fail(p, "expected [vmmd], [pool-root NAME] or [boot NAME]");
    str_copy(text, (size_t)(end - header) + 1, header);
    if (str_eq(text, "vmmd")) {
        p->section = SECTION_VMMD;
        return true;
    }
    if (str_starts(text, "pool-root ") && id_ok(text + 10))
        return root_begin(p, text + 10);
    if (str_starts(text, "boot ") && id_ok(text + 5))
        return boot_begin(p, text + 5);
    return fail(p,
                "unknown section: expected [vmmd], [pool-root NAME] or [boot NAME], NAME of 1 to "
                "31 characters a-z 0-9 - _");
}

/* inih's reader: hands out one line, and tells the sections on the way. NULL ends the reading. */
static char *next_line(char *out, int cap, void *arg)
{
    struct parse *p = arg;
    size_t len = strcspn(p->rest, "\n");
    const char *text = p->rest + strspn(p->rest, " \t");

    if (p->failed || !*p->rest)
        return NULL;
    p->line++;
    if (len + 2 > (size_t)cap) {
        fail(p, "the line is longer than %d characters", cap - 2);
        return NULL;
    }
    if (*text == '[' && !section_begin(p, text + 1))
        return NULL;
    memcpy(out, p->rest, len);
    out[len] = '\n';
    out[len + 1] = 0;
    p->rest += len + (p->rest[len] == '\n');
    return out;
}

bool config_parse(struct config *c, const char *name, const char *text, struct err *err)
{
    struct parse p = {.c = c, .name = name, .rest = text, .err = err};
    int bad;

    ini_max_line = MAX_LINE;
    ini_allow_multiline = false;
    ini_stop_on_first_error = true;
    bad = ini_parse_stream(next_line, &p, on_key, &p);
    if (!p.failed && bad)
        fail(&p, "expected KEY = VALUE, [SECTION] or a comment");
    if (!p.failed)
        section_end(&p);
    return !p.failed;
}
