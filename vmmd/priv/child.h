/* main, the front and vmmd-pam as the parent sees them: started, watched, started again. */
#pragma once
#include "vmmd/priv/host.h"

#include <stdint.h>

#define CHILD_WINDOW_MS 10000 /* config->restart_limit starts within it */

struct child {
    enum program program; /* PROGRAM_MAIN, PROGRAM_FRONT or PROGRAM_PAM */
    const char *name;
    pid_t pid; /* 0: not running */
    int sock;  /* the parent's end of its own conversation with this incarnation, or -1 */
    int64_t starts[CONFIG_MAX_RESTARTS]; /* when it was started (monotonic), a ring */
    unsigned n_starts;
};

/* Forks and executes the program with the descriptors of docs/processes.md. UNAVAILABLE: it was
 * started config->restart_limit times in the last CHILD_WINDOW_MS already (vmmd-pam has no such
 * limit: its caller takes its time). A failure of the exec shows as the child's death with exit
 * code 70. */
bool child_start(struct child *child, const struct host *h, struct err *err) MUST_USE;
/* Its process was reaped: forgets it. */
void child_gone(struct child *child);
void child_signal(const struct child *child, int signal_number);
/* "exit code 1", "signal 11 (Segmentation fault)" in a buffer of the caller. */
const char *child_cause(int wait_status, char *out, size_t size);
