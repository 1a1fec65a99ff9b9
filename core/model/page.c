/* Applying a query to objects: see page.h. */
#include "core/model/page.h"

#include "core/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- filter ---- */

/* '*' is any run of characters, '\' takes the next one as it is. Linear but for stepping back to
 * the last '*', so that no pattern takes more than length times length. */
static bool glob(const char *pattern, const char *text)
{
    const char *star = NULL, *from = NULL;

    while (*text) {
        const char *literal = pattern + (*pattern == '\\' && pattern[1]);

        if (*pattern == '*') {
            star = pattern++;
            from = text;
        } else if (*pattern && *literal == *text) {
            pattern = literal + 1;
            text++;
        } else if (star) {
            pattern = star + 1;
            text = ++from;
        } else {
            return false;
        }
    }
    return pattern[strspn(pattern, "*")] == 0;
}

static bool compare(enum query_op op, int64_t is, int64_t wanted)
{
    return op == QUERY_EQ   ? is == wanted
           : op == QUERY_NE ? is == wanted /* its caller turns it round */
           : op == QUERY_GE ? is >= wanted
           : op == QUERY_LE ? is <= wanted
           : op == QUERY_GT ? is > wanted
                            : is < wanted;
}

static bool text_fits(const struct query_term *t, const json_t *v)
{
    char number[24] = "";
    const char *is = json_string_value(v) ? json_string_value(v) : number;

    if (json_is_integer(v))
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(v));
    return t->op == QUERY_LIKE ? glob(t->value, is) : strcmp(t->value, is) == 0;
}

/* One value against a term; NE is the caller's. */
static bool fits(const struct query_term *t, const json_t *v)
{
    int64_t at = 0;

    if (!*t->value)
        return !v || json_is_null(v) || (json_is_string(v) && !json_string_length(v));
    switch (t->place.type) {
    case QUERY_NUMBER:
        return json_is_integer(v) && compare(t->op, json_integer_value(v), t->number);
    case QUERY_BOOL:
        return json_is_boolean(v) && json_is_true(v) == (strcmp(t->value, "true") == 0);
    case QUERY_TIME:
        return json_is_string(v) && query_time(json_string_value(v), &at) &&
               compare(t->op, at, t->number);
    default:
        return text_fits(t, v);
    }
}

static bool any_fits(const struct query_term *t, const json_t *v, unsigned step)
{
    json_t *item;
    size_t i;

    if (!json_is_array(v))
        return step == t->place.n_steps
                   ? fits(t, v)
                   : any_fits(t, json_object_get(v, t->place.steps[step]), step + 1);
    json_array_foreach ((json_t *)v, i, item)
        if (any_fits(t, item, step))
            return true;
    return false;
}

bool query_matches(const struct query *q, const json_t *view)
{
    for (unsigned i = 0; i < q->n_terms; i++)
        if (any_fits(&q->terms[i], view, 0) == (q->terms[i].op == QUERY_NE))
            return false;
    return true;
}

/* ---- order ---- */

static int rank(const json_t *v)
{
    return !v || json_is_null(v) ? 0 : json_is_boolean(v) ? 1 : json_is_integer(v) ? 2 : 3;
}

static int key_cmp(const json_t *a, const json_t *b)
{
    json_int_t x, y;

    if (rank(a) != rank(b))
        return rank(a) - rank(b);
    if (rank(a) == 3)
        return json_is_string(a) && json_is_string(b)
                   ? strcmp(json_string_value(a), json_string_value(b))
                   : 0;
    x = rank(a) == 1 ? json_is_true(a) : json_integer_value(a);
    y = rank(a) == 1 ? json_is_true(b) : json_integer_value(b);
    return (x > y) - (x < y);
}

static int keys_cmp(const struct query *q, const json_t *a, const json_t *b)
{
    for (unsigned i = 0; i < q->n_order; i++) {
        int order = key_cmp(json_array_get(a, i), json_array_get(b, i));
        if (order)
            return q->order[i].down ? -order : order;
    }
    return 0;
}

static json_t *keys_of(const struct query *q, const json_t *view)
{
    json_t *keys = json_array();

    for (unsigned i = 0; i < q->n_order; i++) {
        const struct query_place *p = &q->order[i].place;
        json_t *v = (json_t *)view;

        for (unsigned s = 0; s < p->n_steps; s++)
            v = json_object_get(v, p->steps[s]);
        json_array_append_new(keys, v ? json_incref(v) : json_null());
    }
    return keys;
}

