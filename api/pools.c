/* Storage pools, and what lies in them. */
#include "api/handlers.h"
#include "api/idem.h"
#include "api/server.h"
#include "core/disk/pool.h"

static void pool_settings_clear(struct pool_settings *settings)
{
    model_clear(&pool_model, settings);
}

bool pools_list(struct request *rq, struct err *err)
{
    CLEANUP(query_clear) struct query query = {0};
    CLEANUP(strbuf_clear) struct strbuf text = {0};

    if (!request_list(rq, &schema_pool, &query, err))
        return false;
    pool_list(rq->api->config.core, &query, &text);
    return reply_text(rq, &text);
}

bool pools_get(struct request *rq, struct err *err)
{
    json_t *pool = pool_show(rq->api->config.core, rq->ref, err);

    return pool && request_show(rq, &schema_pool, pool, err);
}

static bool reply_created(struct request *rq, const struct uuid *id, struct err *err)
{
    json_t *pool = pool_show(rq->api->config.core, UUID_STR(id), err);

    reply_header(rq, "Location", "/api/v1/pools/%s", UUID_STR(id));
    return pool && reply_json(rq, 201, pool);
}

bool pools_create(struct request *rq, struct err *err)
{
    CLEANUP(pool_settings_clear) struct pool_settings spec = {0};
    struct origin origin;
    struct uuid id = {0};
    bool replay;

    if (!request_decode(rq, &pool_model, &spec, err) || !request_origin(rq, &origin, err) ||
        !idem_find(rq, &origin, "pool", &replay, &id, err))
        return false;
    if (!replay && !pool_create_as(rq->api->config.core, &spec, &origin, &id, err) &&
        !idem_lost_race(rq, &origin, "pool", &id, err))
        return false;
    return origin.dry_run ? reply_dry_run(rq, NULL, NULL) : reply_created(rq, &id, err);
}

bool pools_delete(struct request *rq, struct err *err)
{
    struct origin origin;

    if (!request_origin(rq, &origin, err) ||
        !pool_delete(rq->api->config.core, rq->ref, &origin, err))
        return false;
    return origin.dry_run ? reply_dry_run(rq, NULL, NULL) : reply_empty(rq, 204);
}

bool pools_edit(struct request *rq, struct err *err)
{
    CLEANUP(json_decrefp) json_t *patch = request_json(rq, err);
    struct origin origin;
    json_t *pool;

    if (!patch || !request_origin(rq, &origin, err))
        return false;
    pool = pool_edit(rq->api->config.core, rq->ref, patch, &origin, err);
    if (!pool)
        return false;
    if (!origin.dry_run)
        return reply_json(rq, 200, pool);
    json_decref(pool);
    return reply_dry_run(rq, NULL, NULL);
}

bool pools_files(struct request *rq, struct err *err)
{
    CLEANUP(query_clear) struct query query = {0};
    CLEANUP(strbuf_clear) struct strbuf text = {0};

    if (!request_list(rq, &schema_pool_file, &query, err) ||
        !pool_files(rq->api->config.core, rq->ref, &query, &text, err))
        return false;
    return reply_text(rq, &text);
}
