/* Reading filter, fields, order and page token: see query.h. Every byte of them is a stranger's. */
#include "core/model/query.h"

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/model/place.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static bool wrong(struct err *err, const char *parameter, unsigned part, const char *what)
{
    char pointer[32];

    snprintf(pointer, sizeof pointer, "?%s/%u", parameter, part);
    return err_field(err, ERR_INVALID, pointer, "%s", what);
}

/* ---- values ---- */

bool query_time(const char *text, int64_t *wall_ms)
{
    static const char *const formats[] = {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d"};
    int64_t ms = 0;

    for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
        struct tm tm = {0};
        const char *rest = strptime(text, formats[i], &tm);

        if (!rest)
            continue;
        if (i == 0 && *rest == '.')
            for (int64_t unit = 100; *++rest >= '0' && *rest <= '9'; unit /= 10)
                ms += unit * (*rest - '0');
        if (i < 2 && *rest++ != 'Z')
            return false;
        *wall_ms = (int64_t)timegm(&tm) * 1000 + ms;
        return !*rest;
    }
    return false;
}

static bool is_number(const char *text, int64_t *out)
{
    bool negative = *text == '-';
    uint64_t n;

    if (!str_to_u64(text + negative, &n) || n > INT64_MAX)
        return false;
    *out = negative ? -(int64_t)n : (int64_t)n;
    return true;
}

static bool is_word(const struct query_term *t, unsigned part, struct err *err)
{
    CLEANUP(strbuf_clear) struct strbuf list = {0};

    for (unsigned i = 0; t->place.words[i]; i++) {
        if (strcmp(t->place.words[i], t->value) == 0)
            return true;
        strbuf_addf(&list, "%s%s", i ? ", " : "must be one of: ", t->place.words[i]);
    }
    return wrong(err, "filter", part, list.data ? list.data : "has no values");
}

/* The value fits the member's type, and the comparison makes sense for it. */
static bool check_value(struct query_term *t, unsigned part, struct err *err)
{
    bool equality = t->op == QUERY_EQ || t->op == QUERY_NE;
    enum query_type type = t->place.type;

    if (t->op == QUERY_LIKE && type != QUERY_TEXT && type != QUERY_PROSE && type != QUERY_WORD)
        return wrong(err, "filter", part, "~= compares texts only");
    if (!equality && t->op != QUERY_LIKE && type != QUERY_NUMBER && type != QUERY_TIME)
        return wrong(err, "filter", part, "<, <=, > and >= compare numbers and times only");
    if (!*t->value)
        return equality || wrong(err, "filter", part, "a value is missing");
    if (type == QUERY_WORD && equality)
        return is_word(t, part, err);
    if (type == QUERY_NUMBER)
        return is_number(t->value, &t->number) ||
               wrong(err, "filter", part, "the value must be a whole number");
    if (type == QUERY_BOOL)
        return strcmp(t->value, "true") == 0 || strcmp(t->value, "false") == 0 ||
               wrong(err, "filter", part, "the value must be true or false");
    if (type == QUERY_TIME)
        return query_time(t->value, &t->number) ||
               wrong(err, "filter", part,
                     "the value must be a time such as 2026-11-21T01:02:03Z or 2026-11-21");
    return true;
}

/* ---- filter ---- */

static const struct {
    const char *text;
    enum query_op op;
} ops[] = {{"==", QUERY_EQ}, {"!=", QUERY_NE}, {"~=", QUERY_LIKE}, {">=", QUERY_GE},
           {"<=", QUERY_LE}, {">", QUERY_GT},  {"<", QUERY_LT}};

static bool read_op(const char **p, enum query_op *out)
{
    for (size_t i = 0; i < ARRAY_LEN(ops); i++)
        if (str_starts(*p, ops[i].text)) {
            *p += strlen(ops[i].text);
            *out = ops[i].op;
            return true;
        }
    return false;
}

/* Up to the next ',' that has no '\' in front. Of a pattern the backslashes stay: they mean the
 * same there. NULL when too long. */
static char *read_value(const char **p, bool is_pattern)
{
    char value[QUERY_VALUE_BYTES + 1];
    size_t n = 0;

    for (; **p && **p != ','; (*p)++) {
        bool quoted = **p == '\\' && (*p)[1];

        if (quoted && !is_pattern)
            (*p)++;
        if (n + 2 >= sizeof value)
            return NULL;
        value[n++] = **p;
        if (quoted && is_pattern)
            value[n++] = *++*p;
    }
    value[n] = 0;
    return str_dup(value);
}

