/* The memory image that is being written: docs/memory.md, "The file". Pages are gathered and
 * written many at once; a page of zeroes stays a hole unless something was written there before.
 * After image_init() it allocates nothing and makes no call but pwrite64, pwritev and fsync. */
#pragma once
#include "core/base/err.h"
#include "vmmd/split/stream.h"

#include <sys/uio.h>

#define IMAGE_RUN_MAX   1024        /* pages in one write: IOV_MAX */
#define IMAGE_MARKS_MAX (16u << 20) /* 2 MiB of bits: one a page up to 64 GiB of memory */
#define IMAGE_STATE_BUF (64u << 10)

struct image {
    int fd;
    uint64_t ram_bytes;
    uint64_t run_at; /* of the pages gathered: where the first goes */
    unsigned run;
    unsigned mark_shift; /* a mark stands for 1 << mark_shift bytes */
    uint64_t *marks;     /* where something was written */
    uint64_t n_marked;
    uint64_t state_bytes;
    uint32_t state_crc;
    size_t buffered; /* the last of the state's bytes, not yet written */
    struct iovec pages[IMAGE_RUN_MAX];
    uint8_t buffer[IMAGE_STATE_BUF];
};

extern const struct stream_sink image_sink; /* its 'to' is a struct image */

/* 'fd': an empty file, the caller's; it gets the size of the memory. NO_SPACE, INTERNAL. */
bool image_init(struct image *image, int fd, uint64_t ram_bytes, struct err *err) MUST_USE;
/* Writes the pages that were gathered, whose bytes may then go. */
bool image_flush_pages(struct image *image, struct err *err) MUST_USE;
/* The rest, the trailer, and all of it to the disk. */
bool image_finish(struct image *image, struct err *err) MUST_USE;
uint64_t image_held_bytes(const struct image *image);
void image_clear(struct image *image); /* frees what image_init() took */
