/* What the keys of a keyboard type: the other half of keys.h.
 *
 * A layout is a list of keys with what they type alone, with Shift and with AltGr; letters are
 * where they are on a US keyboard unless the layout swaps them. A dead key waits for the next one:
 * followed by the space bar it types itself. */
#include "core/model/keys.h"

#include "core/base/mem.h"
#include "core/base/str.h"

#include <stdlib.h>
#include <string.h>

const char *const key_layout_names[] = {"us", "gb", "de", NULL};

struct row {
    const char *key;
    const char *plain, *shift, *altgr; /* one character of UTF-8 each, or NULL */
    const char *dead;                  /* those of them that are dead keys, or NULL */
};

static const struct row us[] = {
    {"1", "1", "!", NULL, NULL},
    {"2", "2", "@", NULL, NULL},
    {"3", "3", "#", NULL, NULL},
    {"4", "4", "$", NULL, NULL},
    {"5", "5", "%", NULL, NULL},
    {"6", "6", "^", NULL, NULL},
    {"7", "7", "&", NULL, NULL},
    {"8", "8", "*", NULL, NULL},
    {"9", "9", "(", NULL, NULL},
    {"0", "0", ")", NULL, NULL},
    {"minus", "-", "_", NULL, NULL},
    {"equal", "=", "+", NULL, NULL},
    {"bracket_left", "[", "{", NULL, NULL},
    {"bracket_right", "]", "}", NULL, NULL},
    {"semicolon", ";", ":", NULL, NULL},
    {"apostrophe", "'", "\"", NULL, NULL},
    {"grave_accent", "`", "~", NULL, NULL},
    {"backslash", "\\", "|", NULL, NULL},
    {"comma", ",", "<", NULL, NULL},
    {"dot", ".", ">", NULL, NULL},
    {"slash", "/", "?", NULL, NULL},
};

static const struct row gb[] = {
    {"1", "1", "!", NULL, NULL},
    {"2", "2", "\"", NULL, NULL},
    {"3", "3", "£", NULL, NULL},
    {"4", "4", "$", "€", NULL},
    {"5", "5", "%", NULL, NULL},
    {"6", "6", "^", NULL, NULL},
    {"7", "7", "&", NULL, NULL},
    {"8", "8", "*", NULL, NULL},
    {"9", "9", "(", NULL, NULL},
    {"0", "0", ")", NULL, NULL},
    {"minus", "-", "_", NULL, NULL},
    {"equal", "=", "+", NULL, NULL},
    {"bracket_left", "[", "{", NULL, NULL},
    {"bracket_right", "]", "}", NULL, NULL},
    {"semicolon", ";", ":", NULL, NULL},
    {"apostrophe", "'", "@", NULL, NULL},
    {"grave_accent", "`", "¬", NULL, NULL},
    {"backslash", "#", "~", NULL, NULL},
    {"less", "\\", "|", NULL, NULL},
    {"comma", ",", "<", NULL, NULL},
    {"dot", ".", ">", NULL, NULL},
    {"slash", "/", "?", NULL, NULL},
};

static const struct row de[] = {
    {"1", "1", "!", NULL, NULL},
    {"2", "2", "\"", "²", NULL},
    {"3", "3", "§", "³", NULL},
    {"4", "4", "$", NULL, NULL},
    {"5", "5", "%", NULL, NULL},
    {"6", "6", "&", NULL, NULL},
    {"7", "7", "/", "{", NULL},
    {"8", "8", "(", "[", NULL},
    {"9", "9", ")", "]", NULL},
    {"0", "0", "=", "}", NULL},
    {"minus", "ß", "?", "\\", NULL},
    {"equal", "´", "`", NULL, "´`"},
    {"bracket_left", "ü", "Ü", NULL, NULL},
    {"bracket_right", "+", "*", "~", NULL},
    {"semicolon", "ö", "Ö", NULL, NULL},
    {"apostrophe", "ä", "Ä", NULL, NULL},
    {"grave_accent", "^", "°", NULL, "^"},
    {"backslash", "#", "'", NULL, NULL},
    {"less", "<", ">", "|", NULL},
    {"comma", ",", ";", NULL, NULL},
    {"dot", ".", ":", NULL, NULL},
    {"slash", "-", "_", NULL, NULL},
    {"q", NULL, NULL, "@", NULL},
    {"e", NULL, NULL, "€", NULL},
    {"m", NULL, NULL, "µ", NULL},
};

