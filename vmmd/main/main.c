/* vmmd-main: the management daemon proper. Started by vmmd (the parent) with the descriptors of
 * docs/processes.md, as an unprivileged user; never by hand.
 *
 * Where is what:
 *   api/       HTTP: routes.c is the index of everything a client can do
 *   core/      the services: vm, disk, job, event, user, host; core/core/core.c opens them in order
 *   store/     SQLite          backends/  QEMU and the fake        net/  passt
 *   vmmd/priv  the parent and helper     vmmd/front  TLS     vmmd/worker, vmmd/jail  one VM each
 *
 * The main thread waits: for SIGTERM, for the parent's end, for a store that cannot be written. */
#include "api/api.h"
#include "backends/qemu/qemu.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/core/core.h"
#include "core/port/store_rebuild.h"
#include "net/post/guard.h"
#include "vmmd/config/config.h"
#include "vmmd/filter/filter.h"
#include "vmmd/main/doors.h"
#include "vmmd/main/helper.h"
#include "vmmd/main/names.h"
#include "vmmd/main/pam.h"
#include "vmmd/main/recover.h"
#include "vmmd/priv/proto.h"

#include <errno.h>
#include <linux/close_range.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define WAIT_MS 100
#define LOOK_MS                                                                                    \
    250 /* how soon it leaves when the database fails; answers under way go out meanwhile */

/* What we found open is ours alone: no program that we run gets it. */
static void keep_descriptors(void)
{
    if (close_range(MAIN_FD_PRIV, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
        log_warn("descriptors may reach programs that vmmd-main runs: %s", strerror(errno));
}

/* The parent has taken what rights there were, and given us a root of our own (as root). */
static bool confine(struct err *err)
{
#ifndef VMMD_FAILPOINTS
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
    return filter_refuse_power(err);
}

static int block_signals(void)
{
    sigset_t set;

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

/* Returns when there is a reason to leave: true to leave in order. */
static bool wait_for_end(int signals, struct core *core)
{
    struct pollfd p[] = {{.fd = signals, .events = POLLIN}, {.fd = MAIN_FD_PRIV, .events = 0}};

    for (;;) {
        struct signalfd_siginfo info;

        if (poll(p, 2, LOOK_MS) < 0 && errno != EINTR)
            return false;
        if (p[1].revents & (POLLHUP | POLLERR)) {
            log_error("the parent is gone: leaving; the VMs go on");
            return true;
        }
        if (core_is_broken(core)) {
            log_error("the database cannot be written: leaving, to be started again");
            return false;
        }
        if ((p[0].revents & POLLIN) && read(signals, &info, sizeof info) == sizeof info &&
            info.ssi_signo != SIGHUP)
            return true;
    }
}

/* A main before this one may be held up by storage that does not answer, with all it has open: to
 * serve beside it would be to have two. False when this one is told to end meanwhile. */
static bool await_the_one_before(const char *state_dir, int signals)
{
    pid_t pid = store_waits_for(state_dir);

    if (pid)
        log_warn("vmmd-main (process %d) has ended but for a thread that waits for storage that "
                 "does not answer: this one serves when it does, or when that storage is taken off "
                 "with 'umount -f'",
                 (int)pid);
    for (; pid; pid = store_waits_for(state_dir)) {
        struct pollfd p[] = {{.fd = signals, .events = POLLIN}, {.fd = MAIN_FD_PRIV, .events = 0}};
        if (poll(p, 2, WAIT_MS) > 0)
            return false;
    }
    return true;
}

static int leave(const char *what, const struct err *err)
{
    log_error("%s: %s", what, err->detail);
    return err->code == ERR_BUSY ? EXIT_TAKEN : EXIT_INTERNAL;
}

static int serve(struct core *core, const struct config *config, int signals)
{
    struct api_config options = {.core = core,
                                 .admin_uids = config->admin_uids,
                                 .n_admin_uids = config->n_admin_uids,
                                 .max_connections = config->max_connections,
                                 .changes_per_s = config->rate_limit,
                                 .changes_burst = config->rate_limit_burst,
                                 .auth_failures_per_min = config->auth_failures_per_minute};
    CLEANUP(mem_freep)
    char *page = names_page((const struct sockaddr *)&config->listen, config->listen_text);
    struct err err = {0};
    struct api *api;
    bool in_order;

    options.page_url_or_null = page;
    options.host_names = names_collect(MAIN_FD_CERT, config->hostnames, &options.n_host_names);
    api = api_start(&options, &err);
    names_free(options.host_names);
    if (!api)
        return leave("the API cannot start", &err);
    if (!doors_open(api, MAIN_FD_FRONT, MAIN_FD_UNIX, &err) || !helper_ready(&err))
        return leave("connections cannot be taken", &err);
    in_order = wait_for_end(signals, core);
    if (!in_order)
        _exit(EXIT_INTERNAL);
    doors_close();
    pam_client_stop();
    api_stop(api);
    return EXIT_SUCCESS;
}

/* There is a thread for each connection, most of them idle. Each would have a heap of its own, and
 * keep there what the largest reply took. */
static void keep_memory_small(void)
{
    mallopt(M_ARENA_MAX, 4);
    mallopt(M_MMAP_THRESHOLD, 256 << 10);
    mallopt(M_TRIM_THRESHOLD, 256 << 10);
}

int main(int argc, char **argv)
{
    struct core_config options = {.on_epoch = backend_qemu_init};
    int64_t begin = clock_mono_ms();
    struct err err = {0};
    char program[32];
    struct config *config;
    struct core *core;
    bool apply, doubtful;
    int signals, code;

    log_init("vmmd-main");
    if (recover_asked(argc, argv, &apply, &doubtful))
        return recover_main(apply, doubtful);
    keep_memory_small();
    keep_descriptors();
    if (!confine(&err))
        return leave("confinement", &err);
    signals = block_signals();
    config = config_read(MAIN_FD_CONFIG, &err);
    if (!config)
        return leave("the configuration", &err);
    if (!helper_init(config, MAIN_FD_PRIV, &err))
        return leave("the helper", &err);
    snprintf(program, sizeof program, "/proc/self/fd/%d", MAIN_FD_KVMTEST);
    backend_probe_init(program, config->state_dir);
    snprintf(program, sizeof program, "/proc/self/fd/%d", MAIN_FD_PACK);
    image_pack_init(program);
    snprintf(program, sizeof program, "/proc/self/fd/%d", MAIN_FD_INSPECT);
    image_inspect_init(program);
    if (config->pam_service) {
        if (!pam_client_init(MAIN_FD_PAM, &err))
            return leave("PAM", &err);
        options.pam = pam_client_ask;
    }
    options.state_dir = config->state_dir;
    options.session_idle_s = config->session_idle_hours * 3600;
    options.session_max_s = config->session_max_days * 24 * 3600;
    if (!guard_init(config->webhook_allow, (struct sockaddr *)&config->listen, &err))
        return leave("the configuration", &err);
    if (!await_the_one_before(config->state_dir, signals))
        return EXIT_SUCCESS;
    core = core_open(&options, &err);
    if (!core && err.code == ERR_WRONG_STATE) { /* that does not pass by itself */
        log_error("the daemon cannot start: %s", err.detail);
        return EXIT_CONFIG;
    }
    if (!core)
        return leave("the daemon cannot start", &err);
    log_info("ready after %lld ms", (long long)(clock_mono_ms() - begin));
    code = serve(core, config, signals);
    core_close(core);
    config_free(config);
    log_info("ended");
    return code;
}
