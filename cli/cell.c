/* Cells: see cell.h. */
#include "cli/cell.h"

#include "cli/quantity.h"
#include "core/base/json.h"
#include "core/base/mem.h"

#include <stdio.h>
#include <string.h>

const json_t *cell_find(const json_t *object, const char *path)
{
    while (object && *path) {
        size_t n = strcspn(path, ".");
        CLEANUP(mem_freep) char *key = str_format("%.*s", (int)n, path);

        object = json_object_get(object, key);
        path += n + (path[n] == '.');
    }
    return object;
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);

    return n >= m && strcmp(s + n - m, end) == 0;
}

enum cell cell_guess(const char *path)
{
    if (ends_with(path, "_bytes"))
        return CELL_BYTES;
    if (ends_with(path, "_at") || ends_with(path, ".since"))
        return CELL_TIME;
    if (str_eq(path, "progress"))
        return CELL_PERCENT;
    return CELL_TEXT;
}

/* Texts as they are, anything else as JSON; the elements of a list joined by commas. */
static void add_plain(struct strbuf *b, const json_t *value)
{
    CLEANUP(mem_freep) char *text = NULL;
    const json_t *item;
    size_t i;

    if (json_is_string(value)) {
        strbuf_adds(b, json_string_value(value));
    } else if (json_is_array(value)) {
        json_array_foreach (value, i, item) {
            strbuf_adds(b, i ? "," : "");
            add_plain(b, item);
        }
    } else if (value && !json_is_null(value)) {
        text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SHORT_REALS);
        strbuf_adds(b, text);
    }
}

static char *time_text(const json_t *value)
{
    char *text = str_dup(json_string_value(value));

    if (strlen(text) >= 19 && text[10] == 'T') {
        text[10] = ' ';
        text[19] = 0;
    }
    return text;
}

static char *percent_text(const json_t *value)
{
    uint64_t done = json_get_u64(value, "done", 0), total = json_get_u64(value, "total", 0);

    if (!total)
        return str_dup("-");
    return str_format("%u%%",
                      done >= total ? 100u : (unsigned)((double)done * 100 / (double)total));
}

char *cell_text(const json_t *value, enum cell cell, bool human)
{
    struct strbuf b = {0};
    char size[QUANTITY_TEXT];

    if (cell == CELL_COUNT)
        return str_format("%zu", json_array_size(value));
    if (human && cell == CELL_BYTES && json_is_integer(value)) {
        size_text((uint64_t)json_integer_value(value), size);
        return str_dup(size);
    }
    if (human && cell == CELL_TIME && json_is_string(value))
        return time_text(value);
    if (human && cell == CELL_PERCENT && json_is_object(value))
        return percent_text(value);
    add_plain(&b, value);
    if (human && !b.len)
        strbuf_adds(&b, "-");
    return strbuf_take(&b);
}
