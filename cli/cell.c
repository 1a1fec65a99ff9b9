/* Cells: see cell.h. */
#include "cli/cell.h"

#include "cli/quantity.h"
#include "core/base/json.h"
#include "core/base/mem.h"

#include <stdio.h>
#include <string.h>

/* A label's key may have dots of its own. */
static json_t *label(const json_t *object, const char *key)
{
    return json_incref(json_object_get(json_object_get(object, "labels"), key));
}

/* "size_bytes" of each element. */
static json_t *of_each(const json_t *list, const char *path)
{
    json_t *all = json_array(), *element;
    size_t i;

    json_array_foreach (list, i, element) {
        json_t *value = cell_find(element, path);
        json_array_append_new(all, value ? value : json_null());
    }
    return all;
}

json_t *cell_find(const json_t *object, const char *path)
{
    if (str_starts(path, "label."))
        return label(object, path + 6);
    if (str_starts(path, "labels."))
        return label(object, path + 7);
    while (object && *path) {
        size_t n = strcspn(path, ".");
        CLEANUP(mem_freep) char *key = str_format("%.*s", (int)n, path);

        if (json_is_array(object))
            return of_each(object, path);
        object = json_object_get(object, key);
        path += n + (path[n] == '.');
    }
    return json_incref((json_t *)object);
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
