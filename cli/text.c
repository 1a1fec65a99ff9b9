/* Text on a terminal: see text.h. */
#include "cli/text.h"

#include "core/base/str.h"

#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

void text_init(void)
{
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        setlocale(LC_CTYPE, "");
}

/* The next character; returns its bytes, 0 when they are no UTF-8. */
static size_t next(const char *s, wchar_t *out)
{
    mbstate_t state = {0};
    size_t n = mbrtowc(out, s, strlen(s), &state);

    return n == (size_t)-1 || n == (size_t)-2 ? 0 : n;
}

/* Invisible, or changes how its neighbours are shown. */
static bool is_hostile(wchar_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad || c == 0x61c ||
           (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb) ||
           (c >= 0xe0000 && c <= 0xe007f);
}

static void add_escaped(struct strbuf *b, wchar_t c)
{
    if (c == '\n')
        strbuf_adds(b, "\\n");
    else if (c == '\t')
        strbuf_adds(b, "\\t");
    else if (c == '\r')
        strbuf_adds(b, "\\r");
    else if (c < 0x100)
        strbuf_addf(b, "\\x%02x", (unsigned)c);
    else if (c < 0x10000)
        strbuf_addf(b, "\\u%04x", (unsigned)c);
    else
        strbuf_addf(b, "\\U%08x", (unsigned)c);
}

char *text_escape(const char *s)
{
    struct strbuf b = {0};

    while (*s) {
        wchar_t c;
        size_t n = next(s, &c);

        if (!n)
            strbuf_addf(&b, "\\x%02x", (unsigned char)*s);
        else if (is_hostile(c))
            add_escaped(&b, c);
        else
            strbuf_add(&b, s, n);
        s += n ? n : 1;
    }
    return strbuf_take(&b);
}

static size_t columns_of(wchar_t c)
{
    int n = wcwidth(c);

    return n < 0 ? 1 : (size_t)n;
}

size_t text_width(const char *s)
{
    size_t width = 0;

    while (*s) {
        wchar_t c;
        size_t n = next(s, &c);

        width += n ? columns_of(c) : 1;
        s += n ? n : 1;
    }
    return width;
}

size_t text_fit(const char *s, size_t columns)
{
    size_t at = 0, width = 0;

    while (s[at]) {
        wchar_t c;
        size_t n = next(s + at, &c);

        width += n ? columns_of(c) : 1;
        if (width > columns)
            break;
        at += n ? n : 1;
    }
    return at;
}
