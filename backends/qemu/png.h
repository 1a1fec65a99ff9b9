/* The frame of a PNG file (ISO/IEC 15948, clause 5), for files that come out of a guest's QEMU.
 * Pure. */
#pragma once
#include <stddef.h>

/* The length of the picture that 'data' begins with: signature, IHDR first, whole chunks, IEND
 * last. 0: cut short, more bytes are needed; -1: not a PNG. Pixels and checksums are not looked at.
 */
long png_measure(const char *data, size_t len);
