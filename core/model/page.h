/* A page of a list in the making: objects are offered in any order, the page keeps those that the
 * query wants, in its order, and is written as {"items":[…],"next_page_token":…}. Keyset: a page
 * begins behind the keys of the last object of the page before, so it does not matter what was made
 * or deleted in between. Needs memory for one page, whatever is offered. Pure.
 *
 *     CLEANUP(page_clear) struct page page = {.query = q};
 *     for each object, in any order: page_offer(&page, view(object));
 *     page_write(&page, NULL, NULL, out);
 *
 * A source that knows the page's order may begin at query->after and stop at page_is_full(). */
#pragma once
#include "core/base/str.h"
#include "core/model/query.h"

struct page_item {
    json_t *keys; /* one an entry of query->order */
    json_t *view; /* as offered */
};

struct page {
    const struct query *query;
    struct page_item *items; /* in order; one more than a page, to know whether there is another */
    size_t n, cap;
};

/* Takes 'view', which has at least what query_looks_at(). */
void page_offer(struct page *page, json_t *view);
/* True when objects that come after all that were offered cannot change anything. */
bool page_is_full(const struct page *page);
/* 'show' appends an object's JSON text to 'out' and returns false when it is gone meanwhile; NULL:
 * what was offered is shown, narrowed to query->fields. */
typedef bool page_show(void *ctx, const json_t *view, struct strbuf *out);
void page_write(struct page *page, page_show *show, void *ctx, struct strbuf *out);
void page_clear(struct page *page);

/* For a source that writes the objects itself, in the query's order: PAGE_BEGIN, the objects with
 * commas between them, and the end with the last object's keys, NULL when no more come. */
#define PAGE_BEGIN "{\"items\":["
void page_end(const struct query *q, const json_t *keys, struct strbuf *out);

/* Does the filter let this object through? */
bool query_matches(const struct query *q, const json_t *view);
/* A copy of 'view' with only query->fields; of lists, each element's. */
json_t *query_project(const struct query *q, const json_t *view);
