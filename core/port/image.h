/* Making image files. Implemented by backends/qemu (qemu-img). */
#pragma once
#include "core/model/vm.h"

/* Writes an empty image of 'format' into the empty file 'fd' (O_RDWR) and flushes it. Blocks for
 * some 30 ms. NO_SPACE, UNSUPPORTED (no qemu-img), HYPERVISOR with its words. */
bool image_create(int fd, enum disk_format format, uint64_t size_bytes, struct err *err) MUST_USE;
