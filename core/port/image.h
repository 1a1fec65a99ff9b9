/* Making image files, and packing them. Implemented by backends/qemu. */
#pragma once
#include "core/model/vm.h"

/* What the header of an overlay says of the file below it. */
struct image_parent {
    const char *name; /* of the file, in the same directory */
    enum disk_format format;
};

/* Writes an empty image of 'format' into the empty file 'fd' (O_RDWR) and flushes it: raw and
 * qcow2 in the time of one flush, others by qemu-img in some 30 ms. With 'parent' (NULL: none) it
 * is an overlay, of format qcow2; the parent is not opened. NO_SPACE, UNSUPPORTED (no qemu-img),
 * HYPERVISOR with its words. */
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
