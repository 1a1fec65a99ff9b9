/* What a worker asks of its jail's init: frames (core/base/frame.h) over one stream socket.
 * init does: wait for RUN, build the root, start QEMU, answer RUNNING; on SEAL empty the root; report
 * EXITED; leave, and with it every process of the jail, when the lifeline or the worker is gone. */
#pragma once
#include <stdint.h>

enum jail_type {
    JAIL_RUN = 1, /* struct jail_run, n_fds × struct jail_run_fd, argv as NUL-terminated strings;
                   * n_fds descriptors attached */
    JAIL_SEAL,    /* detach /usr, /in and /dev/kvm, drop everything: the root is empty from here */
    JAIL_KILL,    /* SIGKILL to QEMU */

    JAIL_RUNNING = 100, /* int32 pid of QEMU inside the namespace */
    JAIL_SEALED,
    JAIL_EXITED, /* int32 wait status of QEMU; init leaves after it */
    JAIL_FAILED  /* text: what could not be set up; init leaves after it */
};

#define JAIL_MAX_ARGS 512

enum jail_run_flag { JAIL_RUN_KVM = 1, JAIL_RUN_TUN = 2 };

struct jail_run {
    uint32_t version; /* 1 */
    uint32_t flags;
    uint32_t n_args;
    uint32_t n_fds;
};

struct jail_run_fd {
    int32_t target; /* descriptor number in QEMU, or -1 for an input file */
    char input[28]; /* [a-z0-9_]+: copied to /in/<input>; "" when target is set */
};
