/* The audit trail as clients read it: schema AuditRecord. See audit.h. */
#include "core/event/audit.h"

#include "core/base/log.h"
#include "core/core/parts.h"
#include "core/model/chain.h"
#include "core/model/page.h"

#include <string.h>

static json_t *view(const struct audit_row *row)
{
    struct err err = {0};
    json_t *v = json_read(row->body, strlen(row->body), &err);
    char text[CHAIN_TEXT];

    if (!v) /* damaged: shown, so that it can be seen that its hash is wrong */
        v = json_object();
    json_put_u64(v, "seq", row->seq);
    chain_text(row->prev, text);
    json_put_text(v, "prev", text);
    chain_text(row->hash, text);
    json_put_text(v, "hash", text);
    return v;
}

/* Offered in the page's own order, so that it need not be read to the end. */
static bool offer(void *ctx, const struct audit_row *row)
{
    struct page *page = ctx;

    page_offer(page, view(row));
    return !page_is_full(page);
}

/* The number that the page begins behind, for the orders that are by number. */
static uint64_t begins_behind(const struct query *q)
{
    const json_t *key = q->after ? json_array_get(q->after, 0) : NULL;

    return json_is_integer(key) ? (uint64_t)json_integer_value(key) : 0;
}

bool audit_list(struct core *core, const struct query *query, struct strbuf *out, struct err *err)
{
    bool by_number =
        query->order[0].place.n_steps == 1 && strcmp(query->order[0].place.steps[0], "seq") == 0;
    CLEANUP(page_clear) struct page page = {.query = query};

    if (!by_number)
        return err_field(err, ERR_INVALID, "?order/0", "the audit trail is ordered by seq or -seq");
    if (!store_audit_each(core->store, begins_behind(query), query->order[0].down, offer, &page,
                          err))
        return false;
    page_write(&page, NULL, NULL, out);
    return true;
}

static bool keep_head(void *ctx, const struct audit_row *row)
{
    struct audit_head *head = ctx;

    head->seq = row->seq;
    chain_text(row->hash, head->hash);
    return false;
}

bool audit_head(struct core *core, struct audit_head *out, struct err *err)
{
    *out = (struct audit_head){0};
    return store_audit_each(core->store, 0, true, keep_head, out, err);
}

/* The log lies elsewhere than the database: who changed the trail from its first record on would
 * have to change what the log said as well. */
void audit_log_head(struct core *core, uint64_t *logged)
{
    struct audit_head head;
    struct err err = {0};

    if (!audit_head(core, &head, &err))
        log_warn("the audit trail cannot be read: %s", err.detail);
    else if (head.seq != *logged)
        log_info("audit trail: record %llu has the hash %s", (unsigned long long)head.seq,
                 head.hash);
    *logged = head.seq;
}
