/* Strings: see str.h. */
#include "core/base/str.h"

#include "core/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *str_dup(const char *s)
{
    return s ? mem_dup(s, strlen(s) + 1) : NULL;
}

char *str_format(const char *fmt, ...)
{
    struct strbuf b = {0};
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    b.data = mem_alloc((size_t)n + 1);
    va_start(args, fmt);
    vsnprintf(b.data, (size_t)n + 1, fmt, args);
    va_end(args);
    return b.data;
}

bool str_eq(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

bool str_starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_to_u64(const char *s, uint64_t *out)
{
    uint64_t value = 0;

    if (!s || !*s)
        return false;
    for (; *s; s++) {
        if (*s < '0' || *s > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*s - '0'), &value))
            return false;
    }
    *out = value;
    return true;
}

/* Length of the UTF-8 sequence at 's', 0 when it is NUL or not well-formed (RFC 3629). */
static size_t sequence(const unsigned char *s, size_t left)
{
    uint32_t code;
    size_t n = s[0] < 0x80 ? 1 : s[0] >> 5 == 6 ? 2 : s[0] >> 4 == 14 ? 3 : s[0] >> 3 == 30 ? 4 : 0;
    static const uint32_t least[] = {0, 1, 0x80, 0x800, 0x10000};

    if (!n || n > left)
        return 0;
    code = n == 1 ? s[0] : s[0] & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if (s[i] >> 6 != 2)
            return 0;
        code = code << 6 | (s[i] & 0x3f);
    }
    return code < least[n] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? 0 : n;
}

bool str_is_utf8(const char *s, size_t len)
{
    const unsigned char *p = (const unsigned char *)s;

    for (size_t i = 0; i < len;) {
        size_t n = sequence(p + i, len - i);
        if (!n)
            return false;
        i += n;
    }
    return true;
}

void str_scrub_utf8(char *s)
{
    for (size_t left = strlen(s); left;) {
        size_t n = sequence((unsigned char *)s, left);
        if (!n)
            *s = '?';
        s += n ? n : 1;
        left -= n ? n : 1;
    }
}

bool str_is_control(const char *s)
{
    const unsigned char *p = (const unsigned char *)s;

    return (p[0] && p[0] < 0x20) || p[0] == 0x7f || (p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0);
}

void str_scrub(char *s)
{
    for (char *p = s; *p; p++)
        if (str_is_control(p))
            *p = '?';
    str_scrub_utf8(s); /* also what is left of a two-byte control */
}

void str_hex(const uint8_t *data, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[data[i] >> 4];
        out[2 * i + 1] = digits[data[i] & 15];
    }
    out[2 * len] = 0;
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool str_unhex(const char *hex, uint8_t *out, size_t len)
{
    if (strlen(hex) != 2 * len)
        return false;
    for (size_t i = 0; i < len; i++) {
        int high = digit(hex[2 * i]), low = digit(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

size_t str_copy(char *dst, size_t size, const char *src)
{
    size_t n = strlen(src);

    if (n > size - 1)
        n = size - 1;
    memcpy(dst, src, n);
    dst[n] = 0;
    return n;
}

static void room_for(struct strbuf *b, size_t more)
{
    if (b->len + more + 1 <= b->cap)
        return;
    while (b->cap < b->len + more + 1)
        b->cap = b->cap ? 2 * b->cap : 64;
    b->data = mem_resize(b->data, b->cap, 1);
}

void strbuf_add(struct strbuf *b, const void *data, size_t len)
{
    room_for(b, len);
    if (len)
        memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = 0;
}

void strbuf_adds(struct strbuf *b, const char *s)
{
    strbuf_add(b, s, strlen(s));
}

void strbuf_addf(struct strbuf *b, const char *fmt, ...)
{
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    room_for(b, (size_t)n);
    va_start(args, fmt);
    vsnprintf(b->data + b->len, (size_t)n + 1, fmt, args);
    va_end(args);
    b->len += (size_t)n;
}

void strbuf_clear(struct strbuf *b)
{
    free(b->data);
    *b = (struct strbuf){0};
}

char *strbuf_take(struct strbuf *b)
{
    char *text;

    strbuf_add(b, "", 0);
    text = b->data;
    *b = (struct strbuf){0};
    return text;
}
