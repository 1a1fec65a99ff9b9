/* Copying what a helper's disk shows into an image of any format: exports and imports. A QEMU in a
 * jail does it, which runs no guest and has nothing but these files. */
#pragma once
#include "core/core/parts.h"

struct convert {
    struct core *core;
    struct job *job; /* its progress, and whether it is cancelled */
    struct vm *shadow;
    struct machine *helper; /* of 'shadow' (helper.h), its disk with the position 0 */
    struct uuid image;      /* what QEMU calls the copy */
    int format;             /* enum disk_format of the copy, which is there and empty */
    uint64_t size_bytes;
    int fd;                       /* of the copy, O_RDWR; taken */
    const char *full, *cancelled; /* what is said when its storage is full, or it is cancelled */
    /* For images that strangers have made; 0 and NULL where none is read. How long it may go
     * without any progress, and what is said then; what is said when the copy would grow beyond
     * what its helper may write. */
    int64_t patience_ms;
    const char *stuck, *overgrown;
};

/* Since when a copy has made no progress. Begins with zeroes. */
struct convert_clock {
    uint64_t done;
    int64_t since_ms; /* monotonic */
};
/* Looks at the clock: has there been none for 'patience_ms' (0: for ever is fine)? */
bool convert_is_stuck(struct convert_clock *clock, uint64_t done, int64_t now_ms,
                      int64_t patience_ms);

/* Returns when the copy is complete and QEMU has flushed it. NO_SPACE, CANCELLED, HYPERVISOR with
 * QEMU's words, UNAVAILABLE when the daemon ends; TIMEOUT and INVALID for strangers' images. */
bool convert_run(const struct convert *c, struct err *err) MUST_USE;
