/* YAML: see yaml.h. Block style; every text that another reader could take for something else than
 * a text (yes, 1e3, 0x1f, a date, a colon …) is double-quoted. */
#include "cli/yaml.h"

#include "cli/text.h"
#include "core/base/json.h"
#include "core/base/mem.h"

#include <string.h>
#include <strings.h>

static void write_value(const json_t *value, unsigned depth, struct strbuf *out);

static bool is_reserved(const char *s)
{
    static const char *const words[] = {"true", "false", "null", "yes", "no",
                                        "on",   "off",   "y",    "n",   "nan"};

    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (strcasecmp(s, words[i]) == 0)
            return true;
    return false;
}

/* A word that starts with a letter and holds nothing with a meaning is plain. */
static bool is_plain(const char *s)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

    return *s && strchr(letters, *s) && !is_reserved(s) &&
           s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-")] == 0;
}

/* A multi-byte character, of which jansson gives well-formed ones only: as it is, or by its number
 * when a terminal would not show it. Returns its bytes. */
static size_t write_character(const char *s, struct strbuf *out)
{
    unsigned char lead = (unsigned char)*s;
    size_t n = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    uint32_t code = lead & (0x7fu >> n);
    char one[8] = "";
    CLEANUP(mem_freep) char *safe = NULL;

    memcpy(one, s, n);
    for (size_t i = 1; i < n; i++)
        code = code << 6 | ((unsigned char)s[i] & 0x3f);
    safe = text_escape(one);
    if (str_eq(safe, one))
        strbuf_adds(out, one);
    else
        strbuf_addf(out, code > 0xffff ? "\\U%08x" : "\\u%04x", (unsigned)code);
    return n;
}

static void write_text(const char *s, struct strbuf *out)
{
    if (is_plain(s)) {
        strbuf_adds(out, s);
        return;
    }
    strbuf_adds(out, "\"");
    for (; *s; s++) {
        char one[8] = {*s};

        if (*s == '"' || *s == '\\') {
            strbuf_addf(out, "\\%c", *s);
        } else if ((signed char)*s >= 0x20 && *s != 0x7f) {
            strbuf_adds(out, one);
        } else if ((unsigned char)*s < 0x80) {
            strbuf_addf(out, "\\x%02x", (unsigned char)*s);
        } else {
            s += write_character(s, out) - 1;
        }
    }
    strbuf_adds(out, "\"");
}

static void write_scalar(const json_t *value, struct strbuf *out)
{
    CLEANUP(mem_freep) char *text = NULL;

    if (json_is_string(value)) {
        write_text(json_string_value(value), out);
        return;
    }
    text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SHORT_REALS);
    strbuf_adds(out, text);
}

static bool is_empty(const json_t *value)
{
    return (json_is_object(value) && json_object_size(value) == 0) ||
           (json_is_array(value) && json_array_size(value) == 0);
}

static void indent(unsigned depth, struct strbuf *out)
{
    for (unsigned i = 0; i < depth; i++)
        strbuf_adds(out, "  ");
}

/* What follows "key:" or "-": on the same line for scalars and empty ones, below it for others. */
static void write_inner(const json_t *value, unsigned depth, bool in_list, struct strbuf *out)
{
    struct strbuf inner = {0};

    if ((!json_is_object(value) && !json_is_array(value)) || is_empty(value)) {
        strbuf_adds(out, " ");
        write_value(value, depth, out);
        return;
    }
    if (!in_list) {
        strbuf_adds(out, "\n");
        write_value(value, depth, out);
        return;
    }
    write_value(value, depth, &inner); /* "- " takes the place of the first line's indent */
    strbuf_adds(out, " ");
    strbuf_adds(out, inner.data + strspn(inner.data, " "));
    strbuf_clear(&inner);
}

static void write_value(const json_t *value, unsigned depth, struct strbuf *out)
{
    const char *key;
    json_t *item;
    size_t i;

    if (is_empty(value)) {
        strbuf_adds(out, json_is_object(value) ? "{}\n" : "[]\n");
    } else if (json_is_object(value)) {
        json_object_foreach ((json_t *)value, key, item) {
            indent(depth, out);
            write_text(key, out);
            strbuf_adds(out, ":");
            write_inner(item, depth + 1, false, out);
        }
    } else if (json_is_array(value)) {
        json_array_foreach (value, i, item) {
            indent(depth, out);
            strbuf_adds(out, "-");
            write_inner(item, depth + 1, true, out);
        }
    } else {
        write_scalar(value, out);
        strbuf_adds(out, "\n");
    }
}

void yaml_write(const json_t *value, struct strbuf *out)
{
    write_value(value, 0, out);
}
