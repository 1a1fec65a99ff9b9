/* The other end of $VMMD_FAILPOINT_SOCKET (core/base/failpoint.h): sees every failpoint that any
 * process of a daemon passes, and can hold one process at one of them or let it fail there.
 *
 * One a test program. A thread answers; the verbs here are for the test's threads. */
#pragma once
#include "tests/lib/harness.h"

#include <stddef.h>
#include <sys/types.h>

#define POINT_NAME 64

struct point {
    char name[POINT_NAME];
    unsigned nth; /* passage of that name since the recording began, from 1 */
};

/* Listens at 'path' and sets the variable for the processes started from now on. */
void points_open(const char *path);
void points_close(void);

/* Forgets what was passed; what comes is recorded. */
void points_record(void);
/* What was passed since, in order; '*list' is the caller's. */
size_t points_passed(struct point **list);

/* Forgets what was passed; the process that passes 'p' is held, or fails there. */
void points_arm(const struct point *p, bool fail);
/* Waits until the armed point was reached. */
bool points_reached(int ms);
/* Moves on: the held process goes on, and whoever passes 'p' (counted since points_arm()) is held.
 */
void points_next(const struct point *p);
/* Lets the held process go on (if it still lives); nothing is armed after this. */
void points_release(void);
