/* A guest in one sector that counts on its serial console and compares its memory with what it must
 * be each time (memory_guest.S): what it says after it went on from an image tells that the image
 * has all of it. Needs no disk once it has begun. */
#pragma once

#define MEMORY_GUEST_SECTOR 512

extern const unsigned char memory_guest[MEMORY_GUEST_SECTOR];
