/* The Cookie header: see cookie.h. */
#include "api/cookie.h"

#include "core/base/str.h"

#include <string.h>

static bool is_plain(const char *text, size_t len)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";

    return strspn(text, letters) >= len;
}

enum cookie_found cookie_find(const char *header, const char *name, char *out, size_t size)
{
    enum cookie_found found = COOKIE_NONE;
    size_t n = strlen(name);

    for (const char *p = header; p && *p; p += *p == ';') {
        const char *value;
        size_t len;
        p += strspn(p, " \t");
        len = strcspn(p, ";");
        value = p + n + 1;
        if (len > n && p[n] == '=' && strncmp(p, name, n) == 0) {
            size_t value_len = len - n - 1;
            while (value_len && strchr(" \t", value[value_len - 1]))
                value_len--;
            if (found != COOKIE_NONE || value_len >= size || !is_plain(value, value_len))
                return COOKIE_BAD;
            memcpy(out, value, value_len);
            out[value_len] = 0;
            found = COOKIE_ONE;
        }
        p += len;
    }
    return found;
}
