/* Making image files, looking into strangers' ones, and packing them. Implemented by backends/qemu.
 */
#pragma once
#include "core/model/image.h"

/* What the header of an overlay says of the file below it. */
struct image_parent {
    const char *name; /* of the file, in the same directory */
    enum disk_format format;
};

/* Writes an empty image of 'format' into the empty file 'fd' (O_RDWR) and flushes it: raw and
 * qcow2 in the time of one flush, vhd and vhdx (dynamic) of exactly this size in hardly more. With
 * 'parent' (NULL: none) it is an overlay, of format qcow2; the parent is not opened. NO_SPACE,
 * INVALID for a size that the format has not. */
bool image_create(int fd, enum disk_format format, uint64_t size_bytes,
                  const struct image_parent *parent, struct err *err) MUST_USE;

/* Bytes that were gone through since the last call; ends the work by returning false with *err set.
 */
typedef bool image_tell(void *ctx, uint64_t bytes, struct err *err);
/* Compresses a memory image, or expands one again to at most 'max_bytes', in a process of its own
 * that can do nothing else; flushed, read again and compared, so 'tell' hears of about twice the
 * plain size. 'from' is open for reading, 'to' for both, and empty. Blocks as long as that takes.
 * NO_SPACE; UNSUPPORTED for what is no packed image; INTERNAL when the disk is broken. */
bool image_pack(int from, int to, image_tell *tell, void *ctx, struct err *err) MUST_USE;
bool image_unpack(int from, int to, uint64_t max_bytes, image_tell *tell, void *ctx,
                  struct err *err) MUST_USE;

/* What an image says of itself, within these bounds and nothing more to be relied upon. */
struct image_facts {
    int32_t format;         /* enum image_format */
    int32_t backing_format; /* the format it says of 'backing'; IMAGE_UNKNOWN when it says none */
    uint64_t virtual_bytes; /* of the disk: 512 … 64 TiB, a multiple of 512 */
    uint64_t file_bytes;    /* how long the file is */
    uint64_t data_bytes; /* what a copy of the disk takes at most: what is not in it are zeroes */
    bool is_plain;    /* from the file's first byte on it is the disk as it is: raw, a fixed vhd */
    bool has_backing; /* it lies on another file: only in qcow2, refused in the others */
    char layout[23];  /* "dynamic", "streamOptimized", …: for people */
    char backing[1024]; /* its name in the header: a stranger's text, never to be opened */
};

/* Looks into an image without opening what it names, in a process of its own that can do nothing
 * else (vmmd-inspect). 'stated' is the format that it is said to have, of which it must be then;
 * IMAGE_UNKNOWN: what its content says, which is never raw. 'fd' is open for reading. Blocks for
 * as long as reading its tables takes, 60 s at most.
 *
 * INVALID with a sentence for people: what is damaged or cut off, has tables that overlap or lie
 * outside the file, a disk of more than 64 TiB or one that unpacks to more than a thousand times
 * the file, data in other files (but for qcow2's backing file, which is told), encryption, internal
 * snapshots, a log that is not written back, and what nobody knows. */
bool image_inspect(int fd, int stated, struct image_facts *out, struct err *err) MUST_USE;
