/* What holds where vmmd.conf says nothing. As root the system's directories and a user of our own;
 * as a user the XDG directories and the caller. */
#include "vmmd/config/defaults.h"

#include "core/base/str.h"
#include "vmmd/config/parse.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_UID_BASE  1000000
#define DEFAULT_UID_COUNT 131072
/* sun_path holds 108 bytes; the longest name bound below run_dir is api.sock. */
#define RUN_DIR_MAX 96

static const char *home(void)
{
    const char *dir = getenv("HOME");
    const struct passwd *pw;

    if (dir && dir[0] == '/')
        return dir;
    pw = getpwuid(geteuid());
    return pw && pw->pw_dir[0] == '/' ? pw->pw_dir : "/";
}

/* "$VARIABLE/vmmd", or "<home>/<fallback>/vmmd". */
static char *xdg(const char *variable, const char *fallback)
{
    const char *dir = getenv(variable);

    if (dir && dir[0] == '/')
        return str_format("%s/vmmd", dir);
    return str_format("%s/%s/vmmd", home(), fallback);
}

static char *etc_dir(void)
{
    return geteuid() == 0 ? str_dup("/etc/vmmd") : xdg("XDG_CONFIG_HOME", ".config");
}

static char *state_dir(void)
{
    return geteuid() == 0 ? str_dup("/var/lib/vmmd") : xdg("XDG_STATE_HOME", ".local/state");
}

static char *run_dir(void)
{
    const char *dir = getenv("XDG_RUNTIME_DIR");

    if (geteuid() == 0)
        return str_dup("/run/vmmd");
    if (dir && dir[0] == '/')
        return str_format("%s/vmmd", dir);
    return str_format("/tmp/vmmd-%u", geteuid());
}

/* Of the running program's file. */
static char *own_dir(void)
{
    char path[1025];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    char *slash;

    path[n > 0 ? n : 0] = 0;
    slash = strrchr(path, '/');
    if (slash)
        *slash = 0;
    return str_dup(path);
}

static char *below_etc(const char *name)
{
    char *etc = etc_dir();
    char *path = str_format("%s/%s", etc, name);

    free(etc);
    return path;
}

char *config_default_path(void)
{
    return below_etc("vmmd.conf");
}

static void fill(char **member, char *value)
{
    if (*member)
        free(value);
    else
        *member = value;
}

static bool path_valid(const char *key, const char *path, struct err *err)
{
    return config_path_ok(path) ||
           err_set(err, ERR_INVALID,
                   "%s cannot be %s: give an absolute path without ';' in vmmd.conf", key, path);
}

static bool fill_paths(struct config *c, struct err *err)
{
    fill(&c->state_dir, state_dir());
    fill(&c->run_dir, run_dir());
    fill(&c->libexec_dir, own_dir());
    fill(&c->tls_cert, below_etc("cert.pem"));
    fill(&c->tls_key, below_etc("key.pem"));
    fill(&c->qemu, str_dup("/usr/bin/qemu-system-x86_64"));
    if (strlen(c->run_dir) > RUN_DIR_MAX)
        return err_set(err, ERR_INVALID,
                       "run_dir may have %d characters at most (the names of unix "
                       "sockets are short), but is %s",
                       RUN_DIR_MAX, c->run_dir);
    return path_valid("state_dir", c->state_dir, err) && path_valid("run_dir", c->run_dir, err) &&
           path_valid("libexec_dir", c->libexec_dir, err) &&
           path_valid("tls_cert", c->tls_cert, err) && path_valid("tls_key", c->tls_key, err);
}

/* As root: 'user', else the user vmmd, else the first uid of the block. */
static bool find_user(struct config *c, struct err *err)
{
    const char *name = c->user ? c->user : "vmmd";
    const struct passwd *pw;

    if (c->user && config_parse_ids(c->user, &c->uid, &c->gid))
        return true;
    pw = getpwnam(name);
    if (pw) {
        c->uid = pw->pw_uid;
        c->gid = pw->pw_gid;
    } else if (c->user) {
        return err_set(err, ERR_INVALID,
                       "there is no user %s: create it, or name another as user "
                       "in vmmd.conf",
                       name);
    } else {
        c->uid = c->uid_base;
        c->gid = c->uid_base;
    }
    return true;
}

static bool user_valid(const struct config *c, struct err *err)
{
    uint64_t end = (uint64_t)c->uid_base + c->uid_count;

    if (end >= UINT32_MAX)
        return err_set(err, ERR_INVALID, "uid_base + uid_count is beyond the last user id");
    if (c->uid == 0 || c->gid == 0)
        return err_set(err, ERR_INVALID,
                       "user must not be root: vmmd's main process needs no rights");
    if ((c->uid > c->uid_base && c->uid < end) || (c->gid > c->uid_base && c->gid < end))
        return err_set(err, ERR_INVALID,
                       "user lies among the ids of virtual machines (%u to %u): "
                       "choose another user or uid_base",
                       c->uid_base, (unsigned)end - 1);
    return true;
}

void config_preset(struct config *c)
{
    c->rate_limit = 500;
    c->rate_limit_burst = 2000;
    c->auth_failures_per_minute = 60;
    c->session_idle_hours = 12;
    c->session_max_days = 7;
}

bool config_fill(struct config *c, struct err *err)
{
    if (!c->uid_base)
        c->uid_base = DEFAULT_UID_BASE;
    if (!c->uid_count)
        c->uid_count = DEFAULT_UID_COUNT;
    if (!c->max_connections)
        c->max_connections = 512;
    if (!c->max_connections_per_address)
        c->max_connections_per_address = 32;
    if (!c->restart_limit)
        c->restart_limit = 5;
    if (!c->listen_text && !config_parse_listen(c, "127.0.0.1:8443"))
        return err_set(err, ERR_INTERNAL, "the default address does not parse");
    if (!fill_paths(c, err))
        return false;
    if (geteuid() == 0)
        return find_user(c, err) && user_valid(c, err);
    if (c->pam_service)
        return err_set(
            err, ERR_INVALID,
            "pam_service is for a daemon of root: only root may ask for the passwords of "
            "others");
    c->uid = geteuid();
    c->gid = getegid();
    return true;
}
