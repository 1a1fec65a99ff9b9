/* Storage pools, and the disks that lie in them. */
#include "api/handlers.h"
#include "api/idem.h"
#include "api/server.h"
#include "core/disk/pool.h"

struct pool_spec {
    char *name;
    char *root;
};

static const struct field pool_fields[] = {
    {.name = "name",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED,
     .offset = offsetof(struct pool_spec, name),
     .min = 1,
     .max = NAME_MAX_BYTES,
     .check = check_name,
     .help = "unique"},
    {.name = "root",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED,
     .offset = offsetof(struct pool_spec, root),
     .min = 1,
     .max = NAME_MAX_BYTES,
     .check = check_name,
     .help = "id of a configured root; GET /host lists them"},
};
static const struct model pool_model = {"PoolSpec", sizeof(struct pool_spec), pool_fields,
                                        ARRAY_LEN(pool_fields)};

static void pool_spec_clear(struct pool_spec *spec)
{
    model_clear(&pool_model, spec);
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
    CLEANUP(pool_spec_clear) struct pool_spec spec = {0};
    struct origin origin;
    struct uuid id = {0};
    bool replay;

    if (!request_decode(rq, &pool_model, &spec, err) || !request_origin(rq, &origin, err) ||
        !idem_find(rq, &origin, "pool", &replay, &id, err))
        return false;
    if (!replay && !pool_create(rq->api->config.core, spec.name, spec.root, &origin, &id, err) &&
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

bool disks_list(struct request *rq, struct err *err)
{
    CLEANUP(query_clear) struct query query = {0};
    CLEANUP(strbuf_clear) struct strbuf text = {0};

    if (!request_list(rq, &schema_disk, &query, err) ||
        !disk_list(rq->api->config.core, request_query(rq, "vm"), &query, &text, err))
        return false;
    return reply_text(rq, &text);
}

bool disks_get(struct request *rq, struct err *err)
{
    json_t *disk = disk_show(rq->api->config.core, rq->ref, err);

    return disk && request_show(rq, &schema_disk, disk, err);
}
