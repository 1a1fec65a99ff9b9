/* Templates: configurations that VMs are made from (POST /vms {"template": …}). */
#include "core/template/template.h"

#include "api/etag.h"
#include "api/handlers.h"
#include "api/idem.h"
#include "api/server.h"

#include <inttypes.h>

bool templates_list(struct request *rq, struct err *err)
{
    CLEANUP(query_clear) struct query query = {0};
    CLEANUP(strbuf_clear) struct strbuf text = {0};

    if (!request_list(rq, &schema_template, &query, err))
        return false;
    template_list(rq->api->config.core, &query, &text);
    return reply_text(rq, &text);
}

/* The template with its tag. */
static json_t *show(struct request *rq, const char *ref, struct err *err)
{
    uint64_t revision = 0;
    json_t *template = template_show(rq->api->config.core, ref, &revision, err);

    if (template)
        reply_header(rq, "ETag", "\"%" PRIu64 "\"", revision);
    return template;
}

bool templates_get(struct request *rq, struct err *err)
{
    json_t *template = show(rq, rq->ref, err);

    return template && request_show(rq, &schema_template, template, err);
}

static bool reply_created(struct request *rq, const struct uuid *id, struct err *err)
{
    json_t *template = show(rq, UUID_STR(id), err);

    if (!template)
        return false;
    reply_header(rq, "Location", "/api/v1/templates/%s", UUID_STR(id));
    return reply_json(rq, 201, template);
}

bool templates_create(struct request *rq, struct err *err)
{
    CLEANUP(json_decrefp) json_t *body = request_json(rq, err);
    struct origin origin;
    struct uuid id = {0};
    bool replay;

    if (!body || !request_origin(rq, &origin, err) ||
        !idem_find(rq, &origin, "template", &replay, &id, err))
        return false;
    if (!replay && !template_create(rq->api->config.core, body, &origin, &id, err) &&
        !idem_lost_race(rq, &origin, "template", &id, err))
        return false;
    return origin.dry_run ? reply_dry_run(rq, NULL, NULL) : reply_created(rq, &id, err);
}

bool templates_edit(struct request *rq, struct err *err)
{
    CLEANUP(json_decrefp) json_t *patch = request_json(rq, err);
    struct core *core = rq->api->config.core;
    struct etag wanted = {0};
    struct origin origin;
    struct uuid id = {0};
    bool conditional, replay;
    json_t *template;

    if (!patch || !etag_if_match(rq, &conditional, &wanted, err) ||
        !request_origin(rq, &origin, err) || !idem_find(rq, &origin, "template", &replay, &id, err))
        return false;
    if (!replay &&
        !template_edit(core, rq->ref, patch, conditional ? &wanted.revision : NULL, &origin, &id,
                       err) &&
        !idem_lost_race(rq, &origin, "template", &id, err))
        return false;
    if (origin.dry_run)
        return reply_dry_run(rq, NULL, NULL);
    template = show(rq, UUID_STR(&id), err);
    return template && reply_json(rq, 200, template);
}

bool templates_delete(struct request *rq, struct err *err)
{
    struct etag wanted = {0};
    struct origin origin;
    bool conditional;

    if (!etag_if_match(rq, &conditional, &wanted, err) || !request_origin(rq, &origin, err) ||
        !template_delete(rq->api->config.core, rq->ref, conditional ? &wanted.revision : NULL,
                         &origin, err))
        return false;
    return origin.dry_run ? reply_dry_run(rq, NULL, NULL) : reply_empty(rq, 204);
}
