/* Small pictures of a display: their size, their colours, and what is refused of a PPM. */
#include "tests/lib/harness.h"

#include "backends/qemu/png.h"
#include "backends/qemu/thumb.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <png.h>
#include <stdlib.h>
#include <string.h>

/* The left half red, the right half blue. */
static char *ppm_of(unsigned width, unsigned height, size_t *len)
{
    CLEANUP(mem_freep) char *head = str_format("P6\n%u %u\n255\n", width, height);
    char *ppm = mem_alloc(strlen(head) + (size_t)width * height * 3);
    size_t at = strlen(head);

    memcpy(ppm, head, at);
    for (unsigned i = 0; i < width * height; i++) {
        const bool left = i % width < width / 2;
        ppm[at++] = (char)(left ? 255 : 0);
        ppm[at++] = 0;
        ppm[at++] = (char)(left ? 0 : 255);
    }
    *len = at;
    return ppm;
}

struct picture {
    unsigned width, height;
    uint8_t *pixels; /* RGB */
};

static struct picture decode(const char *png, size_t len)
{
    png_image image = {.version = PNG_IMAGE_VERSION};
    struct picture p;

    assert_true(png_image_begin_read_from_memory(&image, png, len));
    image.format = PNG_FORMAT_RGB;
    p = (struct picture){image.width, image.height, mem_alloc(PNG_IMAGE_SIZE(image))};
    assert_true(png_image_finish_read(&image, NULL, p.pixels, 0, NULL));
    return p;
}

static struct picture thumb(unsigned width, unsigned height)
{
    size_t len, png_len;
    CLEANUP(mem_freep) char *ppm = ppm_of(width, height, &len);
    CLEANUP(mem_freep) char *png = NULL;
    struct err err = {0};

    assert_int_equal(ppm_measure(ppm, len), len);
    assert_int_equal(ppm_measure(ppm, 5), 0); /* more is needed */
    assert_true(thumb_of_ppm(ppm, len, 320, &png, &png_len, &err));
    assert_int_equal(png_measure(png, png_len), png_len);
    return decode(png, png_len);
}

static void a_large_display_becomes_small_in_its_proportions(void **state)
{
    static const unsigned sizes[][4] = {
        {1024, 768, 320, 240}, {640, 480, 320, 240}, {768, 1024, 240, 320}, {200, 100, 200, 100},
        {320, 320, 320, 320},  {4000, 1, 320, 1},    {1, 1, 1, 1},          {1366, 768, 320, 179}};

    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct picture p = thumb(sizes[i][0], sizes[i][1]);
        assert_int_equal(p.width, sizes[i][2]);
        assert_int_equal(p.height, sizes[i][3]);
        free(p.pixels);
    }
}

static void it_has_the_colours_of_the_display(void **state)
{
    static const uint8_t red[] = {255, 0, 0}, blue[] = {0, 0, 255};
    struct picture p = thumb(1024, 768);

    assert_memory_equal(p.pixels, red, 3);
    assert_memory_equal(p.pixels + 319 * 3, blue, 3);
    assert_memory_equal(p.pixels + (320 * 240 - 1) * 3, blue, 3);
    free(p.pixels);
}

static void what_is_no_picture_is_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "P6",
                                      "P5\n1 1\n255\nxxx",
                                      "P6\n0 1\n255\nxxx",
                                      "P6\n1 1\n65535\nxxxxxx",
                                      "P6\n1 2\n255\nxxxxx",
                                      "P6\n99999999999 1\n255\nxxx",
                                      "P6\n16385 1\n255\nxxx",
                                      "P6\n-1 1\n255\nxxx"};

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err err = {0};
        char *png = NULL;
        size_t len;
        assert_false(thumb_of_ppm(bad[i], strlen(bad[i]), 320, &png, &len, &err));
        assert_int_equal(err.code, ERR_HYPERVISOR);
        assert_null(png);
    }
    assert_int_equal(ppm_measure("\x89PNG", 4), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_large_display_becomes_small_in_its_proportions),
        cmocka_unit_test(it_has_the_colours_of_the_display),
        cmocka_unit_test(what_is_no_picture_is_refused),
    };

    return cmocka_run_group_tests_name("unit/qemu_thumb", tests, NULL, NULL);
}
