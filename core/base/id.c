/* Identifiers: see id.h. */
#include "core/base/id.h"

#include "core/base/str.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void random_bytes(void *out, uint32_t len)
{
    uint8_t *p = out;

    while (len) {
        ssize_t n = getrandom(p, len, 0);
        if (n <= 0)
            abort();
        p += n;
        len -= (uint32_t)n;
    }
}

struct uuid uuid_new(void)
{
    struct uuid id;

    random_bytes(id.b, sizeof id.b);
    id.b[6] = (uint8_t)((id.b[6] & 0x0f) | 0x40);
    id.b[8] = (uint8_t)((id.b[8] & 0x3f) | 0x80);
    return id;
}

bool uuid_parse(const char *text, struct uuid *out)
{
    char hex[33];
    unsigned n = 0;

    if (!text || strlen(text) != UUID_TEXT - 1)
        return false;
    for (unsigned i = 0; i < UUID_TEXT - 1; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash != (text[i] == '-'))
            return false;
        if (!dash)
            hex[n++] = text[i];
    }
    hex[n] = 0;
    return str_unhex(hex, out->b, sizeof out->b);
}

void uuid_text(const struct uuid *id, char out[UUID_TEXT])
{
    static const uint8_t run[] = {4, 2, 2, 2, 6};
    const uint8_t *p = id->b;

    for (unsigned i = 0; i < sizeof run; i++) {
        str_hex(p, run[i], out);
        p += run[i];
        out += 2 * run[i];
        *out++ = '-';
    }
    out[-1] = 0;
}

bool uuid_eq(const struct uuid *a, const struct uuid *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

bool uuid_is_zero(const struct uuid *id)
{
    static const struct uuid zero;

    return uuid_eq(id, &zero);
}

const char *uuid_str_(char *buffer, const struct uuid *id)
{
    uuid_text(id, buffer);
    return buffer;
}
