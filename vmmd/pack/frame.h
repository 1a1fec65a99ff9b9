/* A plain image and its packed form: one frame of zstd. No allocation after frame_init(); what the
 * packed form says of itself is not believed. */
#pragma once
#include "core/base/err.h"

#include <stdint.h>

/* Called with the bytes of the plain image that were gone through since the last call; ends it by
 * returning false with *err set. */
typedef bool frame_tell(uint64_t bytes, struct err *err);

/* Makes both contexts as large as they will ever be. False: no memory. */
bool frame_init(void) MUST_USE;
/* The first 'bytes' of 'plain' as a frame into the empty file 'packed'. NO_SPACE. */
bool frame_pack(int plain, uint64_t bytes, int packed, frame_tell *tell, struct err *err) MUST_USE;
/* Back, into the empty file 'plain', with a hole for each page of zeroes; '*bytes' is what it may
 * come to at most, and then what it came to. MALFORMED, NO_SPACE. */
bool frame_unpack(int packed, int plain, uint64_t *bytes, frame_tell *tell,
                  struct err *err) MUST_USE;
/* That 'packed' is a frame of the 'bytes' of 'plain'. INTERNAL: a disk, or memory, is broken. */
bool frame_compare(int packed, int plain, uint64_t bytes, frame_tell *tell,
                   struct err *err) MUST_USE;
