/* The media that CD drives can have. */
#include "core/disk/media.h"

#include "api/handlers.h"
#include "api/server.h"

bool media_get(struct request *rq, struct err *err)
{
    struct page page;

    return request_page(rq, &page, err) &&
           reply_json(rq, 200, media_list(rq->api->config.core, page.size, page.token));
}
