/* Writing an empty qcow2 image. For backends/qemu/image.c. */
#pragma once
#include "core/port/image.h"

#define QCOW2_SIZE_MAX (1ull << 50) /* so that one block of reference counts is enough */

/* Into the empty file 'fd', not flushed. INVALID for a size of 0 or above the most. */
bool qcow2_write(int fd, uint64_t size_bytes, const struct image_parent *parent,
                 struct err *err) MUST_USE;
