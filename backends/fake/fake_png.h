/* A small PNG writer for the fake machine's screen. Pure. */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* A picture of 'width' × 'height' pixels in one colour (0xRRGGBB) with a darker frame. Owned by the
 * caller; '*len' is its size in bytes. */
char *fake_png(uint32_t width, uint32_t height, uint32_t colour, size_t *len);
