/* Pools, disks and image files in memory: part of parts.h, which has the lock that guards them. */
#pragma once
#include "core/base/id.h"

#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

struct pool {
    struct uuid id;
    char *name;
    char *root;
    int64_t created_ms;
    int dir; /* <root>/<id>, -1 when the root cannot be reached */
    unsigned n_disks;
    unsigned n_files;       /* of those disks, and others that lie on them */
    uint64_t quota_bytes;   /* 0: none */
    uint64_t reserve_bytes; /* POOL_RESERVE_USUAL: see space.c */
    int default_format;     /* enum disk_format */
    bool low_space;         /* was said to be short of space */
    struct pool *next;
};

struct disk {
    struct uuid id, vm, pool;
    uint32_t position;
    uint64_t size_bytes;
    int format, bus;
    struct uuid leaf; /* the file it writes to */
    int64_t created_ms;
    struct disk *next; /* of the same VM, in no order */
    UT_hash_handle by_id;
};

struct file {
    struct uuid id, pool;
    struct uuid vm;     /* zero: nobody's, see core/disk/lent.h */
    struct uuid parent; /* zero: a base */
    enum file_role { FILE_DISK, FILE_MEMORY } role;
    int format; /* enum disk_format; raw for memory */
    uint64_t size_bytes;
    struct ram_image *image; /* core/ram: what is known of a memory that is complete */
    bool kept;               /* a memory that others need when its VM goes: core/ram */
    unsigned children;       /* files whose parent it is */
    unsigned lent;           /* those of them that are not of the same VM */
    bool removing;           /* nobody needs it: core/disk/lent.c */
    enum file_state { FILE_CREATING, FILE_LIVE, FILE_TRASH } state; /* of what is to be settled */
    struct uuid job;                                                /* that makes or unmakes it */
    struct file *next; /* of the same VM, in no order */
    UT_hash_handle by_id;
};

/* A VM that has disks or files. Apart from struct vm, since these are known before it is. */
struct disk_owner {
    struct uuid vm;
    struct disk *first;
    struct file *files;
    UT_hash_handle hh;
};
