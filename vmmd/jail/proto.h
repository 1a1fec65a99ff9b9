/* What a worker asks of its jail's init: frames (core/base/frame.h) over one stream socket.
 * init does: wait for RUN, build the root, start QEMU, answer RUNNING; on SEAL empty the root;
 * report EXITED; leave, and with it every process of the jail, when the lifeline or the worker is
 * gone. */
#pragma once
#include <stdint.h>

enum jail_type {
    JAIL_RUN = 1, /* struct jail_run, n_fds × struct jail_run_fd, argv as NUL-terminated strings;
                   * n_fds descriptors attached, in the same order */
    JAIL_SEAL, /* detach /usr, /in, /preload and /dev/kvm, drop everything: the root is empty from
                * here */
    JAIL_KILL, /* SIGKILL to QEMU */

    JAIL_RUNNING =
        100, /* QEMU was executed; two descriptors attached: pidfds of QEMU and of init */
    JAIL_SEALED,
    JAIL_EXITED, /* int32 wait status of QEMU; init leaves after it */
    JAIL_FAILED  /* text: what could not be set up; init leaves after it */
};

#define JAIL_VERSION     2
#define JAIL_MAX_ARGS    512
#define JAIL_MAX_PAYLOAD (256u << 10)
#define JAIL_MAX_TARGET  250                 /* the last two are those of backends/qemu/preload.h */
#define JAIL_MAX_INPUT   (UINT64_C(1) << 30) /* bytes of all input files together */

struct jail_run {
    uint32_t version; /* JAIL_VERSION */
    uint32_t n_args;  /* 1 … JAIL_MAX_ARGS; the first is the absolute path of the program */
    uint32_t n_fds;
    uint32_t pad;            /* 0 */
    uint64_t file_max_bytes; /* no file grows further by QEMU's writing; 0: none is bounded */
};

/* Targets that are no descriptor number. */
#define JAIL_TARGET_INPUT (-1) /* a regular file, copied to /in/<input> */
#define JAIL_TARGET_KEEP  (-2) /* init holds it as long as it lives and gives it to nobody */

struct jail_run_fd {
    int32_t
        target; /* descriptor number in QEMU: 1, 2 or 3 … JAIL_MAX_TARGET; or one of the above */
    char input[28]; /* [a-z0-9_]+ for JAIL_TARGET_INPUT, else "" */
};