static const struct layout {
    const struct row *rows;
    size_t n;
    const char *swapped; /* two letters that have changed places, or "" */
} layouts[] = {
    [KEY_LAYOUT_US] = {us, ARRAY_LEN(us), ""},
    [KEY_LAYOUT_GB] = {gb, ARRAY_LEN(gb), ""},
    [KEY_LAYOUT_DE] = {de, ARRAY_LEN(de), "yz"},
};

static const char *const letters[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i",
                                      "j", "k", "l", "m", "n", "o", "p", "q", "r",
                                      "s", "t", "u", "v", "w", "x", "y", "z"};

/* Bytes of the character at 'text', which is UTF-8. */
static size_t character_len(const char *text)
{
    unsigned char c = (unsigned char)*text;

    return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

static bool is_same(const char *character, const char *text, size_t len)
{
    return character && strlen(character) == len && memcmp(character, text, len) == 0;
}

static bool find_letter(const struct layout *layout, char c, struct key_stroke *out)
{
    bool large = c >= 'A' && c <= 'Z';
    char small = large ? (char)(c - 'A' + 'a') : c;
    const char *swapped;

    if (small < 'a' || small > 'z')
        return false;
    swapped = strchr(layout->swapped, small);
    if (swapped)
        small = layout->swapped[swapped == layout->swapped];
    *out = (struct key_stroke){.key = letters[small - 'a'], .shift = large};
    return true;
}

static bool find_control(char c, struct key_stroke *out)
{
    const char *key = c == ' '    ? "spc"
                      : c == '\n' ? "ret"
                      : c == '\r' ? "ret"
                      : c == '\t' ? "tab"
                      : c == '\b' ? "backspace"
                      : c == 0x1b ? "esc"
                                  : NULL;

    *out = (struct key_stroke){.key = key};
    return key != NULL;
}

static bool find(const struct layout *layout, const char *text, size_t len, struct key_stroke *out,
                 bool *dead)
{
    *dead = false;
    if (find_letter(layout, *text, out) || find_control(*text, out))
        return true;
    for (size_t i = 0; i < layout->n; i++) {
        const struct row *row = &layout->rows[i];
        *out = (struct key_stroke){.key = row->key,
                                   .shift = is_same(row->shift, text, len),
                                   .altgr = is_same(row->altgr, text, len)};
        if (!out->shift && !out->altgr && !is_same(row->plain, text, len))
            continue;
        *dead = row->dead && memmem(row->dead, strlen(row->dead), text, len);
        return true;
    }
    return false;
}

static bool refuse(const char *text, size_t len, enum key_layout layout, size_t at, struct err *err)
{
    if (str_is_control(text))
        return err_field(err, ERR_INVALID, "/text",
                         "character %zu of the text is a control character that no key types", at);
    return err_field(err, ERR_INVALID, "/text",
                     "character %zu of the text, '%.*s', is on no key of the layout '%s'", at,
                     (int)len, text, key_layout_names[layout]);
}

bool key_strokes(const char *text, enum key_layout layout, struct key_stroke **out, size_t *n,
                 struct err *err)
{
    CLEANUP(mem_freep)
    struct key_stroke *strokes = mem_array(2 * strlen(text) + 1, sizeof *strokes);
    size_t used = 0, at = 1, len;
    bool dead;

    for (const char *p = text; *p; p += len, at++) {
        len = character_len(p);
        if (p[0] == '\r' && p[1] == '\n')
            continue;
        if (!find(&layouts[layout], p, len, &strokes[used], &dead))
            return refuse(p, len, layout, at, err);
        used++;
        if (dead)
            strokes[used++] = (struct key_stroke){.key = "spc"};
    }
    *n = used;
    *out = TAKE(strokes);
    return true;
}
