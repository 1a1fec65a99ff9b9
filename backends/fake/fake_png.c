/* A small PNG writer: see fake_png.h. The pixels go into "stored" deflate blocks (RFC 1951, 3.2.4):
 * nothing is compressed, nothing is needed. A palette keeps the file small: one byte a pixel. */
#include "backends/fake/fake_png.h"

#include "core/base/mem.h"
#include "core/base/str.h"

#include <string.h>

#define STORED_MAX 65535u
#define FRAME      8u

static void put32(struct strbuf *b, uint32_t v)
{
    const uint8_t bytes[] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};

    strbuf_add(b, bytes, sizeof bytes);
}

static uint32_t crc32_of(const char *data, size_t len)
{
    uint32_t crc = ~0u;

    for (size_t i = 0; i < len; i++) {
        crc ^= (uint8_t)data[i];
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

static uint32_t adler32_of(const uint8_t *data, size_t len)
{
    uint32_t a = 1, b = 0;

    for (size_t i = 0; i < len; i++) {
        a = (a + data[i]) % 65521;
        b = (b + a) % 65521;
    }
    return b << 16 | a;
}

static void chunk(struct strbuf *png, const char *type, const void *data, size_t len)
{
    size_t start;

    put32(png, (uint32_t)len);
    start = png->len;
    strbuf_add(png, type, 4);
    strbuf_add(png, data, len);
    put32(png, crc32_of(png->data + start, png->len - start));
}

static void header(struct strbuf *png, uint32_t width, uint32_t height)
{
    static const uint8_t rest[] = {8, 3, 0, 0, 0}; /* 8 bits, palette, no filter, no interlace */
    struct strbuf b = {0};

    put32(&b, width);
    put32(&b, height);
    strbuf_add(&b, rest, sizeof rest);
    chunk(png, "IHDR", b.data, b.len);
    strbuf_clear(&b);
}

static void palette(struct strbuf *png, uint32_t colour)
{
    const uint8_t r = (uint8_t)(colour >> 16), g = (uint8_t)(colour >> 8), b = (uint8_t)colour;
    const uint8_t entries[] = {r, g, b, r / 2, g / 2, b / 2};

    chunk(png, "PLTE", entries, sizeof entries);
}

/* Lines of palette indexes, each behind its filter byte (0: none). */
static uint8_t *pixels(uint32_t width, uint32_t height, size_t *len)
{
    uint8_t *lines = mem_array(height, width + 1u);

    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++)
            lines[y * (width + 1u) + 1 + x] =
                x < FRAME || y < FRAME || x + FRAME >= width || y + FRAME >= height;
    *len = (size_t)height * (width + 1u);
    return lines;
}

static void image(struct strbuf *png, const uint8_t *lines, size_t len)
{
    static const uint8_t zlib_head[] = {0x78, 0x01};
    struct strbuf b = {0};

    strbuf_add(&b, zlib_head, sizeof zlib_head);
    for (size_t at = 0; at < len; at += STORED_MAX) {
        uint32_t n = len - at < STORED_MAX ? (uint32_t)(len - at) : STORED_MAX;
        const uint8_t head[] = {at + n == len, (uint8_t)n, (uint8_t)(n >> 8), (uint8_t)~n,
                                (uint8_t)(~n >> 8)};
        strbuf_add(&b, head, sizeof head);
        strbuf_add(&b, lines + at, n);
    }
    put32(&b, adler32_of(lines, len));
    chunk(png, "IDAT", b.data, b.len);
    strbuf_clear(&b);
}

char *fake_png(uint32_t width, uint32_t height, uint32_t colour, size_t *len)
{
    struct strbuf png = {0};
    size_t n;
    CLEANUP(mem_freep) uint8_t *lines = pixels(width, height, &n);

    strbuf_add(&png, "\x89PNG\r\n\x1a\n", 8);
    header(&png, width, height);
    palette(&png, colour);
    image(&png, lines, n);
    chunk(&png, "IEND", "", 0);
    *len = png.len;
    return strbuf_take(&png);
}
