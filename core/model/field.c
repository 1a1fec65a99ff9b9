/* Field tables at work: see field.h. */
#include "core/model/field.h"

#include "core/base/mem.h"
#include "core/base/str.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POINTER_MAX sizeof((struct err *)0)->field

#define AT(type, object, where) ((type *)(void *)((char *)(object) + (where)))

static bool wrong(struct err *err, const struct field *f, const char *what)
{
    char pointer[64];

    snprintf(pointer, sizeof pointer, "/%s", f->name);
    return err_field(err, ERR_INVALID, pointer, "%s %s", f->name, what);
}

static bool decode_number(const struct field *f, const json_t *v, uint64_t *out, struct err *err)
{
    char what[96];

    snprintf(what, sizeof what, "must be a whole number from %" PRIu64 " to %" PRIu64, f->min,
             f->max);
    if (!json_is_integer(v) || json_integer_value(v) < 0)
        return wrong(err, f, what);
    *out = (uint64_t)json_integer_value(v);
    return (*out >= f->min && *out <= f->max) || wrong(err, f, what);
}

static bool decode_text(const struct field *f, const json_t *v, char **out, struct err *err)
{
    const char *text = json_string_value(v), *why = NULL;
    char what[96];

    if (!text)
        return wrong(err, f, "must be a text");
    if (strlen(text) != json_string_length(v))
        return wrong(err, f, "must not hold a NUL character");
    snprintf(what, sizeof what, "must have %" PRIu64 " to %" PRIu64 " bytes", f->min, f->max);
    if (json_string_length(v) < f->min || json_string_length(v) > f->max)
        return wrong(err, f, what);
    if (f->check && *text && !f->check(text, &why))
        return wrong(err, f, why);
    *out = str_dup(text);
    return true;
}

static bool decode_enum(const struct field *f, const json_t *v, int *out, struct err *err)
{
    const char *text = json_string_value(v);
    CLEANUP(strbuf_clear) struct strbuf list = {0};

    for (int i = 0; f->names[i]; i++) {
        if (text && strcmp(text, f->names[i]) == 0) {
            *out = i;
            return true;
        }
        strbuf_addf(&list, "%s%s", i ? ", " : "must be one of: ", f->names[i]);
    }
    return wrong(err, f, list.data);
}

static bool label_is_valid(const char *key, const json_t *value)
{
    const char *why;

    return strlen(key) <= NAME_MAX_BYTES && check_name(key, &why) && json_is_string(value) &&
           json_string_length(value) <= 255 && check_line(json_string_value(value), &why) &&
           strlen(json_string_value(value)) == json_string_length(value);
}

static bool decode_labels(const struct field *f, const json_t *v, json_t **out, struct err *err)
{
    const char *key;
    json_t *value;

    if (!json_is_object(v) || json_object_size(v) > f->max)
        return wrong(err, f, "must be an object of at most 64 texts");
    json_object_foreach ((json_t *)v, key, value)
        if (!label_is_valid(key, value))
            return wrong(err, f,
                         "has a wrong entry: keys have up to 63 letters, digits, '.', '_' or '-', "
                         "values are lines of up to 255 bytes");
    *out = json_object_size(v) ? json_deep_copy(v) : NULL;
    return true;
}

static bool decode_real(const struct field *f, const json_t *v, double *out, struct err *err)
{
    char what[96];

    *out = json_is_number(v) ? json_number_value(v) : NAN;
    snprintf(what, sizeof what, "must be a number from %" PRId64 " to %" PRIu64, f->low, f->max);
    return (*out >= (double)f->low && *out <= (double)f->max) || wrong(err, f, what);
}

static bool word_is_valid(const struct field *f, const json_t *v, const char **why)
{
    const char *text = json_string_value(v);

    *why = "must be a word of 1 to 63 bytes";
    return text && *text && json_string_length(v) <= NAME_MAX_BYTES &&
           strlen(text) == json_string_length(v) && (!f->check || f->check(text, why));
}

