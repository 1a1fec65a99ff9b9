/* Failpoints: named places in a multi-step operation where a test lets the world go wrong.
 *
 * FAILPOINT("vm.create.row", err) stands before an effect; it returns true when the operation may
 * go on. In a product build it is the constant true. In test builds $VMMD_FAILPOINT (or
 * failpoint_arm()) says "name=action[:n]": fail, kill (SIGKILL to oneself), at the n-th passage;
 * "#k=fail" counts all failpoints and fires at the k-th, so a test can walk them all. */
#pragma once
#include "core/base/err.h"

#ifdef VMMD_FAILPOINTS
bool failpoint(const char *name, struct err *err) MUST_USE;
void failpoint_arm(const char *spec); /* NULL disarms and resets the counters */
unsigned failpoint_passed(void);      /* how many were passed since failpoint_arm() */
#define FAILPOINT(name, err) failpoint(name, err)
#else
#define FAILPOINT(name, err) ((void)(err), true)
#endif
