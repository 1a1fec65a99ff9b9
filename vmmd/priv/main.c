/* vmmd: the parent and privileged helper. The one program that is started by systemd or by hand.
 *
 * It reads vmmd.conf, opens what needs rights, forgets the rights it does not need, starts
 * vmmd-main and vmmd-front and then only answers small fixed questions. Not root: the same program
 * as the rootless twin, with fewer facts. docs/processes.md has the picture. Not here: HTTP, the
 * database, QEMU.
 *
 *   main.c        the command line
 *   host.c        what is opened at start        dirs.c   directories
 *   supervisor.c  the loop, signals, restarts    child.c  starting main and the front
 *   helper.c      requests of main (proto.h)     spawn.c  a worker and its jail
 *   leaf.c        cgroups of workers             pidfile.c the same without cgroups
 *   permit.c      how often main may ask
 *   limits.c      what guests may take           hierarchy.c where cgroups are mounted
 *   exec.c        rights and descriptors of a new program
 *   oom.c         who goes when memory runs out  recover.c vmmd --recover */
#include "core/base/log.h"
#include "core/base/str.h"
#include "vmmd/filter/filter.h"
#include "vmmd/priv/exec.h"
#include "vmmd/priv/host.h"
#include "vmmd/priv/leaf.h"
#include "vmmd/priv/notify.h"
#include "vmmd/priv/oom.h"
#include "vmmd/priv/recover.h"
#include "vmmd/priv/supervisor.h"

#include <fcntl.h>
#include <getopt.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static const char usage_text[] =
    "Usage: vmmd [--config FILE] [--check-config | --recover [--apply] [--doubtful]]\n"
    "The VM manager's daemon. As root it uses /etc/vmmd, /var/lib/vmmd and /run/vmmd, as a user\n"
    "the XDG directories; see docs/configuration.md.\n"
    "  --config FILE    read this file instead of vmmd.conf in the default place\n"
    "  --check-config   read the configuration, say what is wrong, and leave\n"
    "  --recover        say as JSON what the VMs' copies hold, while no vmmd runs; see\n"
    "                   docs/recovery.md and vmmctl recover, which is for people\n"
    "  --apply          and make a new database of them\n"
    "  --doubtful       with VMs whose copy seems to be older than their disks\n"
    "  --version        print the version\n"
    "  --help           print this\n"
    "Exit codes: 64 usage, 70 internal failure, 73 another daemon runs, 75 the address to listen "
    "on\n"
    "is not there or taken, 78 configuration.\n";

struct options {
    const char *config;
    bool check;
    bool recover, apply, doubtful;
};

/* -1: go on; otherwise the exit code. */
static int parse_options(int argc, char **argv, struct options *out)
{
    static const struct option names[] = {
        {"config", required_argument, NULL, 'c'}, {"check-config", no_argument, NULL, 'k'},
        {"recover", no_argument, NULL, 'r'},      {"apply", no_argument, NULL, 'a'},
        {"doubtful", no_argument, NULL, 'd'},     {"version", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0}};
    int c;

    while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (c) {
        case 'c':
            out->config = optarg;
            break;
        case 'k':
            out->check = true;
            break;
        case 'r':
            out->recover = true;
            break;
        case 'a':
            out->apply = true;
            break;
        case 'd':
            out->doubtful = true;
            break;
        case 'v':
            puts("vmmd " VMMD_VERSION);
            return 0;
        case 'h':
            fputs(usage_text, stdout);
            return 0;
        default:
            fputs(usage_text, stderr);
            return EXIT_USAGE;
        }
    }
    if (optind == argc && (out->recover || !(out->apply || out->doubtful)))
        return -1;
    fprintf(stderr, "vmmd: unexpected argument %s\n%s",
            optind < argc ? argv[optind] : "without --recover", usage_text);
    return EXIT_USAGE;
}

/* 0, 1 and 2 are open from here on, so that no socket ever gets one of these numbers. */
static void open_stdio(void)
{
    int fd = open("/dev/null", O_RDWR);

    while (fd >= 0 && fd < STDERR_FILENO)
        fd = dup(fd);
    if (fd > STDERR_FILENO)
        close(fd);
    fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && dup2(fd, STDIN_FILENO) == 0)
        close(fd);
}

static void set_limits(void)
{
    struct rlimit none = {0, 0};
    struct rlimit files;

    setrlimit(RLIMIT_CORE, &none);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max < 65536 ? files.rlim_max : 65536;
        setrlimit(RLIMIT_NOFILE, &files);
    }
#ifndef VMMD_FAILPOINTS
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

/* What the operations of proto.h need, each found by leaving it out:
 * SYS_ADMIN   mounts, namespaces of the front; SYS_CHROOT is handed on to the front
 * SETUID, SETGID, SETPCAP  children's ids, uid maps, bounding set
 * MKNOD, CHOWN             the private /dev/kvm node
 * KILL                     main and the front run under other uids
 * DAC_READ_SEARCH          vmmd's directories are 0700 */
static bool trim(struct err *err)
{
    static const int kept[] = {CAP_SYS_ADMIN, CAP_SYS_CHROOT, CAP_SETUID,
                               CAP_SETGID,    CAP_SETPCAP,    CAP_MKNOD,
                               CAP_CHOWN,     CAP_KILL,       CAP_DAC_READ_SEARCH};

    return exec_trim_caps(kept, ARRAY_LEN(kept), err);
}

static int fail(const struct err *err)
{
    log_error("%s", err->detail);
    return err->code == ERR_BUSY          ? EXIT_TAKEN
           : err->code == ERR_UNAVAILABLE ? EXIT_LATER
                                          : EXIT_CONFIG;
}

static int run(const struct config *config)
{
    static struct host host;
    struct err err = {0};
    char sock[256];
    int code;

    set_limits();
    notify_init();
    exec_init();
    signal(SIGPIPE, SIG_IGN);
    if (chdir("/") < 0 || !supervisor_init(&err))
        return EXIT_INTERNAL;
    if (!host_open(&host, config, &err))
        return fail(&err);
    oom_rank_set(0, OOM_PARENT); /* needs a right that is given up here */
    if (!trim(&err) || !filter_refuse_rare(&err)) {
        log_error("%s", err.detail);
        return EXIT_INTERNAL;
    }
    log_info("vmmd " VMMD_VERSION " listens on %s and %s/api.sock", config->listen_text,
             config->run_dir);
    code = supervisor_run(&host);
    snprintf(sock, sizeof sock, "%s/api.sock", config->run_dir);
    unlink(sock);
    limits_close(&host.limits, !config->cgroup);
    if (!config->cgroup)
        leaf_base_remove(host.cgroup);
    return code;
}

int main(int argc, char **argv)
{
    CLEANUP(config_freep) struct config *config = NULL;
    struct options options = {0};
    struct err err = {0};
    int code;

    open_stdio();
    code = parse_options(argc, argv, &options);
    if (code >= 0)
        return code;
    log_init("vmmd");
    config = config_load(options.config, &err);
    if (!config)
        return fail(&err);
    if (options.check) {
        puts("the configuration is valid");
        return 0;
    }
    if (options.recover)
        return recover_run(config, options.apply, options.doubtful);
    return run(config);
}