static bool read_term(const struct query_schema *schema, const char **p, unsigned part,
                      struct query_term *t, struct err *err)
{
    size_t n;

    *p += strspn(*p, " ");
    n = strcspn(*p, "=!~<>,");
    if (!place_find(schema, *p, n, PLACE_COMPARED, &t->place, err)) {
        char pointer[32];
        snprintf(pointer, sizeof pointer, "?filter/%u", part);
        return err_under(err, pointer);
    }
    *p += n;
    if (!read_op(p, &t->op))
        return wrong(err, "filter", part,
                     "a comparison is expected: MEMBER, one of == != ~= >= <= > <, VALUE");
    t->value = read_value(p, t->op == QUERY_LIKE);
    if (!t->value)
        return wrong(err, "filter", part, "a value has up to 254 bytes");
    return check_value(t, part, err);
}

static bool read_filter(const char *p, struct query *q, struct err *err)
{
    while (p && *p) {
        if (q->n_terms == QUERY_TERMS)
            return wrong(err, "filter", q->n_terms, "a filter has up to 16 comparisons");
        q->n_terms++;
        if (!read_term(q->schema, &p, q->n_terms - 1, &q->terms[q->n_terms - 1], err))
            return false;
        if (*p == ',' && !*++p)
            return wrong(err, "filter", q->n_terms, "a comparison is expected after ','");
    }
    return true;
}

/* ---- fields and order ---- */

static bool read_fields(const char *p, struct query *q, struct err *err)
{
    char pointer[32];

    if (!p)
        return true;
    for (;; p++) {
        size_t n = strcspn(p, ",");

        if (q->n_fields == QUERY_FIELDS)
            return wrong(err, "fields", q->n_fields, "up to 32 members can be chosen");
        if (!place_find(q->schema, p, n, PLACE_SHOWN, &q->fields[q->n_fields], err)) {
            snprintf(pointer, sizeof pointer, "?fields/%u", q->n_fields);
            return err_under(err, pointer);
        }
        q->n_fields++;
        p += n;
        if (!*p)
            return true;
    }
}

/* Ties are settled in the direction of the last member that was asked for. */
static bool add_tie(struct query *q, struct err *err)
{
    bool down = q->order[q->n_order - 1].down;

    for (const char *p = q->schema->tie; *p; p += *p == ',') {
        size_t n = strcspn(p, ",");

        if (!place_find(q->schema, p, n, PLACE_ORDERED, &q->order[q->n_order].place, err))
            return false;
        q->order[q->n_order++].down = down;
        p += n;
    }
    return true;
}

static bool read_order(const char *p, struct query *q, struct err *err)
{
    char pointer[32];

    for (;; p++) {
        bool down = *p == '-';
        size_t n = strcspn(p += down, ",");

        if (q->n_order == QUERY_ORDER)
            return wrong(err, "order", q->n_order, "up to 3 members can be ordered by");
        if (!place_find(q->schema, p, n, PLACE_ORDERED, &q->order[q->n_order].place, err)) {
            snprintf(pointer, sizeof pointer, "?order/%u", q->n_order);
            return err_under(err, pointer);
        }
        q->order[q->n_order++].down = down;
        p += n;
        if (!*p)
            break;
    }
    return add_tie(q, err);
}

/* ---- page token: hex digits of ["hash", key…] ---- */

static uint64_t hash_text(uint64_t hash, const char *text)
{
    for (const char *p = text ? text : ""; *p; p++)
        hash = (hash ^ (unsigned char)*p) * 0x100000001b3;
    return (hash ^ 0xff) * 0x100000001b3;
}

static json_t *hash_json(const struct query *q)
{
    char hex[17];

    snprintf(hex, sizeof hex, "%016" PRIx64, q->hash);
    return json_string(hex);
}

char *query_token(const struct query *q, const json_t *keys)
{
    CLEANUP(json_decrefp) json_t *list = json_array();
    CLEANUP(mem_freep) char *text = NULL;
    char *hex;

    json_array_append_new(list, hash_json(q));
    json_array_extend(list, (json_t *)keys);
    text = json_write(list);
    hex = mem_alloc(2 * strlen(text) + 1);
    str_hex((const uint8_t *)text, strlen(text), hex);
    return hex;
}

