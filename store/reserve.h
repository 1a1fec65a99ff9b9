/* A file of 16 MiB beside the database that exists only to be deleted: when the disk is full, its
 * space lets the transactions under way (and the next start) come to an end. */
#pragma once
#include "core/base/err.h"

#include <stdatomic.h>

#define RESERVE_FILE  "reserve"
#define RESERVE_BYTES (16u << 20)

struct reserve {
    int dir; /* the state directory, borrowed */
    atomic_bool held;
};

/* Takes note of a reserve that an earlier daemon left behind. */
void reserve_init(struct reserve *r, int dir);
/* Makes the file unless it is there. NO_SPACE. */
bool reserve_make(struct reserve *r, struct err *err) MUST_USE;
/* Makes it again after it was released, once there is room for twice as much; quiet otherwise. */
void reserve_refill(struct reserve *r);
/* Gives the space back to the file system. True when there was some: writing is worth another try.
 */
bool reserve_release(struct reserve *r);
