/* vmmd.conf as a whole: finding and checking the file, the effective text for main. Parsing is in
 * parse.c, defaults are in defaults.c. */
#include "vmmd/config/config.h"

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "vmmd/config/defaults.h"
#include "vmmd/config/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_BYTES (256u << 10)

/* Who may change the file decides what root does: nobody else may. */
static bool owner_ok(int fd, const char *path, struct err *err)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return err_errno(err, errno, "look at %s", path);
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_INVALID, "%s is not a regular file", path);
    if (geteuid() != 0 || (st.st_uid == 0 && !(st.st_mode & 022)))
        return true;
    return err_set(err, ERR_INVALID,
                   "%s must belong to root and be writable by root only: "
                   "chown root %s; chmod go-w %s",
                   path, path, path);
}

static bool parse_fd(struct config *c, int fd, const char *name, struct err *err)
{
    CLEANUP(mem_freep) char *text = NULL;
    size_t len;

    if (!fs_read_all(fd, MAX_BYTES, &text, &len, err))
        return err_prefix(err, "%s", name);
    if (strlen(text) != len || !str_is_utf8(text, len))
        return err_set(err, ERR_INVALID, "%s is not UTF-8 text", name);
    return config_parse(c, name, text, err);
}

/* 'given': the path was asked for, so that a missing file is an error. */
static bool parse_file(struct config *c, const char *path, bool given, struct err *err)
{
    CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0 && errno == ENOENT && !given)
        return true;
    if (fd < 0) {
        err_errno(err, errno, "open %s", path);
        if (errno == ENOENT)
            err->code = ERR_NOT_FOUND;
        return false;
    }
    return owner_ok(fd, path, err) && parse_fd(c, fd, path, err);
}

struct config *config_load(const char *path, struct err *err)
{
    CLEANUP(config_freep) struct config *c = mem_alloc(sizeof *c);
    CLEANUP(mem_freep) char *fallback = config_default_path();

    config_preset(c);
    if (!parse_file(c, path ? path : fallback, path != NULL, err) || !config_fill(c, err))
        return NULL;
    return TAKE(c);
}

struct config *config_read(int fd, struct err *err)
{
    CLEANUP(config_freep) struct config *c = mem_alloc(sizeof *c);
    CLEANUP(mem_freep) char *text = mem_alloc(MAX_BYTES + 1);
    ssize_t n = pread(fd, text, MAX_BYTES, 0);

    if (n < 0) {
        err_errno(err, errno, "read the effective configuration");
        return NULL;
    }
    if (!config_parse(c, "effective configuration", text, err))
        return NULL;
    if (!c->user || !config_parse_ids(c->user, &c->uid, &c->gid) || !c->uid_base || !c->uid_count ||
        !c->listen_text || !c->state_dir || !c->run_dir || !c->libexec_dir || !c->qemu ||
        !c->max_connections) {
        err_set(err, ERR_INVALID,
                "the effective configuration is not whole: vmmd-main is started "
                "by vmmd, not by hand");
        return NULL;
    }
    return TAKE(c);
}

