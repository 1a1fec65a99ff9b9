/* The frame of a PNG file: see png.h. */
#include "backends/qemu/png.h"

#include <stdint.h>
#include <string.h>

#define SIGNATURE_SIZE 8
#define CHUNK_MAX      (1u << 30)

static uint32_t be32(const char *p)
{
    const uint8_t *b = (const uint8_t *)p;

    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

long png_measure(const char *data, size_t len)
{
    static const char signature[SIGNATURE_SIZE] = "\x89PNG\r\n\x1a\n";
    size_t at = SIGNATURE_SIZE;

    if (memcmp(data, signature, len < SIGNATURE_SIZE ? len : SIGNATURE_SIZE) != 0)
        return -1;
    for (;;) {
        uint32_t size;
        if (at + 8 > len)
            return 0;
        size = be32(data + at);
        if (size > CHUNK_MAX)
            return -1;
        if (at == SIGNATURE_SIZE && (size != 13 || memcmp(data + at + 4, "IHDR", 4) != 0))
            return -1;
        if (at + 12 + size > len)
            return 0;
        at += 12 + (size_t)size;
        if (memcmp(data + at - size - 8, "IEND", 4) == 0)
            return (long)at;
    }
}
