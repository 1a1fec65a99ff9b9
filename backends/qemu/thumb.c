/* Small pictures of large ones: see thumb.h. Each pixel is the average of those in its place.
 * libpng only ever writes here: what a guest or its QEMU has made is read by the twenty lines
 * below. */
#include "backends/qemu/thumb.h"

#include "core/base/mem.h"

#include <png.h>
#include <stdint.h>
#include <string.h>

#define SIDE_MAX  16384u
#define HEAD_MAX  32 /* longer than "P6\n16384 16384\n255\n" */
#define PER_PIXEL 3

struct ppm {
    unsigned width, height;
    size_t at; /* of the first pixel */
};

/* A number and one blank behind it; 0: neither. */
static unsigned read_number(const char *data, size_t len, size_t *at)
{
    unsigned n = 0;

    while (*at < len && data[*at] >= '0' && data[*at] <= '9' && n <= SIDE_MAX)
        n = n * 10 + (unsigned)(data[(*at)++] - '0');
    if (*at >= len || (data[*at] != ' ' && data[*at] != '\n'))
        return 0;
    (*at)++;
    return n;
}

static bool read_head(const char *data, size_t len, struct ppm *out)
{
    size_t at = 3;

    if (len < at || memcmp(data, "P6\n", 3) != 0)
        return false;
    out->width = read_number(data, len, &at);
    out->height = read_number(data, len, &at);
    if (read_number(data, len, &at) != 255)
        return false;
    out->at = at;
    return out->width && out->width <= SIDE_MAX && out->height && out->height <= SIDE_MAX;
}

long ppm_measure(const char *data, size_t len)
{
    struct ppm p;

    if (read_head(data, len, &p))
        return (long)(p.at + (size_t)p.width * p.height * PER_PIXEL);
    return len < HEAD_MAX && memcmp(data, "P6\n", len < 3 ? len : 3) == 0 ? 0 : -1;
}

/* The average of the pixels from (x0, y0) up to (x1, y1). */
static void average(const uint8_t *pixels, unsigned width, const unsigned x[2], const unsigned y[2],
                    uint8_t out[PER_PIXEL])
{
    const uint64_t n = (uint64_t)(x[1] - x[0]) * (y[1] - y[0]);
    uint64_t sum[PER_PIXEL] = {0};

    for (unsigned row = y[0]; row < y[1]; row++)
        for (unsigned col = x[0]; col < x[1]; col++)
            for (unsigned c = 0; c < PER_PIXEL; c++)
                sum[c] += pixels[((size_t)row * width + col) * PER_PIXEL + c];
    for (unsigned c = 0; c < PER_PIXEL; c++)
        out[c] = (uint8_t)((sum[c] + n / 2) / n);
}

static unsigned part(unsigned i, unsigned of, unsigned size)
{
    return (unsigned)((uint64_t)i * size / of);
}

static uint8_t *shrink(const uint8_t *pixels, const struct ppm *p, unsigned width, unsigned height)
{
    uint8_t *small = mem_array((size_t)width * height, PER_PIXEL);

    for (unsigned row = 0; row < height; row++)
        for (unsigned col = 0; col < width; col++) {
            const unsigned x[2] = {part(col, width, p->width), part(col + 1, width, p->width)};
            const unsigned y[2] = {part(row, height, p->height), part(row + 1, height, p->height)};
            average(pixels, p->width, x, y, small + ((size_t)row * width + col) * PER_PIXEL);
        }
    return small;
}

static bool encode(const uint8_t *pixels, unsigned width, unsigned height, char **png, size_t *len,
                   struct err *err)
{
    png_image image = {
        .version = PNG_IMAGE_VERSION, .width = width, .height = height, .format = PNG_FORMAT_RGB};
    png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
    CLEANUP(mem_freep) char *data = mem_alloc(size);
    const bool ok = png_image_write_to_memory(&image, data, &size, 0, pixels, 0, NULL) != 0;

    if (!ok)
        err_set(err, ERR_INTERNAL, "write a picture: %.60s", image.message);
    png_image_free(&image);
    *len = size;
    *png = ok ? mem_dup(data, size) : NULL;
    return ok;
}

bool thumb_of_ppm(const char *ppm, size_t len, unsigned max_px, char **png, size_t *png_len,
                  struct err *err)
{
    CLEANUP(mem_freep) uint8_t *small = NULL;
    unsigned width, height, longer;
    struct ppm p;

    if (!read_head(ppm, len, &p) || (len - p.at) / PER_PIXEL / p.width < p.height)
        return err_set(err, ERR_HYPERVISOR, "QEMU's screenshot is not a PPM");
    longer = p.width > p.height ? p.width : p.height;
    longer = longer > max_px ? longer : max_px;
    width = part(p.width, longer, max_px);
    height = part(p.height, longer, max_px);
    if (longer == max_px) {
        width = p.width;
        height = p.height;
    }
    width += !width; /* of a very long display */
    height += !height;
    small = shrink((const uint8_t *)ppm + p.at, &p, width, height);
    return encode(small, width, height, png, png_len, err);
}