/* ---- the page ---- */

static size_t place_of(const struct page *page, const json_t *keys)
{
    size_t low = 0, high = page->n;

    /* most sources offer in order, or nearly so */
    if (high && keys_cmp(page->query, page->items[high - 1].keys, keys) <= 0)
        return high;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (keys_cmp(page->query, page->items[middle].keys, keys) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void item_clear(struct page_item *item)
{
    json_decref(item->keys);
    json_decref(item->view);
}

static void insert(struct page *page, size_t at, struct page_item item)
{
    size_t limit = (size_t)page->query->page_size + 1;

    if (page->n == limit) {
        item_clear(&page->items[--page->n]);
    } else if (page->n == page->cap) {
        page->cap = page->cap ? 2 * page->cap : 16;
        page->cap = page->cap < limit ? page->cap : limit;
        page->items = mem_resize(page->items, page->cap, sizeof *page->items);
    }
    memmove(page->items + at + 1, page->items + at, (page->n - at) * sizeof *page->items);
    page->items[at] = item;
    page->n++;
}

void page_offer(struct page *page, json_t *view)
{
    const struct query *q = page->query;
    struct page_item item = {.view = view};
    size_t at;

    if (query_matches(q, view)) {
        item.keys = keys_of(q, view);
        at = place_of(page, item.keys);
        if (at <= q->page_size && (!q->after || keys_cmp(q, item.keys, q->after) > 0)) {
            insert(page, at, item);
            return;
        }
    }
    item_clear(&item);
}

bool page_is_full(const struct page *page)
{
    return page->n > page->query->page_size;
}

static bool show_offered(void *ctx, const json_t *view, struct strbuf *out)
{
    const struct page *page = ctx;
    CLEANUP(json_decrefp)
    json_t *narrowed = page->query->n_fields ? query_project(page->query, view) : NULL;
    CLEANUP(mem_freep) char *text = json_write(narrowed ? narrowed : view);

    if (text)
        strbuf_adds(out, text);
    return text != NULL;
}

void page_end(const struct query *q, const json_t *keys, struct strbuf *out)
{
    CLEANUP(mem_freep) char *token = keys ? query_token(q, keys) : NULL;

    strbuf_adds(out, "],\"next_page_token\":");
    if (token)
        strbuf_addf(out, "\"%s\"}", token);
    else
        strbuf_adds(out, "null}");
}

void page_write(struct page *page, page_show *show, void *ctx, struct strbuf *out)
{
    size_t n = page_is_full(page) ? page->query->page_size : page->n;
    bool comma = false;

    strbuf_adds(out, PAGE_BEGIN);
    for (size_t i = 0; i < n; i++) {
        size_t before = out->len;

        if (comma)
            strbuf_adds(out, ",");
        if (show ? show(ctx, page->items[i].view, out)
                 : show_offered(page, page->items[i].view, out))
            comma = true;
        else
            out->data[out->len = before] = 0;
    }
    page_end(page->query, page_is_full(page) ? page->items[n - 1].keys : NULL, out);
}

void page_clear(struct page *page)
{
    for (size_t i = 0; i < page->n; i++)
        item_clear(&page->items[i]);
    free(page->items);
    *page = (struct page){0};
}

/* ---- fields ---- */

/* Copies what 'steps' name from 'from' into 'to', which is of the same kind. */
static void copy_part(json_t *to, const json_t *from, const char *const *steps, unsigned n)
{
    json_t *part = json_object_get(from, steps[0]), *have = json_object_get(to, steps[0]), *item;
    size_t i;

    if (!part)
        return;
    if (n == 1 || (!json_is_object(part) && !json_is_array(part))) {
        json_object_set(to, steps[0], part);
        return;
    }
    if (have == part)
        return; /* shown as a whole already */
    if (!have) {
        have = json_is_array(part) ? json_array() : json_object();
        json_object_set_new(to, steps[0], have);
    }
    if (json_is_object(part)) {
        copy_part(have, part, steps + 1, n - 1);
        return;
    }
    json_array_foreach (part, i, item) {
        if (json_array_size(have) <= i)
            json_array_append_new(have, json_object());
        copy_part(json_array_get(have, i), item, steps + 1, n - 1);
    }
}

json_t *query_project(const struct query *q, const json_t *view)
{
    json_t *out = json_object();

    for (unsigned i = 0; i < q->n_fields; i++)
        copy_part(out, view, q->fields[i].steps, q->fields[i].n_steps);
    return out;
}
