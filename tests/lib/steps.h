/* The fault walk in process: an operation on a world is made to fail, and is killed, at its n-th
 * failpoint for n = 1 until it runs through. After each the daemon is started again, and what must
 * hold then is asserted.
 *
 * A failpoint stands before and behind each effect and on both sides of each commit, so walking
 * them all visits every state that a crash can leave, and every effect that happened but was
 * reported as a failure. */
#pragma once
#include "tests/lib/world.h"

#define KILLS_ALONE 2

/* One operation: what must be there before it, and what it does. */
struct step_row {
    const char *name;
    void (*before)(struct world *w);
    bool (*act)(struct world *w); /* true when it was acknowledged */
    /* What must hold when it was acknowledged and then the daemon was started again. */
    void (*acked)(struct world *w);
    /* What must hold before that, whether it was acknowledged or not, or NULL. */
    void (*at_once)(struct world *w);
    bool fails;
    int kills; /* not false: is killed, since fakes end with their daemon. True: with each kill also
                * as an operation that was cancelled; KILLS_ALONE: what is left of such a one is
                * another operation's to do */
};

struct step_walk {
    const char *group; /* "fault/NAME" */
    const struct step_row *rows;
    size_t n;
    /* What holds in any case once the daemon was started again, before 'acked'. */
    void (*holds)(struct world *w);
    /* What is there can be used and deleted; last of all. */
    void (*use)(struct world *w);
};

/* Waits for the operation's end; true when it succeeded. One that failed says why. */
bool steps_ended_well(struct world *w, bool submitted, const struct uuid *op);
/* All operations have ended; nothing holds the VM, if it is there. */
void steps_all_ended(struct world *w, const char *vm);
/* The VM, if it is there, can be started, stopped and deleted. */
void steps_use_and_delete(struct world *w, const char *vm);
/* What a failpoint's specification begins with: each of them counts at its first two passages in an
 * operation; with $VMMD_WALK_ALL at all. */
const char *steps_mode(void);

/* Runs the walk as the whole of a program: its exit status. */
int steps_main(const struct step_walk *walk, bool failures, bool kills);