static bool decode_words(const struct field *f, const json_t *v, json_t **out, struct err *err)
{
    char what[96], pointer[POINTER_MAX];
    const char *why;
    json_t *word;
    size_t i;

    snprintf(what, sizeof what, "must be a list of %" PRIu64 " to %" PRIu64 " words", f->min,
             f->max);
    if (!json_is_array(v) || json_array_size(v) < f->min || json_array_size(v) > f->max)
        return wrong(err, f, what);
    json_array_foreach (v, i, word) {
        if (word_is_valid(f, word, &why))
            continue;
        snprintf(pointer, sizeof pointer, "/%s/%zu", f->name, i);
        return err_field(err, ERR_INVALID, pointer, "%s[%zu] %s", f->name, i, why);
    }
    *out = json_deep_copy(v);
    return true;
}

static bool decode_list(const struct field *f, const json_t *v, enum model_source source,
                        void *object, struct err *err)
{
    size_t n = json_array_size(v);
    char *items, pointer[64], what[96];

    snprintf(what, sizeof what, "must be a list of %" PRIu64 " to %" PRIu64 " objects", f->min,
             f->max);
    if (!json_is_array(v) || n < f->min || n > f->max)
        return wrong(err, f, what);
    items = n ? mem_array(n, f->of->size) : NULL;
    *AT(void *, object, f->offset) = items;
    for (size_t i = 0; i < n; i++) {
        if (!model_decode(f->of, json_array_get(v, i), source, items + i * f->of->size, err)) {
            snprintf(pointer, sizeof pointer, "/%s/%zu", f->name, i);
            return err_under(err, pointer);
        }
        *AT(size_t, object, f->count_offset) = i + 1;
    }
    return true;
}

static bool decode_object(const struct field *f, const json_t *v, enum model_source source,
                          void *object, struct err *err)
{
    char pointer[64];

    if (model_decode(f->of, v, source, AT(void, object, f->offset), err))
        return true;
    snprintf(pointer, sizeof pointer, "/%s", f->name);
    return err_under(err, pointer);
}

static bool decode_field(const struct field *f, const json_t *v, enum model_source source,
                         void *object, struct err *err)
{
    uint64_t number = 0;

    switch (f->type) {
    case FIELD_BOOL:
        *AT(bool, object, f->offset) = json_is_true(v);
        return json_is_boolean(v) || wrong(err, f, "must be true or false");
    case FIELD_U32:
        if (!decode_number(f, v, &number, err))
            return false;
        *AT(uint32_t, object, f->offset) = (uint32_t)number;
        return true;
    case FIELD_U64:
        return decode_number(f, v, AT(uint64_t, object, f->offset), err);
    case FIELD_TEXT:
        return decode_text(f, v, AT(char *, object, f->offset), err);
    case FIELD_ENUM:
        return decode_enum(f, v, AT(int, object, f->offset), err);
    case FIELD_UUID:
        return uuid_parse(json_string_value(v), AT(struct uuid, object, f->offset)) ||
               wrong(err, f, "must be a UUID in lower case");
    case FIELD_LABELS:
        return decode_labels(f, v, AT(json_t *, object, f->offset), err);
    case FIELD_OBJECT:
        return decode_object(f, v, source, object, err);
    case FIELD_LIST:
        return decode_list(f, v, source, object, err);
    case FIELD_REAL:
        return decode_real(f, v, AT(double, object, f->offset), err);
    case FIELD_WORDS:
        return decode_words(f, v, AT(json_t *, object, f->offset), err);
    case FIELD_JSON:
        *AT(json_t *, object, f->offset) = json_is_object(v) ? json_deep_copy(v) : NULL;
        return json_is_object(v) || wrong(err, f, "must be an object");
    }
    return false;
}

static const struct field *find(const struct model *model, const char *name)
{
    for (size_t i = 0; i < model->n_fields; i++)
        if (strcmp(model->fields[i].name, name) == 0)
            return &model->fields[i];
    return NULL;
}

/* A hostile member name as a JSON pointer (RFC 6901: '~' is "~0", '/' is "~1"), cut to its room. */
static void pointer_to(char out[POINTER_MAX], const char *key)
{
    size_t at = 0;

    out[at++] = '/';
    for (; *key && at + 3 <= POINTER_MAX; key++) {
        if (*key == '~' || *key == '/') {
            out[at++] = '~';
            out[at++] = *key == '~' ? '0' : '1';
        } else {
            out[at++] = *key;
        }
    }
    out[at] = 0;
}

