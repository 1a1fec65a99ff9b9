/* Runs a small program and keeps what it prints: for probes of the host. */
#pragma once
#include "core/base/err.h"

#include <stddef.h>
#include <stdint.h>

struct capture {
    char text[16384]; /* what it wrote to stdout, cut there */
    int wstatus;      /* as from waitpid() */
    bool timed_out;   /* it was still running at the deadline and was killed */
};

/* Runs argv[0] with no environment but PATH and LC_ALL, stdin and stderr on /dev/null, 'fd' (or -1)
 * as descriptor 3 and nothing else open. Blocks until it has ended, for at most 'limit_ms' (then
 * SIGKILL; success, timed_out). False when it cannot be started; NOT_FOUND when it is missing. */
bool capture_run(char *const argv[], int fd, int64_t limit_ms, struct capture *out,
                 struct err *err) MUST_USE;
