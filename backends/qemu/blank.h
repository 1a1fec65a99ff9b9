/* Empty images of the formats that come from elsewhere (vhd.c, vhdx.c): dynamic ones, of exactly
 * the size that is wanted. For image.c. */
#pragma once
#include "core/base/err.h"

#include <stddef.h>
#include <stdint.h>

/* Into the empty file 'fd', which is not flushed. */
bool vhd_write(int fd, uint64_t size_bytes, struct err *err) MUST_USE;
bool vhdx_write(int fd, uint64_t size_bytes, struct err *err) MUST_USE;

/* All of it at this place, or NO_SPACE. For the writers of images. */
bool image_put(int fd, const void *data, size_t len, uint64_t at, struct err *err) MUST_USE;