static bool unknown(const struct model *model, const char *key, struct err *err)
{
    CLEANUP(strbuf_clear) struct strbuf list = {0};
    char pointer[POINTER_MAX];

    for (size_t i = 0; i < model->n_fields; i++)
        if (!(model->fields[i].flags & FIELD_READ_ONLY))
            strbuf_addf(&list, "%s%s", list.len ? ", " : "", model->fields[i].name);
    pointer_to(pointer, key);
    return err_field(err, ERR_INVALID, pointer, "there is no member '%.60s' here; known are: %s",
                     key, list.data ? list.data : "none");
}

/* Refuses what a client may not send; our own texts may hold members of a newer version. */
static bool members_are_known(const struct model *model, const json_t *value,
                              enum model_source source, unsigned refused, struct err *err)
{
    const char *key;
    json_t *member;

    if (source == MODEL_STORED)
        return true;
    json_object_foreach ((json_t *)value, key, member) {
        const struct field *f = find(model, key);
        if (!f)
            return unknown(model, key, err);
        if (f->flags & refused & FIELD_READ_ONLY)
            return wrong(err, f, "is read-only");
        if (f->flags & refused)
            return wrong(err, f, "cannot be changed after creation");
    }
    return true;
}

static bool decode_default(const struct field *f, enum model_source source, void *object,
                           struct err *err)
{
    CLEANUP(json_decrefp) json_t *value = NULL;

    if (!f->fallback && f->type == FIELD_REAL)
        *AT(double, object, f->offset) = NAN;
    if (!f->fallback && f->type == FIELD_OBJECT)
        value = json_object();
    else if (f->fallback)
        value = json_loads(f->fallback, JSON_DECODE_ANY, NULL);
    return !value || decode_field(f, value, source, object, err);
}

static bool decode_members(const struct model *model, const json_t *value, enum model_source source,
                           void *out, struct err *err)
{
    for (size_t i = 0; i < model->n_fields; i++) {
        const struct field *f = &model->fields[i];
        const json_t *member = json_object_get(value, f->name);

        if (json_is_null(member))
            member = NULL;
        if (!member && (f->flags & FIELD_REQUIRED))
            return wrong(err, f, "is missing");
        if (!(member ? decode_field(f, member, source, out, err)
                     : decode_default(f, source, out, err)))
            return false;
    }
    return true;
}

bool model_decode(const struct model *model, const json_t *value, enum model_source source,
                  void *out, struct err *err)
{
    memset(out, 0, model->size);
    if (!json_is_object(value))
        return err_field(err, ERR_INVALID, "", "a JSON object is expected here (%s)", model->name);
    if (members_are_known(model, value, source, FIELD_READ_ONLY, err) &&
        decode_members(model, value, source, out, err))
        return true;
    model_clear(model, out);
    return false;
}

static json_t *encode_list(const struct field *f, const void *object)
{
    const char *items = *AT(char *, object, f->offset);
    size_t n = *AT(size_t, object, f->count_offset);
    json_t *list = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, model_encode(f->of, items + i * f->of->size));
    return list;
}

static json_t *encode_uuid(const struct uuid *id)
{
    return uuid_is_zero(id) ? json_null() : json_string(UUID_STR(id));
}

static json_t *encode_field(const struct field *f, const void *object)
{
    switch (f->type) {
    case FIELD_BOOL:
        return json_boolean(*AT(bool, object, f->offset));
    case FIELD_U32:
        return json_integer(*AT(uint32_t, object, f->offset));
    case FIELD_U64:
        return json_integer((json_int_t)*AT(uint64_t, object, f->offset));
    case FIELD_TEXT:
        return *AT(char *, object, f->offset) ? json_string(*AT(char *, object, f->offset))
                                              : json_null();
    case FIELD_ENUM:
        return json_string(f->names[*AT(int, object, f->offset)]);
    case FIELD_UUID:
        return encode_uuid(AT(struct uuid, object, f->offset));
    case FIELD_LABELS:
        return *AT(json_t *, object, f->offset) ? json_deep_copy(*AT(json_t *, object, f->offset))
                                                : json_object();
    case FIELD_OBJECT:
        return model_encode(f->of, AT(void, object, f->offset));
    case FIELD_LIST:
        return encode_list(f, object);
    case FIELD_REAL:
        return isnan(*AT(double, object, f->offset)) ? json_null()
                                                     : json_real(*AT(double, object, f->offset));
    case FIELD_WORDS:
    case FIELD_JSON:
        return *AT(json_t *, object, f->offset) ? json_deep_copy(*AT(json_t *, object, f->offset))
                                                : json_null();
    }
    return json_null();
}

