/* The configuration file: see config.h. */
#include "cli/config.h"

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_BYTES (64u << 10)

char *config_path(void)
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

bool config_file_load(const char *path, bool must, char **text, size_t *len, struct fault *fault)
{
    CLEANUP(closep) int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    struct stat st;
    struct err err;

    *text = NULL;
    *len = 0;
    if (fd < 0) {
        if (!path || (!must && (errno == ENOENT || errno == ENOTDIR)))
            return true;
        return fault_set(fault, CLI_USAGE, "the configuration file %.200s: %s", path,
                         strerror(errno));
    }
    if (fstat(fd, &st) < 0 || st.st_mode & 077)
        return fault_set(fault, CLI_USAGE,
                         "%.200s may hold a token and is open to other users; do: chmod 600 %.200s",
                         path, path);
    return fs_read_all(fd, MAX_BYTES, text, len, &err) || fault_err(fault, CLI_USAGE, &err);
}

/* ---- reading ---- */

static char *trim(char *s)
{
    s += strspn(s, " \t\r");
    for (size_t n = strlen(s); n && strchr(" \t\r", s[n - 1]); n--)
        s[n - 1] = 0;
    return s;
}

bool config_name_ok(const char *name)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t n = strlen(name);

    return n && n <= 63 && strspn(name, letters) == n && !strchr("._-", name[0]);
}

/* The name in "[context NAME]", or NULL. Cuts the line. */
static char *section_name(char *line)
{
    size_t n = strlen(line);
    char *name;

    if (line[0] != '[' || line[n - 1] != ']')
        return NULL;
    line[n - 1] = 0;
    name = trim(line + 1);
    if (!str_starts(name, "context") || !strchr(" \t", name[7]))
        return NULL;
    name = trim(name + 7);
    n = strlen(name);
    if (n > 1 && name[0] == '"' && name[n - 1] == '"') {
        name[n - 1] = 0;
        name++;
    }
    return config_name_ok(name) ? name : NULL;
}

bool config_each(const char *path, char *text,
                 bool (*see)(void *arg, const struct config_line *line, struct fault *fault),
                 void *arg, struct fault *fault)
{
    char *rest = text, *raw;
    char where[300];
    struct config_line line = {.where = where};

    for (unsigned number = 1; (raw = strsep(&rest, "\n")); number++) {
        char *key = trim(raw), *value;

        if (!*key || *key == '#' || *key == ';')
            continue;
        snprintf(where, sizeof where, "%.240s line %u", path, number);
        if (*key == '[') {
            line.context = section_name(key);
            if (!line.context)
                return fault_set(fault, CLI_USAGE, "%s: expected [context NAME]", where);
            continue;
        }
        value = strchr(key, '=');
        if (!value)
            return fault_set(fault, CLI_USAGE, "%s: expected 'key = value'", where);
        *value++ = 0;
        line.key = trim(key);
        line.value = trim(value);
        if (!see(arg, &line, fault))
            return false;
    }
    return true;
}

/* ---- changing ---- */

/* Copies the text line by line but for those of which 'drop' is true. */
static char *filter_lines(const char *text, bool (*drop)(void *arg, char *line), void *arg)
{
    struct strbuf out = {0};

    while (text && *text) {
        size_t n = strcspn(text, "\n");
        char *copy = str_format("%.*s", (int)n, text);

        if (!drop(arg, trim(copy))) {
            strbuf_add(&out, text, n);
            strbuf_adds(&out, "\n");
        }
        mem_free_secret(copy, n);
        text += n + (text[n] == '\n');
    }
    return strbuf_take(&out);
}

struct cut {
    const char *context;
    bool inside;
};

static bool is_of_context(void *arg, char *line)
{
    struct cut *cut = arg;

    if (*line == '[')
        cut->inside = str_eq(section_name(line), cut->context);
    return cut->inside;
}

char *config_without(const char *text, const char *context)
{
    struct cut cut = {.context = context};

    return filter_lines(text, is_of_context, &cut);
}

static bool says_context(void *arg, char *line)
{
    bool *in_section = arg;

    *in_section = *in_section || *line == '[';
    return !*in_section && str_starts(line, "context") && strchr(" \t=", line[7]) && line[7];
}

char *config_using(const char *text, const char *context)
{
    bool in_section = false;
    char *rest = filter_lines(text, says_context, &in_section);
    char *out;

    if (!context)
        return rest;
    out = str_format("context = %s\n%s", context, rest);
    mem_free_secret(rest, strlen(rest));
    return out;
}

bool config_save(const char *path, const char *text, struct fault *fault)
{
    CLEANUP(mem_freep) char *target = realpath(path, NULL); /* a link stays one */
    CLEANUP(mem_freep) char *folder = str_dup(target ? target : path);
    CLEANUP(closep) int dir = -1;
    char *name = strrchr(folder, '/');
    struct err err;

    if (!name || name == folder)
        return fault_set(fault, CLI_USAGE, "%.200s: the configuration file needs a whole path",
                         path);
    *name++ = 0;
    if (!fs_mkdirs(folder, 0700, &err))
        return fault_err(fault, CLI_FAILED, &err);
    dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return fault_set(fault, CLI_FAILED, "%.200s: %s", folder, strerror(errno));
    return fs_publish(dir, name, text, strlen(text), 0600, &err) ||
           fault_err(fault, CLI_FAILED, &err);
}
