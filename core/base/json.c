/* JSON helpers: see json.h. */
#include "core/base/json_reply.h"

#include "core/base/clock.h"
#include "core/base/mem.h"

#include <stdlib.h>

/* Without memory jansson gives NULL, which our calls would take for JSON's null and lose what was
 * to be said. So it takes memory from where everybody does, and never comes back without. */
__attribute__((constructor)) static void use_our_memory(void)
{
    json_set_alloc_funcs(mem_alloc, free);
}

struct limits {
    unsigned depth, members;
};

/* Counts nesting and values without building anything, so that 10 MiB of '[' costs a scan only. */
static bool within_limits(const char *text, size_t len, const struct limits *most, struct err *err)
{
    unsigned depth = 0, values = 0;
    bool quoted = false;

    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (quoted) {
            if (c == '\\')
                i++;
            else if (c == '"')
                quoted = false;
            continue;
        }
        if (c == '"')
            quoted = true;
        else if (c == '[' || c == '{')
            depth++;
        else if ((c == ']' || c == '}') && depth)
            depth--;
        values += c == ',' || c == '[' || c == '{';
        if (depth > most->depth)
            return err_set(err, ERR_MALFORMED, "the JSON text is nested deeper than %u",
                           most->depth);
        if (values > most->members)
            return err_set(err, ERR_MALFORMED, "the JSON text has more than %u values",
                           most->members);
    }
    return true;
}

/* With 15 digits (JSON_SHORT_REALS) the largest numbers there are would be written as something
 * that nobody can read. */
#define REAL_MAX 1.7e308

static bool can_be_written(const json_t *value)
{
    const json_t *one;
    const char *key;
    size_t i;

    if (json_is_object(value))
        json_object_foreach ((json_t *)value, key, one)
            if (!can_be_written(one))
                return false;
    json_array_foreach (value, i, one)
        if (!can_be_written(one))
            return false;
    return !json_is_real(value) ||
           (json_real_value(value) < REAL_MAX && json_real_value(value) > -REAL_MAX);
}

static json_t *read_within(const char *text, size_t len, const struct limits *most, struct err *err)
{
    json_error_t at;
    json_t *value;

    if (!within_limits(text, len, most, err))
        return NULL;
    value = json_loadb(text, len, JSON_REJECT_DUPLICATES, &at);
    if (!value)
        err_set(err, ERR_MALFORMED, "the JSON text is wrong at line %d, column %d: %s", at.line,
                at.column, at.text);
    if (!value || can_be_written(value))
        return value;
    json_decref(value);
    err_set(err, ERR_MALFORMED, "the JSON text has a number that is too large");
    return NULL;
}

json_t *json_read(const char *text, size_t len, struct err *err)
{
    static const struct limits most = {JSON_MAX_DEPTH, JSON_MAX_MEMBERS};

    return read_within(text, len, &most, err);
}

json_t *json_read_reply(const char *text, size_t len, struct err *err)
{
    static const struct limits most = {512, 100000};

    return read_within(text, len, &most, err);
}

char *json_write(const json_t *value)
{
    return json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SHORT_REALS);
}

const char *json_get_text(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

uint64_t json_get_u64(const json_t *object, const char *key, uint64_t or_else)
{
    const json_t *value = json_object_get(object, key);

    return json_is_integer(value) && json_integer_value(value) >= 0
               ? (uint64_t)json_integer_value(value)
               : or_else;
}

bool json_get_bool(const json_t *object, const char *key, bool or_else)
{
    const json_t *value = json_object_get(object, key);

    return json_is_boolean(value) ? json_is_true(value) : or_else;
}

void json_put_text(json_t *object, const char *key, const char *text)
{
    json_put(object, key, text ? json_string(text) : NULL);
}

void json_put_u64(json_t *object, const char *key, uint64_t value)
{
    json_put(object, key, json_integer((json_int_t)value));
}

void json_put_bool(json_t *object, const char *key, bool value)
{
    json_put(object, key, json_boolean(value));
}

void json_put(json_t *object, const char *key, json_t *value)
{
    json_object_set_new(object, key, value ? value : json_null());
}

static json_t *from_err(const struct err *err)
{
    json_t *value = json_object();

    json_put_text(value, "code", err_slug(err->code));
    json_put_text(value, "detail", err->detail);
    json_put_text(value, "pointer", err->field[0] ? err->field : NULL);
    return value;
}

void json_put_err(json_t *object, const char *key, const struct err *err)
{
    json_put(object, key, err->code ? from_err(err) : NULL);
}

void json_add_err(json_t *list, const struct err *err)
{
    json_t *value = from_err(err);
    const json_t *other;
    size_t i;

    json_array_foreach (list, i, other)
        if (json_equal(other, value)) {
            json_decref(value);
            return;
        }
    json_array_append_new(list, value);
}

void json_put_time(json_t *object, const char *key, int64_t wall_ms)
{
    char text[CLOCK_TEXT];

    if (wall_ms)
        clock_text(wall_ms, text);
    json_put(object, key, wall_ms ? json_string(text) : NULL);
}

void json_merge(json_t *target, const json_t *patch)
{
    const char *key;
    json_t *value;

    json_object_foreach ((json_t *)patch, key, value) {
        json_t *old = json_object_get(target, key);
        if (json_is_null(value))
            json_object_del(target, key);
        else if (json_is_object(value) && json_is_object(old))
            json_merge(old, value);
        else
            json_object_set_new(target, key, json_deep_copy(value));
    }
}
