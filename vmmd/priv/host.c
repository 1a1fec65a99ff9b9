/* What the parent opens when it starts: see host.h. */
#include "vmmd/priv/host.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/sock.h"
#include "core/base/str.h"
#include "vmmd/priv/dirs.h"
#include "vmmd/priv/leaf.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define BACKLOG      512
#define LEFT_OVER_MS 10000 /* the longest that a start of a worker may take */

/* What is executed needs no right to be read; the library is copied into jails. */
static const struct {
    const char *name;
    int flags;
} programs[PROGRAM_COUNT] = {
    [PROGRAM_MAIN] = {"vmmd-main", O_PATH},
    [PROGRAM_FRONT] = {"vmmd-front", O_PATH},
    [PROGRAM_WORKER] = {"vmmd-worker", O_PATH},
    [PROGRAM_JAIL] = {"vmmd-jail", O_PATH},
    [PROGRAM_KVMTEST] = {"vmmd-kvmtest", O_PATH},
    [PROGRAM_SPLIT] = {"vmmd-split", O_PATH},
    [PROGRAM_PACK] = {"vmmd-pack", O_PATH},
    [PROGRAM_INSPECT] = {"vmmd-inspect", O_PATH},
    [PROGRAM_PAM] = {"vmmd-pam", O_PATH},
    [PROGRAM_NET] = {"vmmd-net", O_PATH},
    [PROGRAM_PRELOAD] = {"vmmd-preload.so", O_RDONLY},
};

static bool can_use(int dirfd, const char *path)
{
    return faccessat(dirfd, path, R_OK | W_OK | X_OK, AT_EACCESS) == 0;
}

