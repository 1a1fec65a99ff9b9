/* The files of a machine's disks: how they are given to it, and what it can do with them while it
 * runs. Part of backend.h, which has the calls. docs/storage.md has the words. */
#pragma once
#include "core/base/id.h"

#include <stdbool.h>
#include <stddef.h>

struct plan_disk {
    struct uuid id;
    unsigned position; /* among the VM's disks: by it the machine's calls name a disk */
    int format, bus;   /* enum disk_format of the leaf, enum disk_bus */
    uint64_t size_bytes;
    struct uuid *files; /* n_fds file ids; the nodes are named after them. NULL: no snapshots */
    int *fds;           /* leaf first (O_RDWR), then bases (O_RDONLY); taken by start() */
    size_t n_fds;
    int *base_formats;   /* n_fds - 1 × enum disk_format; NULL: all qcow2 */
    uint64_t base_bytes; /* the lowest is raw and ends here, whatever its file has behind; 0: no */
    bool leaf_stays_empty; /* nothing is ever written to it: where it lies costs nobody memory */
};

/* A new file that a disk writes to from now on, on top of the one it wrote to. */
struct machine_overlay {
    unsigned disk;    /* its position */
    struct uuid file; /* qcow2, of the disk's size, empty */
    int fd;           /* O_RDWR; taken */
};

/* Copying into 'top' what the files between it and 'base' have, so that it lies on 'base'. Named
 * after 'top' from now on. */
struct machine_stream {
    struct uuid top, base; /* 'base' zero: everything */
    const char *base_name; /* for the image's header; NULL without a base */
    int top_fd;            /* O_RDWR, taken; -1 when it is a leaf, which is open for writing */
    uint64_t bytes_per_s;  /* 0: as fast as it goes */
};

/* Copying what a disk's leaf has, and what the guest writes meanwhile, into another file, until
 * both are the same and pivot() has the disk go on in the copy. Named after the copy's leaf. */
struct machine_mirror {
    unsigned disk;           /* its position */
    struct plan_disk *chain; /* of the copy: its empty leaf first, below it files that are complete;
                              * descriptors are taken, the rest stays the caller's */
    bool leaf_only;          /* what lies below the disk's leaf is in the chain already */
    uint64_t bytes_per_s;    /* 0: as fast as it goes */
};

/* Moving what a file has down into the file that it lies on. Named after 'top'. */
struct machine_commit {
    struct uuid top, base;
    bool is_leaf; /* 'top' is a leaf: it becomes READY and ends by pivot() */
    bool still;   /* and no guest runs: READY is all, it is ended, and no commit log is needed */
    int base_fd;  /* O_RDWR, taken: 'base' is open for reading only */
    int top_fd; /* O_RDWR, taken, of the file that lies on 'top'; -1 when that is a leaf, or none */
    struct uuid above;     /* the file that lies on 'top'; zero when 'top' is a leaf */
    const char *base_name; /* for the header of 'above'; NULL when 'top' is a leaf */
    uint64_t bytes_per_s;
};

/* What a machine's disks were asked to do since it began, all together. */
struct machine_disk_stats {
    uint64_t writes, flushes;    /* that are over */
    uint64_t write_ns, flush_ns; /* how long they took */
    uint64_t written_bytes;
};

struct machine_block_job {
    enum {
        BLOCK_JOB_NONE,
        BLOCK_JOB_RUNNING,
        BLOCK_JOB_READY,    /* both sides are the same, and stay so until pivot() or its end */
        BLOCK_JOB_PIVOTING, /* pivot() is under way: ask again */
        BLOCK_JOB_ENDED
    } state;
    bool no_space;        /* RUNNING: it waits for space in the target's pool, see resume below */
    uint64_t done, total; /* bytes, as QEMU estimates them */
    char error[256];      /* ENDED: "" when it succeeded */
};

/* Several disks that go on in other files from one moment on (docs/storage.md, "The pivot"). */
struct machine_pivot {
    struct uuid job; /* the operation whose record it is */
    const struct machine_new_leaf {
        struct uuid disk; /* the disk's id, for the record */
        struct uuid leaf; /* the file it goes on in, for the record */
        struct uuid name; /* the block job: the file it is named after */
    } * leaves;
    size_t n;
};
struct machine_pivoted {
    enum {
        PIVOT_COMMITTED, /* recorded, and the disks have switched */
        PIVOT_CANCELLED, /* nothing is recorded, the block jobs have ended: they may begin anew */
        PIVOT_UNKNOWN    /* the record may be on the disk or not; the guest is stopped */
    } outcome;
    uint64_t pause_us; /* how long the guest stood still */
    char detail[256];  /* CANCELLED, UNKNOWN: why */
};
