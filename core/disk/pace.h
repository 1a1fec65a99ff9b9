/* How fast a copy may go beside a guest that uses its disks. For core/move and core/snap.
 *
 * A client's limit is a limit. Without one the guest goes first: as long as it writes, the copy is
 * slowed down until the guest's writes and flushes take hardly longer than before it began, and
 * when the guest is idle there is no limit. */
#pragma once
#include "core/core/parts.h"

#define PACE_TICK_MS 100
#define PACE_FIRST   (32ull << 20) /* when a guest begins to write */

/* The rule alone, with what was measured since the last call. */
struct pace_rule {
    uint64_t limit;   /* bytes a second; 0: none */
    double before_ns; /* a write or flush of the guest, undisturbed; 0: not known */
    unsigned idle_ms; /* since it wrote last */
};
void pace_rule_step(struct pace_rule *rule, const struct machine_disk_stats *since, unsigned ms);

struct pace {
    struct core *core;
    struct vm *vm;
    struct job *job;
    struct pace_rule rule;
    struct machine_disk_stats last;
    bool known; /* 'last' is */
    int64_t looked_ms;
    int64_t budget_ms; /* when what was copied so far may have been copied */
};

/* 'vm' is the one whose guest goes first; it stays the caller's. Measures for a moment what the
 * guest does undisturbed, if it does anything; not beside a client's limit. */
void pace_begin(struct pace *p, struct core *core, struct vm *vm, struct job *job);
/* The same for copies that are often over in a moment: does not wait. Undisturbed is what the
 * guest's writes took on the average since its machine began. */
void pace_begin_at_once(struct pace *p, struct core *core, struct vm *vm, struct job *job);
/* Bytes a second from now on; 0: no limit. Looks at the guest at most every PACE_TICK_MS. */
uint64_t pace_now(struct pace *p);
/* Waits as long as 'bytes' take. CANCELLED; UNAVAILABLE when the daemon ends. */
bool pace_wait(struct pace *p, uint64_t bytes, struct err *err) MUST_USE;