bool host_user_can_use(const struct config *c, int dirfd, const char *path)
{
    int status = 1;
    pid_t pid;

    if (geteuid() != 0)
        return can_use(dirfd, path);
    pid = fork();
    if (pid == 0)
        _exit(setgroups(0, NULL) < 0 || setresgid(c->gid, c->gid, c->gid) < 0 ||
              setresuid(c->uid, c->uid, c->uid) < 0 || !can_use(dirfd, path));
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static bool open_programs(struct host *h, struct err *err)
{
    CLEANUP(closep) int dir = open(h->config->libexec_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (dir < 0)
        return err_errno(err, errno, "open %s", h->config->libexec_dir);
    for (int i = 0; i < PROGRAM_COUNT; i++) {
        h->program[i] = openat(dir, programs[i].name, programs[i].flags | O_CLOEXEC);
        if (h->program[i] < 0)
            return err_errno(err, errno, "open the program %s/%s", h->config->libexec_dir,
                             programs[i].name);
    }
    return true;
}

/* Whose lock it is: what the file says of it. */
static bool holder_lives(int lock)
{
    char text[16] = "";
    uint64_t pid;

    return pread(lock, text, sizeof text - 1, 0) <= 0 || !str_to_u64(text, &pid) || pid > INT_MAX ||
           kill((pid_t)pid, 0) == 0 || errno != ESRCH;
}

/* A vmmd that was killed while it started a worker leaves children for a moment, which hold the
 * lock until their programs run: better that they are done before the next one looks at what is
 * there. */
static bool lock_run_dir(int lock, struct err *err)
{
    const int64_t deadline_ms = clock_mono_ms() + LEFT_OVER_MS;
    char text[16];

    while (!fs_lock(lock, err)) {
        if (err->code != ERR_BUSY || clock_left_ms(deadline_ms) == 0 || holder_lives(lock))
            return false;
        poll(NULL, 0, 5);
    }
    *err = (struct err){0};
    snprintf(text, sizeof text, "%010d", (int)getpid());
    return pwrite(lock, text, strlen(text), 0) == (ssize_t)strlen(text) ||
           err_errno(err, errno, "write to the lock");
}

/* The run directory and what lies in it. As a user everything is closed to others. */
static bool make_run_dir(struct host *h, struct err *err)
{
    const struct config *c = h->config;
    char path[256];
    CLEANUP(closep)
    int run = dir_make(c->run_dir, h->root ? 0755 : 0700, geteuid(), getegid(), NULL, err);

    if (run < 0)
        return false;
    h->lock = openat(run, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (h->lock < 0)
        return err_errno(err, errno, "open %s/lock", c->run_dir);
    if (!lock_run_dir(h->lock, err))
        return err_prefix(err, "another vmmd uses %s", c->run_dir);
    snprintf(path, sizeof path, "%s/vm", c->run_dir);
    h->vm_dir = dir_make(path, 0700, c->uid, c->gid, NULL, err);
    if (h->vm_dir < 0)
        return false;
    snprintf(path, sizeof path, "%s/empty", c->run_dir);
    h->empty_dir = dir_make(path, 0555, geteuid(), getegid(), NULL, err);
    if (h->empty_dir < 0 || !h->root)
        return h->empty_dir >= 0;
    snprintf(h->kvm_dir, sizeof h->kvm_dir, "%s/kvm", c->run_dir);
    run = (close(run), dir_make(h->kvm_dir, 0755, 0, 0, NULL, err));
    return run >= 0;
}

static bool make_state_dir(const struct host *h, struct err *err)
{
    const struct config *c = h->config;
    CLEANUP(closep) int dir = dir_make(c->state_dir, 0700, c->uid, c->gid, NULL, err);

    if (dir < 0)
        return false;
    return host_user_can_use(c, AT_FDCWD, c->state_dir) ||
           err_set(err, ERR_INVALID,
                   "user %u cannot reach %s: a directory above it is closed to it", c->uid,
                   c->state_dir);
}

static bool open_roots(struct host *h, struct err *err)
{
    const struct config *c = h->config;

    for (unsigned i = 0; i < c->n_roots; i++) {
        const char *path = c->roots[i].path;
        h->roots[i] = dir_make_or_take(path, 0700, c->uid, c->gid, err);
        if (h->roots[i] < 0)
            return err_prefix(err, "pool root %s", c->roots[i].id);
        if (!host_user_can_use(c, h->roots[i], "."))
            return err_set(err, ERR_INVALID,
                           "pool root %s: user %u cannot write to %s: "
                           "chown %u:%u %s",
                           c->roots[i].id, c->uid, path, c->uid, c->gid, path);
    }
    return true;
}

/* An address may come after us, when the host has its network, and a port may be given back. */
static bool listen_fail(const struct config *c, int errnum, struct err *err)
{
    err_errno(err, errnum, "listen on %s (key listen in vmmd.conf)", c->listen_text);
    if (errnum == EADDRNOTAVAIL || errnum == EADDRINUSE)
        err->code = ERR_UNAVAILABLE;
    return false;
}

static bool listen_tcp(struct host *h, struct err *err)
{
    const struct config *c = h->config;
    int one = 1;

    h->listener = socket(c->listen.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (h->listener < 0)
        return err_errno(err, errno, "make a socket");
    if (setsockopt(h->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        bind(h->listener, (const struct sockaddr *)&c->listen, c->listen_len) < 0 ||
        listen(h->listener, BACKLOG) < 0)
        return listen_fail(c, errno, err);
    return true;
}

/* run_dir/api.sock, open to all: main looks at the peer's credentials. A file of that name is what
 * a killed parent left; the run directory's lock says that none lives. */
static bool listen_unix(struct host *h, struct err *err)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};

    snprintf(at.sun_path, sizeof at.sun_path, "%s/api.sock", h->config->run_dir);
    h->api = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (h->api < 0)
        return err_errno(err, errno, "make a socket");
    if ((unlink(at.sun_path) < 0 && errno != ENOENT) ||
        bind(h->api, (const struct sockaddr *)&at, sizeof at) < 0 || chmod(at.sun_path, 0666) < 0 ||
        listen(h->api, BACKLOG) < 0)
        return err_errno(err, errno, "listen on %s", at.sun_path);
    return true;
}

static bool open_tls(struct host *h, struct err *err)
{
    const struct config *c = h->config;
    struct stat st;

    h->cert = open(c->tls_cert, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (h->cert < 0)
        return err_errno(err, errno, "open the certificate %s (key tls_cert in vmmd.conf)",
                         c->tls_cert);
    h->key = open(c->tls_key, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (h->key < 0 || fstat(h->key, &st) < 0)
        return err_errno(err, errno, "open the private key %s (key tls_key in vmmd.conf)",
                         c->tls_key);
    if (st.st_mode & 007)
        return err_set(err, ERR_INVALID, "the private key %s is open to all users: chmod o= %s",
                       c->tls_key, c->tls_key);
    return true;
}

/* libpam would take the service "other" for one that is not there. */
static bool has_pam_service(const char *name, struct err *err)
{
    static const char *const dirs[] = {"/etc/pam.d", "/usr/lib/pam.d"};
    char path[80];

#ifdef VMMD_FAILPOINTS
    if (getenv("VMMD_PAM_CONFDIR"))
        return true;
#endif
    for (unsigned i = 0; i < ARRAY_LEN(dirs); i++) {
        snprintf(path, sizeof path, "%s/%s", dirs[i], name);
        if (access(path, R_OK) == 0)
            return true;
    }
    return err_set(err, ERR_INVALID,
                   "there is no /etc/pam.d/%s (key pam_service in vmmd.conf): the package has one "
                   "named vmmd",
                   name);
}

static bool open_pam(struct host *h, struct err *err)
{
    h->pam_link[0] = h->pam_link[1] = -1;
    return !h->config->pam_service || (has_pam_service(h->config->pam_service, err) &&
                                       sock_pair(SOCK_SEQPACKET, h->pam_link, err));
}

/* Open to be read by all: a worker reads what its guest's group counts. */
static void open_cgroup(struct host *h)
{
    CLEANUP(mem_freep) char *mounts = leaf_mounts();
    mode_t before = umask(0022);
    char name[LEAF_BASE_NAME];
    struct err err = {0};
    unsigned swept = 0;

    leaf_base_name(h->config->cgroup, h->config->run_dir, name);
    h->cgroup = leaf_base_open(mounts, name, &err);
    if (h->cgroup < 0)
        log_info("workers get no cgroup of their own: %s", err.detail);
    else
        swept = leaf_sweep_dead(mounts, name);
    limits_open(&h->limits, h->cgroup, mounts, name);
    if (h->cgroup >= 0)
        swept += limits_sweep_dead(&h->limits, mounts, name);
    if (swept)
        log_info("%u cgroups that dead daemons had left are removed", swept);
    umask(before);
}

bool host_open(struct host *h, const struct config *config, struct err *err)
{
    *h = (struct host){.config = config, .root = geteuid() == 0};
    umask(0022); /* for the parents of directories that are missing */
    if (!make_run_dir(h, err) || !make_state_dir(h, err) || !open_roots(h, err))
        return false;
    umask(0077);
    if (!open_programs(h, err) || !open_tls(h, err) || !listen_tcp(h, err) || !listen_unix(h, err))
        return false;
    if (!sock_pair(SOCK_SEQPACKET, h->link, err) || !open_pam(h, err))
        return false;
    h->config_text = config_seal(config, err);
    open_cgroup(h);
    return h->config_text >= 0;
}
