/* The last steps of a forked child: exactly the descriptors and rights that its program shall have.
 */
#pragma once
#include "core/base/err.h"

#include <sys/types.h>

struct exec_plan {
    int program;             /* descriptor of the file */
    const char *const *argv; /* NULL-terminated */
    const int *fds;          /* become 3, 4, ... */
    unsigned n_fds;
    bool drop; /* leave root: become uid:gid, no groups, no capabilities */
    uid_t uid;
    gid_t gid;
    int keep_cap; /* one capability kept (ambient) in spite of 'drop', or -1 */
};

/* Captures the few variables that children inherit, and sets all signals to their defaults. Once,
 * at start. */
void exec_init(void);
/* Turns the calling process into the program; returns only when that failed. Uses no heap. All
 * other descriptors but 0-2 are closed by the kernel. The program starts with default signals. */
void exec_program(const struct exec_plan *plan, struct err *err);
/* Forgets the capabilities outside 'keep' (CAP_... numbers), for the parent itself, and forbids new
 * ones. What the process never had is skipped. */
bool exec_trim_caps(const int *keep, unsigned n, struct err *err) MUST_USE;
