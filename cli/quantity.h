/* Sizes and durations as people write them, and as they are shown. */
#pragma once
#include "core/base/cleanup.h"

#include <stdbool.h>
#include <stdint.h>

#define QUANTITY_TEXT 24

/* "512M", "1G", "1.5GiB", "1073741824": K M G T are powers of 1024. False for anything else, for
 * fractions of a byte and for what does not fit. */
bool size_parse(const char *text, uint64_t *bytes) MUST_USE;
/* "512 MiB", "1.5 GiB", "100 B". */
void size_text(uint64_t bytes, char out[QUANTITY_TEXT]);
/* "90", "90s", "500ms", "5m", "2h", "30d": seconds without a unit. At most 100 years. */
bool duration_parse(const char *text, int64_t *ms) MUST_USE;
