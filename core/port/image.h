/* Making image files. Implemented by backends/qemu. */
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
