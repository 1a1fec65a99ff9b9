/* JAIL_RUN, checked: what to execute, with which descriptors. */
#pragma once
#include "core/base/frame.h"
#include "vmmd/jail/proto.h"

struct jail_request {
    char *argv[JAIL_MAX_ARGS + 1]; /* NULL-terminated; point into the frame's payload */
    unsigned n_args;
    struct jail_run_fd fds[FRAME_MAX_FDS];
    unsigned n_fds;
    uint64_t file_max_bytes;
};

/* QEMU gets a descriptor that only the preloaded library gives it. */
bool jail_request_preloads(const struct jail_request *r);
/* Checks the 'len' bytes of a JAIL_RUN that came with 'n_attached' descriptors. INVALID with a
 * sentence when anything is not as proto.h says; nothing is kept then. */
bool jail_request_read(char *payload, size_t len, unsigned n_attached, struct jail_request *out,
                       struct err *err) MUST_USE;
