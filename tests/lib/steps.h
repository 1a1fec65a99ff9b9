/* The fault walk in process: an operation on a world is made to fail, and is killed, at its n-th
 * failpoint for n = 1 until it runs through. After each the daemon is started again, and what must
 * hold then is asserted. */
#pragma once
#include "tests/lib/world.h"

struct step_row {
    const char *name;
    void (*before)(struct world *w);
    bool (*act)(struct world *w); /* true when it was acknowledged */
    /* The daemon was started again. */
    void (*after)(struct world *w, bool acked);
    bool fails, kills; /* which of the two; fakes end with their daemon */
};

/* Waits for the operation's end; true when it succeeded. */
bool steps_ended_well(struct world *w, bool submitted, const struct uuid *op);
/* All operations have ended; nothing holds the VM, if it is there. */
void steps_all_ended(struct world *w, const char *vm);
/* What a failpoint's specification begins with: each of them counts at its first two passages in an
 * operation; with $VMMD_WALK_ALL at all. */
const char *steps_mode(void);
void steps_walk_failures(const struct step_row *rows, size_t n);
void steps_walk_kills(const struct step_row *rows, size_t n);