json_t *model_encode(const struct model *model, const void *object)
{
    json_t *value = json_object();

    for (size_t i = 0; i < model->n_fields; i++)
        json_object_set_new(value, model->fields[i].name, encode_field(&model->fields[i], object));
    return value;
}

json_t *model_encode_member(const struct model *model, const void *object, const char *name)
{
    const struct field *f = find(model, name);

    return f ? encode_field(f, object) : NULL;
}

static void clear_field(const struct field *f, void *object)
{
    char *items;

    switch (f->type) {
    case FIELD_TEXT:
        mem_freep(AT(char *, object, f->offset));
        break;
    case FIELD_LABELS:
    case FIELD_WORDS:
    case FIELD_JSON:
        json_decrefp(AT(json_t *, object, f->offset));
        break;
    case FIELD_OBJECT:
        model_clear(f->of, AT(void, object, f->offset));
        break;
    case FIELD_LIST:
        items = *AT(char *, object, f->offset);
        for (size_t i = 0; i < *AT(size_t, object, f->count_offset); i++)
            model_clear(f->of, items + i * f->of->size);
        free(items);
        *AT(char *, object, f->offset) = NULL;
        *AT(size_t, object, f->count_offset) = 0;
        break;
    default:
        break;
    }
}

void model_clear(const struct model *model, void *object)
{
    for (size_t i = 0; i < model->n_fields; i++)
        clear_field(&model->fields[i], object);
}

/* Nested parts of a patch come from the client too: unknown members in them are refused. */
static bool part_is_known(const struct field *f, const json_t *part, struct err *err)
{
    char pointer[64];
    size_t i;
    json_t *item;

    if (f->type == FIELD_OBJECT && json_is_object(part) &&
        !members_are_known(f->of, part, MODEL_CLIENT, FIELD_READ_ONLY, err)) {
        snprintf(pointer, sizeof pointer, "/%s", f->name);
        return err_under(err, pointer);
    }
    if (f->type != FIELD_LIST || !json_is_array(part))
        return true;
    json_array_foreach ((json_t *)part, i, item)
        if (!members_are_known(f->of, item, MODEL_CLIENT, FIELD_READ_ONLY, err)) {
            snprintf(pointer, sizeof pointer, "/%s/%zu", f->name, i);
            return err_under(err, pointer);
        }
    return true;
}

bool model_patch(const struct model *model, const void *object, const json_t *patch, void *out,
                 struct err *err)
{
    CLEANUP(json_decrefp) json_t *merged = NULL;

    if (!json_is_object(patch))
        return err_field(err, ERR_INVALID, "", "a merge patch is a JSON object");
    if (!members_are_known(model, patch, MODEL_CLIENT, FIELD_READ_ONLY | FIELD_CREATE_ONLY, err))
        return false;
    merged = model_encode(model, object);
    json_merge(merged, patch);
    for (size_t i = 0; i < model->n_fields; i++)
        if (!part_is_known(&model->fields[i], json_object_get(patch, model->fields[i].name), err))
            return false;
    return model_decode(model, merged, MODEL_STORED, out, err);
}

json_t *model_pending(const struct model *model, const void *active, const void *wanted)
{
    json_t *pending = NULL;

    for (size_t i = 0; i < model->n_fields; i++) {
        const struct field *f = &model->fields[i];
        CLEANUP(json_decrefp) json_t *is = NULL, *will = NULL;

        if (!(f->flags & FIELD_NEXT_START))
            continue;
        is = encode_field(f, active);
        will = encode_field(f, wanted);
        if (json_equal(is, will))
            continue;
        if (!pending)
            pending = json_object();
        json_object_set(pending, f->name, will);
    }
    return pending;
}
