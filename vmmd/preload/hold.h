/* Which parts of a guest's memory are let go of write protection together: QEMU asks for them page
 * by page, in order but for the pages that its guest waits for, and each single one costs a call of
 * the kernel and has a huge page split into small ones. What is asked for in order is held back
 * until a whole huge page has come together, or something else is asked for.
 *
 * Nobody waits for long by it: a page that the guest was found waiting for is let go of at once,
 * and so is one that is held back when the guest comes to it, since QEMU then asks for it again.
 * At its end QEMU lets go of everything, before it waits for anybody. Pure: the caller does what
 * comes out. */
#pragma once

#include <stdint.h>

enum { HOLD_HUGE_PAGE = 2 << 20 };

struct hold_range {
    uint64_t start, len; /* bytes */
};

struct hold {
    int fd;        /* the userfaultfd that they are asked of */
    uint64_t from; /* what is held back begins here, and goes on to 'next' */
    uint64_t next; /* where the last request ended */
    int is_waited; /* the guest was found waiting for the page that is asked for next */
};

/* Takes one request; says what is to be let go of now, in this order, and returns how many of 'out'
 * those are. */
int hold_take(struct hold *h, int fd, struct hold_range asked, struct hold_range out[2]);

/* Before anything else is asked of the userfaultfd 'fd': 1 if 'out' has to be let go of first. */
int hold_end(struct hold *h, int fd, struct hold_range *out);
