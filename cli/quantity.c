/* Sizes and durations: see quantity.h. */
#include "cli/quantity.h"

#include "core/base/str.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define MAX_DURATION_MS (100ull * 366 * 86400 * 1000)

static const char units[] = "KMGT";

/* "", "K", "KiB" … -> how many bits to shift; -1 for anything else. */
static int shift_of(const char *unit)
{
    const char *at;

    if (!*unit)
        return 0;
    at = strchr(units, *unit >= 'a' && *unit <= 'z' ? *unit - 'a' + 'A' : *unit);
    if (!at || (unit[1] && strcasecmp(unit + 1, "iB") != 0))
        return -1;
    return 10 * (int)(at - units + 1);
}

/* The digits behind the point as a fraction of 10^n, n <= 6. */
static bool fraction(const char *digits, size_t n, uint64_t *value, uint64_t *scale)
{
    *value = 0;
    *scale = 1;
    if (n == 0 || n > 6)
        return false;
    for (size_t i = 0; i < n; i++) {
        *value = *value * 10 + (uint64_t)(digits[i] - '0');
        *scale *= 10;
    }
    return true;
}

bool size_parse(const char *text, uint64_t *bytes)
{
    char number[24];
    size_t whole = strspn(text, "0123456789"), frac = 0;
    uint64_t value, part = 0, scale = 1, high;
    int shift;

    if (whole == 0 || whole >= sizeof number)
        return false;
    memcpy(number, text, whole);
    number[whole] = 0;
    if (text[whole] == '.') {
        frac = strspn(text + whole + 1, "0123456789");
        if (!fraction(text + whole + 1, frac, &part, &scale))
            return false;
        frac++;
    }
    shift = shift_of(text + whole + frac);
    if (!str_to_u64(number, &value) || shift < 0 || (part << shift) % scale)
        return false;
    if (__builtin_mul_overflow(value, 1ull << shift, &high) ||
        __builtin_add_overflow(high, (part << shift) / scale, &value))
        return false;
    *bytes = value;
    return true;
}

void size_text(uint64_t bytes, char out[QUANTITY_TEXT])
{
    unsigned unit = 0;
    uint64_t whole = bytes, rest = 0;

    while (whole >= 1024 && unit < strlen(units)) {
        rest = whole % 1024;
        whole /= 1024;
        unit++;
    }
    if (unit == 0)
        snprintf(out, QUANTITY_TEXT, "%llu B", (unsigned long long)bytes);
    else if (rest * 10 / 1024)
        snprintf(out, QUANTITY_TEXT, "%llu.%llu %ciB", (unsigned long long)whole,
                 (unsigned long long)(rest * 10 / 1024), units[unit - 1]);
    else
        snprintf(out, QUANTITY_TEXT, "%llu %ciB", (unsigned long long)whole, units[unit - 1]);
}

bool duration_parse(const char *text, int64_t *ms)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } table[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    size_t digits = strspn(text, "0123456789");
    char number[24];
    uint64_t value;

    if (digits == 0 || digits >= sizeof number)
        return false;
    memcpy(number, text, digits);
    number[digits] = 0;
    if (!str_to_u64(number, &value))
        return false;
    for (unsigned i = 0; i < ARRAY_LEN(table); i++) {
        if (strcmp(text + digits, table[i].unit) != 0)
            continue;
        if (__builtin_mul_overflow(value, table[i].ms, &value) || value > MAX_DURATION_MS)
            return false;
        *ms = (int64_t)value;
        return true;
    }
    return false;
}
