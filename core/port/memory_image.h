/* How an image of a guest's memory ends: written by vmmd-split, or by the fake backend, and looked
 * at by core before anything is made of it. The whole file is described in docs/memory.md. */
#pragma once
#include <stdint.h>

/* The last bytes. Integers as the machine has them: an image never leaves machines of one kind. */
#define MEMORY_MAGIC "vmmdmem\n"
struct memory_trailer {
    char magic[8];
    uint32_t version;   /* 1 */
    uint32_t state_crc; /* CRC32C of the state */
    uint64_t ram_bytes; /* where the state begins */
    uint64_t state_bytes;
    uint64_t held_bytes; /* of the memory, that were written */
    uint8_t zero[24];
};
_Static_assert(sizeof(struct memory_trailer) == 64, "as documented");
