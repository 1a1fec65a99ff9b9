/* Failpoints: named places in a multi-step operation where a test lets the world go wrong.
 *
 * FAILPOINT("vm.create.row", err) stands before an effect; it returns true when the operation may
 * go on. In a product build it is the constant true. In test builds $VMMD_FAILPOINT (or
 * failpoint_arm()) says "name=action[:n]": fail, kill (SIGKILL to oneself), at the n-th passage;
 * "#k=fail" counts all failpoints and fires at the k-th, so a test can walk them all.
 *
 * FAILPOINT_AROUND("disk.unlink", effect, err) stands on both sides of an effect: the second point
 * is called "disk.unlink.done", and failing there is an effect that happened but was not seen.
 *
 * $VMMD_FAILPOINT_SOCKET names a listening SEQPACKET socket. Each passage, in whatever process,
 * sends the point's name there and waits for one byte: FAILPOINT_GO or FAILPOINT_FAIL. So a test
 * knows all points that were passed, fails any of them, or holds a process there while it kills
 * this or another one (tests/lib/points.h). Nobody listening means go. */
#pragma once
#include "core/base/err.h"

#define FAILPOINT_GO   'g'
#define FAILPOINT_FAIL 'f'

#ifdef VMMD_FAILPOINTS
bool failpoint(const char *name, struct err *err) MUST_USE;
void failpoint_arm(const char *spec); /* NULL disarms and resets the counters */
unsigned failpoint_passed(void);      /* how many were passed since failpoint_arm() */
#define FAILPOINT(name, err) failpoint(name, err)
#else
#define FAILPOINT(name, err) ((void)(err), true)
#endif
#define FAILPOINT_AROUND(name, effect, err)                                                        \
    (FAILPOINT(name, err) && (effect) && FAILPOINT(name ".done", err))
