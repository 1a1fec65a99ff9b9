/* Images to import: the files in the folders "imports" of the pool roots, and those on their way.
 */
#include "api/handlers.h"
#include "api/intake.h"
#include "api/server.h"
#include "core/disk/upload.h"

#include <inttypes.h>

static const char *name_of(const struct request *rq)
{
    return rq->segments[rq->n_segments - 1];
}

bool imports_list(struct request *rq, struct err *err)
{
    CLEANUP(query_clear) struct query query = {0};
    CLEANUP(strbuf_clear) struct strbuf text = {0};

    if (!request_list(rq, &schema_import, &query, err))
        return false;
    import_list(rq->api->config.core, &query, &text);
    return reply_text(rq, &text);
}

/* With how much has come as a header as well, for those who ask by HEAD. */
static bool reply_import(struct request *rq, unsigned status, struct err *err)
{
    json_t *v = import_show(rq->api->config.core, rq->ref, name_of(rq), err);

    if (!v)
        return false;
    reply_header(rq, "Upload-Offset", "%" PRIu64, json_get_u64(v, "uploaded_bytes", 0));
    if (status == 201)
        reply_header(rq, "Location", "/api/v1/imports/%s/%s", rq->ref, name_of(rq));
    return reply_json(rq, status, v);
}

bool imports_get(struct request *rq, struct err *err)
{
    return reply_import(rq, 200, err);
}

/* The body has been taken: intake.c. Others may go on with the next piece before the reply is
 * read. */
bool imports_put(struct request *rq, struct err *err)
{
    struct upload *upload = intake_take(rq);
    bool whole = false;
    const bool ok = upload_end(upload, &whole, err);

    upload_close(upload);
    return ok && reply_import(rq, whole ? 201 : 200, err);
}

bool imports_delete(struct request *rq, struct err *err)
{
    struct origin origin;

    if (!request_origin(rq, &origin, err) ||
        !import_remove(rq->api->config.core, rq->ref, name_of(rq), &origin, err))
        return false;
    return origin.dry_run ? reply_dry_run(rq, NULL, NULL) : reply_empty(rq, 204);
}
