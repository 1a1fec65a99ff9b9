/* Failpoints: named places in a multi-step operation where a test lets the world go wrong.
 *
 * FAILPOINT("vm.create.row", err) stands before an effect; it returns true when the operation may
 * go on. In a product build it is the constant true. In test builds $VMMD_FAILPOINT (or
 * failpoint_arm()) says "name=action[:n]": fail, full (fail for want of space), kill (SIGKILL to
 * oneself), at the n-th passage, or break: fail, from that one on; "#k=fail" counts all failpoints
 * and fires at the k-th, so a test can walk them all; "##k=fail" counts only the first two passages
 * of each, for walks that must not take long.
 *
 * FAILPOINT_AROUND("disk.unlink", effect, err) stands on both sides of an effect: the second point
 * is called "disk.unlink.done", and failing there is an effect that happened but was not seen.
 *
 * $VMMD_FAILPOINT_SOCKET names a listening SEQPACKET socket. Each passage, in whatever process,
 * sends the point's name there and waits for one byte: FAILPOINT_GO or FAILPOINT_FAIL. So a test
 * knows all points that were passed, fails any of them, or holds a process there while it kills
 * this or another one (tests/lib/points.h). Nobody listening means go.
 *
 * FAILPOINT_KEEP() connects ahead, in a process that is about to lose the way to that socket: the
 * first message is FAILPOINT_KEPT, and all its passages go over that one connection. */
#pragma once
#include "core/base/err.h"

#define FAILPOINT_GO   'g'
#define FAILPOINT_FAIL 'f'
#define FAILPOINT_KEPT "+"

#ifdef VMMD_FAILPOINTS
bool failpoint(const char *name, struct err *err) MUST_USE;
void failpoint_arm(const char *spec); /* NULL disarms and resets the counters */
unsigned failpoint_passed(void);      /* how many were passed since failpoint_arm() */
void failpoint_keep(void);            /* for a process with one thread */
#define FAILPOINT(name, err) failpoint(name, err)
#define FAILPOINT_KEEP()     failpoint_keep()
#else
#define FAILPOINT(name, err) ((void)(err), true)
#define FAILPOINT_KEEP()     ((void)0)
#endif
#define FAILPOINT_AROUND(name, effect, err)                                                        \
    (FAILPOINT(name, err) && (effect) && FAILPOINT(name ".done", err))
