/* A machine's memory: written to an image while the guest runs on or stands still, and begun with.
 * Part of backend.h, which has the calls. docs/memory.md has the words and the steps. */
#pragma once
#include "core/base/id.h"
#include "core/port/backend_files.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum memory_way {
    MEMORY_BACKGROUND, /* the guest stands still for milliseconds */
    MEMORY_PRECOPY,    /* ... for the rest of what it changes: the instant is the end */
    MEMORY_STILL       /* it is stopped before. Unless it 'goes_on' it stays so when it has worked:
                        * PAUSED comes then */
};

/* What can be done with this machine now. */
struct machine_memory_ways {
    char blocker[256]; /* "": it is possible; else why not, with what to do */
    bool background;   /* and so */
    bool precopy;      /* ... without a page being lost */
    bool still;        /* ... with a guest that goes on afterwards */
    bool from_image;  /* it began with an image: what it has not touched is memory in use as well */
    char reason[256]; /* why not in the background, else "" */
};

/* Named after the image. */
struct machine_memory_save {
    struct uuid image;
    int fd;             /* O_RDWR, an empty regular file; taken */
    uint64_t ram_bytes; /* of the guest's memory: a machine that says another is not believed */
    enum memory_way way;
    bool goes_on;                           /* STILL: the guest, as it does after the other ways */
    const struct machine_overlay *overlays; /* the disks switch at that instant; none with a guest
                                             * that does not go on */
    size_t n;                               /* their descriptors are taken */
};

struct machine_memory_state {
    enum {
        MEMORY_NONE,    /* nobody knows of it: nothing has happened */
        MEMORY_WRITING, /* 'switched' says how far it is */
        MEMORY_ENDED    /* 'error' says how */
    } state;
    bool switched;        /* the disks write to their overlays */
    uint64_t done, total; /* bytes of memory, as QEMU estimates them */
    uint64_t pause_us;    /* how long the guest stood still; 0: it still does, or not yet known */
    uint64_t ram_bytes;   /* ENDED well: of the guest's memory */
    uint64_t held_bytes;  /* ... how much of it is no hole */
    char error[256];      /* ENDED: "" when the image is complete and flushed */
    bool no_space;        /* ... why it failed */
};
