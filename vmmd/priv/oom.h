/* Whom the kernel ends first when memory runs out: guests, never who keeps them. */
#pragma once
#include <sys/types.h>

enum oom_rank {
    OOM_PARENT = -900, /* and the workers, with what they start: each is the end of its VM */
    OOM_MAIN = -800,
    OOM_FRONT = 0,
    OOM_GUEST = 200
};

/* For the calling process and what it starts from now on; 'pid' 0 is itself. A user may not go
 * below what his processes were given, and where they were given more than 0 a guest gets more than
 * that: the order stays. Failures are logged: the order is a wish. No heap. */
void oom_rank_set(pid_t pid, enum oom_rank rank);
