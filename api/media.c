/* The media that CD drives can have. */
#include "core/disk/media.h"

#include "api/handlers.h"
#include "api/server.h"

bool media_get(struct request *rq, struct err *err)
{
    CLEANUP(query_clear) struct query query = {0};
    CLEANUP(strbuf_clear) struct strbuf text = {0};

    if (!request_list(rq, &schema_medium, &query, err))
        return false;
    media_list(rq->api->config.core, &query, &text);
    return reply_text(rq, &text);
}
