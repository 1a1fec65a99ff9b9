/* Pages on their way into QEMU's migration stream: while it writes down memory that its guest goes
 * on to use, QEMU 7.2 sends every page in a message of its own. They are copied together here and
 * sent as one. Only what is a page is held back; whatever else QEMU has to say, and it has at the
 * end of each round, is said at once and takes along what is here. Pure but for its memory. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

enum { GATHER_BYTES = 256 << 10 };

struct gather {
    size_t len;
    char data[GATHER_BYTES];
};

/* Whether a message is one page of memory, or one of zeroes: 8 bytes of which the last 12 bits say
 * so (migration/ram.c), an optional name, the page. */
bool gather_is_page(const struct iovec *iov, size_t n);
/* Copies the message; false when there is no room for it. */
bool gather_add(struct gather *g, const struct iovec *iov, size_t n);
