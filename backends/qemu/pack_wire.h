/* What vmmd-pack is given and what it says: between it and backends/qemu/pack.c. */
#pragma once
#include <stdint.h>

enum pack_fd {
    PACK_FD_FROM = 3, /* read only */
    PACK_FD_TO,       /* for reading and writing, empty */
    PACK_FD_REPORT    /* a pipe */
};

enum pack_outcome { PACK_GOES_ON, PACK_DONE, PACK_MALFORMED, PACK_NO_SPACE, PACK_IO };

/* Written whole: now and then while it goes on, and at the end. */
struct pack_report {
    uint32_t version; /* 1 */
    uint32_t outcome; /* enum pack_outcome */
    uint64_t bytes;   /* of the plain image, gone through since the last one */
    char detail[160]; /* when it has failed */
};
