/* What vmmd-inspect is given and what it says: between it and backends/qemu/inspect.c. Its only
 * argument is the format that the image is said to have, as a number of enum image_format. */
#pragma once
#include "core/port/image.h"

enum inspect_fd {
    INSPECT_FD_IMAGE = 3, /* a regular file, read only */
    INSPECT_FD_REPORT     /* a pipe */
};

enum inspect_outcome { INSPECT_DONE, INSPECT_REFUSED, INSPECT_IO };

/* Written whole, once, by one write(): it is shorter than PIPE_BUF. */
struct inspect_report {
    uint32_t version; /* 1 */
    uint32_t outcome; /* enum inspect_outcome */
    struct image_facts facts;
    char detail[400]; /* when it is not DONE */
};
_Static_assert(sizeof(struct inspect_report) <= 4096, "a pipe takes it whole");
