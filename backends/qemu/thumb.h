/* Small pictures of large ones. */
#pragma once
#include "core/base/err.h"

#include <stddef.h>

/* A PPM as QEMU writes one (P6, 255) as a PNG of at most 'max_px' pixels in each direction, in its
 * proportions; owned by the caller. Nothing of the PPM is believed: HYPERVISOR. */
bool thumb_of_ppm(const char *ppm, size_t len, unsigned max_px, char **png, size_t *png_len,
                  struct err *err) MUST_USE;
/* Bytes that a PPM with this beginning has in all: 0 when more of it is needed, -1 when it is none.
 */
long ppm_measure(const char *data, size_t len);