static bool is_token(const struct query *q, const json_t *list)
{
    CLEANUP(json_decrefp) json_t *hash = hash_json(q);
    json_t *key;
    size_t i;

    json_array_foreach ((json_t *)list, i, key)
        if (json_is_array(key) || json_is_object(key))
            return false;
    return json_array_size(list) == q->n_order + 1 && json_equal(json_array_get(list, 0), hash) &&
           !json_is_null(json_array_get(list, q->n_order));
}

static bool read_token(const char *hex, struct query *q, struct err *err)
{
    CLEANUP(json_decrefp) json_t *list = NULL;
    CLEANUP(mem_freep) char *text = NULL;
    struct err ignored = {0};
    size_t len;

    if (!hex)
        return true;
    len = strlen(hex) / 2;
    text = mem_alloc(len + 1);
    if (str_unhex(hex, (uint8_t *)text, len) && strlen(hex) == 2 * len)
        list = json_read(text, len, &ignored);
    if (!list || !is_token(q, list))
        return err_field(err, ERR_INVALID, "?page_token",
                         "this page_token is not one of ours, or of a list with another filter or "
                         "order: begin with the first page");
    json_array_remove(list, 0);
    q->after = TAKE(list);
    return true;
}

/* ---- all together ---- */

bool query_parse(const struct query_schema *schema, const struct query_ask *ask, struct query *out,
                 struct err *err)
{
    const char *order = ask->order ? ask->order : schema->order;

    *out = (struct query){.schema = schema,
                          .page_size = ask->page_size,
                          .default_order = strcmp(order, schema->order) == 0};
    out->hash =
        hash_text(hash_text(hash_text(0xcbf29ce484222325, schema->object), ask->filter), order);
    if (read_filter(ask->filter, out, err) && read_fields(ask->fields, out, err) &&
        read_order(order, out, err) && read_token(ask->page_token, out, err))
        return true;
    query_clear(out);
    return false;
}

bool query_narrow(struct query *q, const char *member, const char *value, struct err *err)
{
    struct query_term *t = &q->terms[q->n_terms];
    char pointer[32];

    if (!value)
        return true;
    q->n_terms++;
    t->op = QUERY_EQ;
    t->value = str_dup(value);
    snprintf(pointer, sizeof pointer, "?%s", member);
    if (!place_find(q->schema, member, strlen(member), PLACE_COMPARED, &t->place, err) ||
        !check_value(t, 0, err)) {
        str_copy(err->field, sizeof err->field, pointer);
        return false;
    }
    return true;
}

void query_clear(struct query *q)
{
    for (unsigned i = 0; i < ARRAY_LEN(q->terms); i++) {
        place_clear(&q->terms[i].place);
        free(q->terms[i].value);
    }
    for (unsigned i = 0; i < ARRAY_LEN(q->order); i++)
        place_clear(&q->order[i].place);
    for (unsigned i = 0; i < ARRAY_LEN(q->fields); i++)
        place_clear(&q->fields[i]);
    json_decref(q->after);
    *q = (struct query){0};
}

bool query_looks_at(const struct query *q, const char *member)
{
    for (unsigned i = 0; i < q->n_terms; i++)
        if (strcmp(q->terms[i].place.steps[0], member) == 0)
            return true;
    for (unsigned i = 0; i < q->n_order; i++)
        if (strcmp(q->order[i].place.steps[0], member) == 0)
            return true;
    return false;
}

bool query_shows(const struct query *q, const char *member)
{
    for (unsigned i = 0; i < q->n_fields; i++)
        if (strcmp(q->fields[i].steps[0], member) == 0)
            return true;
    return q->n_fields == 0;
}

bool query_admits(const struct query *q, const char *member, const char *value)
{
    for (unsigned i = 0; i < q->n_terms; i++) {
        const struct query_term *t = &q->terms[i];
        bool equal = strcmp(t->value, value) == 0;
        if (t->place.n_steps != 1 || strcmp(t->place.steps[0], member) != 0)
            continue;
        if ((t->op == QUERY_EQ && !equal) || (t->op == QUERY_NE && equal))
            return false;
    }
    return true;
}
