/* YAML to JSON: see yaml_read.h. libyaml splits the text into events; here they become values.
 *
 * Aliases are not only refused because of what they can grow to: nobody who reads the file of a VM
 * should have to look elsewhere for what a member is. */
#include "cli/yaml_read.h"

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct reader {
    yaml_parser_t parser;
    yaml_event_t event; /* the present one; cleared by next() and at the end */
    unsigned depth, values;
    struct err *err;
};

static json_t *read_value(struct reader *r);

static bool wrong(struct reader *r, yaml_mark_t at, const char *what)
{
    return err_set(r->err, ERR_MALFORMED, "the YAML text is wrong at line %zu, column %zu: %s",
                   at.line + 1, at.column + 1, what);
}

static bool next(struct reader *r)
{
    yaml_event_delete(&r->event);
    if (yaml_parser_parse(&r->parser, &r->event))
        return true;
    memset(&r->event, 0, sizeof r->event);
    return wrong(r, r->parser.problem_mark,
                 r->parser.problem ? r->parser.problem : "it cannot be read");
}

static bool within_limits(struct reader *r)
{
    if (r->depth > JSON_MAX_DEPTH)
        return wrong(r, r->event.start_mark, "it is nested too deeply");
    if (++r->values > JSON_MAX_MEMBERS)
        return wrong(r, r->event.start_mark, "it has too many values");
    return true;
}

/* ---- scalars ---- */

static bool is_one_of(const char *text, const char *a, const char *b, const char *c)
{
    return str_eq(text, a) || str_eq(text, b) || str_eq(text, c);
}

/* [-+]?[0-9]+, 0o17, 0xff; false for what is none or does not fit. */
static bool read_integer(const char *s, json_int_t *out)
{
    const char *digits = s + (*s == '-' || *s == '+');
    int base = str_starts(s, "0x") ? 16 : str_starts(s, "0o") ? 8 : 10;
    const char *from = base == 10 ? s : s + 2;
    char *end;

    if (!isxdigit((unsigned char)(base == 10 ? *digits : *from)))
        return false;
    errno = 0;
    *out = strtoll(from, &end, base);
    return !*end && !errno;
}

static bool read_real(const char *s, double *out)
{
    char *end;

    if (s[strspn(s, "0123456789+-.eE")] || !strpbrk(s, "0123456789"))
        return false;
    *out = strtod(s, &end);
    return !*end && isfinite(*out);
}

static json_t *read_plain(const char *s)
{
    json_int_t integer;
    double real;

    if (!*s || str_eq(s, "~") || is_one_of(s, "null", "Null", "NULL"))
        return json_null();
    if (is_one_of(s, "true", "True", "TRUE"))
        return json_true();
    if (is_one_of(s, "false", "False", "FALSE"))
        return json_false();
    if (read_integer(s, &integer))
        return json_integer(integer);
    if (read_real(s, &real))
        return json_real(real);
    return json_string(s);
}

static json_t *read_scalar(struct reader *r)
{
    const char *text = (const char *)r->event.data.scalar.value;
    size_t len = r->event.data.scalar.length;
    json_t *value = NULL;

    if (r->event.data.scalar.tag || r->event.data.scalar.anchor)
        wrong(r, r->event.start_mark, "tags and anchors are not taken; write the value itself");
    else if (!str_is_utf8(text, len))
        wrong(r, r->event.start_mark, "a text must be UTF-8 without NUL");
    else if (r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
        value = read_plain(text);
    else
        value = json_string(text);
    return value;
}

/* ---- collections ---- */

static json_t *read_sequence(struct reader *r)
{
    CLEANUP(json_decrefp) json_t *list = json_array();

    if (r->event.data.sequence_start.tag || r->event.data.sequence_start.anchor) {
        wrong(r, r->event.start_mark, "tags and anchors are not taken; write the value itself");
        return NULL;
    }
    for (;;) {
        json_t *value;

        if (!next(r))
            return NULL;
        if (r->event.type == YAML_SEQUENCE_END_EVENT)
            return TAKE(list);
        value = read_value(r);
        if (!value)
            return NULL;
        json_array_append_new(list, value);
    }
}

/* The key that the present event is; owned by the caller. */
static char *read_key(struct reader *r, const json_t *object)
{
    const char *key = (const char *)r->event.data.scalar.value;

    if (r->event.type != YAML_SCALAR_EVENT || r->event.data.scalar.tag ||
        r->event.data.scalar.anchor || !str_is_utf8(key, r->event.data.scalar.length))
        wrong(r, r->event.start_mark, "a key must be a text");
    else if (str_eq(key, "<<") && r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
        wrong(r, r->event.start_mark, "merge keys (<<) are not taken");
    else if (json_object_get(object, key))
        wrong(r, r->event.start_mark, "this key stands there twice");
    else
        return str_dup(key);
    return NULL;
}

static json_t *read_mapping(struct reader *r)
{
    CLEANUP(json_decrefp) json_t *object = json_object();

    if (r->event.data.mapping_start.tag || r->event.data.mapping_start.anchor) {
        wrong(r, r->event.start_mark, "tags and anchors are not taken; write the value itself");
        return NULL;
    }
    for (;;) {
        CLEANUP(mem_freep) char *key = NULL;
        json_t *value;

        if (!next(r))
            return NULL;
        if (r->event.type == YAML_MAPPING_END_EVENT)
            return TAKE(object);
        key = read_key(r, object);
        value = key && next(r) ? read_value(r) : NULL;
        if (!value)
            return NULL;
        json_put(object, key, value);
    }
}

/* What begins at the present event; ends at its last one. */
static json_t *read_value(struct reader *r)
{
    json_t *value = NULL;

    r->depth++;
    if (!within_limits(r))
        return NULL;
    if (r->event.type == YAML_SCALAR_EVENT)
        value = read_scalar(r);
    else if (r->event.type == YAML_SEQUENCE_START_EVENT)
        value = read_sequence(r);
    else if (r->event.type == YAML_MAPPING_START_EVENT)
        value = read_mapping(r);
    else
        wrong(r, r->event.start_mark, "aliases (*) are not taken; write the value itself");
    r->depth--;
    return value;
}

static json_t *read_all(struct reader *r)
{
    CLEANUP(json_decrefp) json_t *documents = json_array();

    for (;;) {
        json_t *value;

        if (!next(r))
            return NULL;
        if (r->event.type == YAML_STREAM_END_EVENT)
            return TAKE(documents);
        if (r->event.type != YAML_DOCUMENT_START_EVENT)
            continue; /* the stream's start, or a document's end */
        if (!next(r))
            return NULL;
        value = read_value(r);
        if (!value)
            return NULL;
        if (json_is_null(value))
            json_decref(value);
        else
            json_array_append_new(documents, value);
    }
}

json_t *yaml_read(const char *text, size_t len, struct err *err)
{
    struct reader r = {.err = err};
    json_t *documents;

    if (!yaml_parser_initialize(&r.parser))
        abort(); /* out of memory */
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
    documents = read_all(&r);
    yaml_event_delete(&r.event);
    yaml_parser_delete(&r.parser);
    return documents;
}
