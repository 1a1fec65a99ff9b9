/* What the parent opens when it starts: everything that needs rights or must not change later. Held
 * for the parent's life and never closed. Filled once by host_open(), read-only afterwards. */
#pragma once
#include "vmmd/config/config.h"
#include "vmmd/priv/limits.h"

enum program {
    PROGRAM_MAIN,
    PROGRAM_FRONT,
    PROGRAM_WORKER,
    PROGRAM_JAIL,
    PROGRAM_KVMTEST,
    PROGRAM_SPLIT,
    PROGRAM_PACK,
    PROGRAM_INSPECT,
    PROGRAM_NET,
    PROGRAM_PAM,
    PROGRAM_PRELOAD, /* no program: the library that goes into QEMU */
    PROGRAM_COUNT
};

struct host {
    const struct config *config;
    bool root;                  /* euid 0: own uids for VMs, cgroups, private device nodes */
    int program[PROGRAM_COUNT]; /* O_PATH; the library O_RDONLY */
    int lock;                   /* run_dir/lock: one parent a run directory */
    int config_text;            /* effective configuration, sealed memory file */
    int listener;               /* TCP, non-blocking */
    int api;                    /* run_dir/api.sock, listening */
    int cert, key;
    int link[2];                 /* front link: main's end, the front's end */
    int pam_link[2];             /* the same of vmmd-pam; only with pam_service */
    int vm_dir;                  /* run_dir/vm, of vmmd's user */
    int empty_dir;               /* run_dir/empty: the front's root */
    int roots[CONFIG_MAX_ROOTS]; /* pool roots, in the order of vmmd.conf */
    int cgroup;                  /* base of the workers' leaves, or -1 */
    struct limits limits;        /* what the kernel can limit a guest in */
    char kvm_dir[128];           /* run_dir/kvm: mount point for private device nodes (root) */
};

/* Makes the directories, locks the run directory, opens sockets and programs. BUSY: another daemon
 * has the run directory; everything else is a matter of the configuration or of a path it names. */
bool host_open(struct host *h, const struct config *config, struct err *err) MUST_USE;
/* True if vmmd's user may read, write and search 'path' (relative to 'dirfd'). Forks as root. */
bool host_user_can_use(const struct config *c, int dirfd, const char *path);
