/* From "vmmd --recover" to vmmd-main: see recover.h. What is missing is not made: a pool root that
 * is not mounted must not look like an empty one. */
#include "vmmd/priv/recover.h"

#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "vmmd/main/recover.h"
#include "vmmd/priv/dirs.h"
#include "vmmd/priv/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct opened {
    int program;
    int fds[RECOVER_FD_ROOTS - RECOVER_FD_CONFIG + CONFIG_MAX_ROOTS];
    unsigned n;
};

/* The lock of a vmmd that runs; a run directory that is not there (after a reboot) has none. */
static int lock_run_dir(const struct config *config, struct err *err)
{
    CLEANUP(mem_freep) char *path = str_format("%s/lock", config->run_dir);
    int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT)
        return open("/dev/null", O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        err_errno(err, errno, "open %s", path);
        return -1;
    }
    if (fs_lock(fd, err))
        return fd;
    if (err->code == ERR_BUSY)
        err_set(err, ERR_BUSY, "vmmd runs: stop it first (systemctl stop vmmd); guests go on");
    close(fd);
    return -1;
}

/* The system's disk may be a new one. */
static bool make_state_dir(const struct config *config, struct err *err)
{
    CLEANUP(closep)
    int dir = dir_make(config->state_dir, 0700, config->uid, config->gid, NULL, err);

    return dir >= 0;
}

static bool open_all(const struct config *config, struct opened *o, struct err *err)
{
    CLEANUP(mem_freep) char *program = str_format("%s/vmmd-main", config->libexec_dir);

    o->program = open(program, O_PATH | O_CLOEXEC);
    if (o->program < 0)
        return err_errno(err, errno, "open the program %s", program);
    if (!make_state_dir(config, err))
        return false;
    o->fds[o->n] = config_seal(config, err);
    if (o->fds[o->n++] < 0)
        return false;
    o->fds[o->n] = lock_run_dir(config, err);
    if (o->fds[o->n++] < 0)
        return false;
    for (unsigned i = 0; i < config->n_roots; i++) {
        int fd = open(config->roots[i].path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
            fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        o->fds[o->n++] = fd;
    }
    return true;
}

int recover_run(const struct config *config, bool apply, bool doubtful)
{
    const char *argv[5] = {"vmmd-main", "--recover"};
    struct opened o = {.program = -1};
    struct err err = {0};
    struct exec_plan plan = {.argv = argv,
                             .drop = geteuid() == 0,
                             .uid = config->uid,
                             .gid = config->gid,
                             .keep_cap = -1};
    unsigned n = 2;

    if (apply)
        argv[n++] = "--apply";
    if (doubtful)
        argv[n++] = "--doubtful";
    exec_init();
    umask(0077);
    if (open_all(config, &o, &err)) {
        plan.program = o.program;
        plan.fds = o.fds;
        plan.n_fds = o.n;
        exec_program(&plan, &err);
    }
    log_error("%s", err.detail);
    return err.code == ERR_BUSY ? EXIT_TAKEN : EXIT_INTERNAL;
}