static void write_vmmd(const struct config *c, struct strbuf *out)
{
    strbuf_addf(out, "[vmmd]\nlisten = %s\nuser = %u:%u\n", c->listen_text, c->uid, c->gid);
    strbuf_addf(out, "uid_base = %u\nuid_count = %u\n", c->uid_base, c->uid_count);
    strbuf_addf(out, "state_dir = %s\nrun_dir = %s\n", c->state_dir, c->run_dir);
    strbuf_addf(out, "libexec_dir = %s\nqemu = %s\n", c->libexec_dir, c->qemu);
    strbuf_addf(out, "tls_cert = %s\ntls_key = %s\n", c->tls_cert, c->tls_key);
    strbuf_addf(out, "max_connections = %u\n", c->max_connections);
    strbuf_addf(out, "max_connections_per_address = %u\n", c->max_connections_per_address);
    strbuf_addf(out, "restart_limit = %u\n", c->restart_limit);
    strbuf_addf(out, "rate_limit = %u\nrate_limit_burst = %u\n", c->rate_limit,
                c->rate_limit_burst);
    strbuf_addf(out, "auth_failures_per_minute = %u\n", c->auth_failures_per_minute);
    strbuf_addf(out, "session_idle_hours = %u\nsession_max_days = %u\n", c->session_idle_hours,
                c->session_max_days);
    strbuf_addf(out, "client_certificates = %s\n", c->client_certificates ? "true" : "false");
    if (c->pam_service)
        strbuf_addf(out, "pam_service = %s\n", c->pam_service);
    if (c->hostnames)
        strbuf_addf(out, "hostnames = %s\n", c->hostnames);
    if (c->webhook_allow)
        strbuf_addf(out, "webhook_allow = %s\n", c->webhook_allow);
    strbuf_addf(out, "enable_fake_backend = %s\n", c->enable_fake_backend ? "true" : "false");
    if (c->cgroup)
        strbuf_addf(out, "cgroup = %s\n", c->cgroup);
    if (c->n_admin_uids)
        strbuf_adds(out, "admin_uids =");
    for (unsigned i = 0; i < c->n_admin_uids; i++)
        strbuf_addf(out, " %u", c->admin_uids[i]);
    strbuf_adds(out, "\n");
}

static void write_entries(const struct config *c, struct strbuf *out)
{
    for (unsigned i = 0; i < c->n_roots; i++)
        strbuf_addf(out, "[pool-root %s]\npath = %s\n", c->roots[i].id, c->roots[i].path);
    for (unsigned i = 0; i < c->n_boots; i++) {
        strbuf_addf(out, "[boot %s]\nkernel = %s\n", c->boots[i].id, c->boots[i].kernel);
        if (c->boots[i].initrd)
            strbuf_addf(out, "initrd = %s\n", c->boots[i].initrd);
    }
}

int config_seal(const struct config *c, struct err *err)
{
    CLEANUP(strbuf_clear) struct strbuf text = {0};
    CLEANUP(closep) int fd = memfd_create("vmmd.conf", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0) {
        err_errno(err, errno, "make a memory file");
        return -1;
    }
    write_vmmd(c, &text);
    write_entries(c, &text);
    if (!fs_write_all(fd, text.data, text.len, err))
        return -1;
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0) {
        err_errno(err, errno, "seal a memory file");
        return -1;
    }
    return TAKE_FD(fd);
}

void config_free(struct config *c)
{
    if (!c)
        return;
    for (unsigned i = 0; i < CONFIG_MAX_ROOTS; i++)
        free(c->roots[i].path);
    for (unsigned i = 0; i < CONFIG_MAX_BOOTS; i++) {
        free(c->boots[i].kernel);
        free(c->boots[i].initrd);
    }
    free(c->listen_text);
    free(c->state_dir);
    free(c->run_dir);
    free(c->libexec_dir);
    free(c->tls_cert);
    free(c->tls_key);
    free(c->qemu);
    free(c->cgroup);
    free(c->user);
    free(c->webhook_allow);
    free(c->hostnames);
    free(c->pam_service);
    free(c);
}

void config_freep(struct config **c)
{
    config_free(*c);
}

uint32_t config_slots(const struct config *c)
{
    return (c->uid_count - CONFIG_UID_SLOTS) / 3;
}

uid_t config_slot_uid(const struct config *c, uint32_t slot)
{
    return c->uid_base + CONFIG_UID_SLOTS + 2 * slot;
}

/* Behind those of all jails: a jail's ids stay what they were before networks had one. */
uid_t config_net_uid(const struct config *c, uint32_t slot)
{
    return c->uid_base + CONFIG_UID_SLOTS + 2 * config_slots(c) + slot;
}
