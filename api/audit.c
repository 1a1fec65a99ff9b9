/* The audit trail: GET /audit. How records come about is in trail.c and core/event/audit.c. */
#include "core/event/audit.h"
#include "api/handlers.h"
#include "api/server.h"

bool audit_records(struct request *rq, struct err *err)
{
    CLEANUP(query_clear) struct query query = {0};
    CLEANUP(strbuf_clear) struct strbuf text = {0};

    return request_list(rq, &schema_audit, &query, err) &&
           audit_list(rq->api->config.core, &query, &text, err) && reply_text(rq, &text);
}
