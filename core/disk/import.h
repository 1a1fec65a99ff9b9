/* Images that somebody has put into the folder "imports" of a pool root, to be brought in as disks
 * (docs/disks.md; steps in docs/storage.md). They are strangers': opened beneath that folder by a
 * plain name, looked into by vmmd-inspect, read by a QEMU in a jail, and left where they are. */
#pragma once
#include "core/base/str.h"
#include "core/core/core.h"
#include "core/disk/imports.h"
#include "core/port/image.h"

struct job;
struct layer;

/* A DiskSource as a client writes it. */
struct import_source {
    char *file, *root; /* root NULL: that of the disk's pool */
    int format;        /* enum image_format + 1; 0: what its content says */
};

struct import {
    struct import_source source;
    struct image_facts facts; /* its format is that of the image, never unknown */
    int fd;                   /* for reading */
};

/* Finds, opens and looks into the image that 'said' names. Blocks as image_inspect() does.
 * NOT_FOUND, INVALID with a sentence; the member at fault is below "/source". */
bool import_open(struct core *core, const json_t *said, const char *root, struct import *out,
                 struct err *err) MUST_USE;
void import_close(struct import *import);
json_t *import_encode(const struct import *import); /* for the operation: nothing is left open */

/* No file that copies an image into a disk of this size gets larger, whatever the image says. */
uint64_t import_file_max(uint64_t size_bytes);
/* Copies the image that import_encode() said into the empty file of 'layer', and flushes it. It is
 * looked into again, since it may be another by now. Room for what it takes is put by for the
 * job. NO_SPACE, CANCELLED, HYPERVISOR. */
bool import_fill(struct core *core, struct job *job, int backend, const struct layer *layer,
                 const json_t *source, struct err *err) MUST_USE;
/* What it needed is given back; nothing is fine. settle() calls it. */
void import_settle(struct core *core, struct job *job);
