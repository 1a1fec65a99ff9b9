/* What vmmd-split is given and what it says: see docs/memory.md.
 *
 * It is started by the worker with the descriptors below and nothing else, and with the size of the
 * guest's memory in bytes as its only argument. It ends by itself, with 0 after a report and 1 when
 * it could not be given; it never outlives the stream's other end.
 *
 * With the size 0 it drops the stream up to its end, writes nothing and reports nothing. That is
 * for a background snapshot that is given up: QEMU 7.2 leaves the guest's memory write-protected
 * when such a migration is cancelled or its stream breaks, and the guest hangs at its next write.
 * Only one that ends well lets it go. So whoever starts a splitter for one keeps a duplicate of the
 * reading end, and has the rest dropped when the splitter has failed, died or been killed. */
#pragma once
#include "core/port/memory_image.h"

#include <stdint.h>

enum split_fd {
    SPLIT_FD_STREAM = 3, /* the reading end of QEMU's migration stream: a socket */
    SPLIT_FD_IMAGE,      /* the memory image: an empty regular file, O_RDWR */
    SPLIT_FD_REPORT      /* a pipe: one struct split_report when it is over */
};

#define SPLIT_RAM_BLOCK "pc.ram" /* the block that is taken out of the stream */
#define SPLIT_PAGE      4096
#define SPLIT_STATE_MAX                                                                            \
    (1ull << 30) /* bytes of all that is not the guest's memory; usual are few MiB */

enum split_outcome {
    SPLIT_DONE,      /* complete and flushed */
    SPLIT_MALFORMED, /* not what QEMU sends for this guest */
    SPLIT_CUT_SHORT, /* the stream ended before its end */
    SPLIT_NO_SPACE,
    SPLIT_IO
};

struct split_report {
    uint32_t version; /* 1 */
    uint32_t outcome; /* enum split_outcome */
    /* Of the memory, 'held_bytes' were written, by pages; in guests of more than 64 GiB by groups
     * of pages. */
    uint64_t ram_bytes, held_bytes, state_bytes;
    char detail[160]; /* one sentence when it is not DONE */
};
_Static_assert(sizeof(struct split_report) == 192, "no gaps");
