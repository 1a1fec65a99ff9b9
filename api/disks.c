/* Disks: made below their VM, each a resource of its own by its id. */
#include "api/handlers.h"
#include "api/idem.h"
#include "api/operations.h"
#include "api/server.h"
#include "core/disk/import.h"
#include "core/disk/pool.h"

struct grow_args {
    uint64_t size_bytes;
};
static const struct field grow_fields[] = {
    {.name = "size_bytes",
     .type = FIELD_U64,
     .flags = FIELD_REQUIRED,
     .offset = offsetof(struct grow_args, size_bytes),
     .min = 1u << 20,
     .max = 64ull << 40,
     .help = "what the guest sees then, a multiple of 512; more than now"},
};
static const struct model grow_model = {"GrowArguments", sizeof(struct grow_args), grow_fields,
                                        ARRAY_LEN(grow_fields)};

bool disks_list(struct request *rq, struct err *err)
{
    CLEANUP(query_clear) struct query query = {0};
    CLEANUP(strbuf_clear) struct strbuf text = {0};

    if (!request_list(rq, &schema_disk, &query, err) ||
        !disk_list(rq->api->config.core, request_query(rq, "vm"), &query, &text, err))
        return false;
    return reply_text(rq, &text);
}

bool disks_list_of_vm(struct request *rq, struct err *err)
{
    CLEANUP(query_clear) struct query query = {0};
    CLEANUP(strbuf_clear) struct strbuf text = {0};

    if (!request_list(rq, &schema_disk, &query, err) ||
        !disk_list(rq->api->config.core, rq->ref, &query, &text, err))
        return false;
    return reply_text(rq, &text);
}

bool disks_get(struct request *rq, struct err *err)
{
    json_t *disk = disk_show(rq->api->config.core, rq->ref, err);

    return disk && request_show(rq, &schema_disk, disk, err);
}

/* What all operations here end with. */
static bool answer(struct request *rq, const struct origin *origin, struct uuid *op, bool ok,
                   struct err *err)
{
    if (!ok && !idem_lost_race(rq, origin, "operation", op, err))
        return false;
    return origin->dry_run ? reply_dry_run(rq, NULL, NULL) : operation_reply(rq, op, err);
}

/* Images to import are files of the host, which no grant selects. */
static bool may_import(const struct request *rq, const json_t *body, struct err *err)
{
    return !json_object_get(body, "source") || rq->who.rights & RIGHT_BIT(RIGHT_DATA_READ) ||
           err_field(err, ERR_FORBIDDEN, "/source",
                     "to import an image one needs data-read by role, as to export one");
}

/* What the image is, and what would come of it. */
static bool show_plan(struct request *rq, const json_t *body, const struct origin *origin,
                      struct err *err)
{
    json_t *plan = disk_import_plan(rq->api->config.core, rq->ref, body, origin, err);

    return plan && reply_dry_run(rq, "plan", plan);
}

bool disks_create(struct request *rq, struct err *err)
{
    CLEANUP(json_decrefp) json_t *body = request_json(rq, err);
    struct origin origin;
    struct uuid op = {0};
    bool replay;

    if (!body || !may_import(rq, body, err) || !request_origin(rq, &origin, err) ||
        !idem_find(rq, &origin, "operation", &replay, &op, err))
        return false;
    if (replay)
        return operation_reply(rq, &op, err);
    if (origin.dry_run && json_object_get(body, "source"))
        return show_plan(rq, body, &origin, err);
    return answer(rq, &origin, &op,
                  disk_add(rq->api->config.core, rq->ref, body, &origin, &op, err), err);
}

bool disks_delete(struct request *rq, struct err *err)
{
    struct origin origin;
    struct uuid op = {0};

    if (!request_origin(rq, &origin, err) ||
        !disk_remove(rq->api->config.core, rq->ref, &origin, &op, err))
        return false;
    return origin.dry_run ? reply_dry_run(rq, NULL, NULL) : operation_reply(rq, &op, err);
}

bool disks_grow(struct request *rq, struct err *err)
{
    struct grow_args args = {0};
    struct origin origin;
    struct uuid op = {0};
    bool replay;

    if (!request_decode(rq, &grow_model, &args, err) || !request_origin(rq, &origin, err) ||
        !idem_find(rq, &origin, "operation", &replay, &op, err))
        return false;
    if (replay)
        return operation_reply(rq, &op, err);
    return answer(rq, &origin, &op,
                  disk_grow(rq->api->config.core, rq->ref, args.size_bytes, &origin, &op, err),
                  err);
}

bool disks_edit(struct request *rq, struct err *err)
{
    CLEANUP(json_decrefp) json_t *patch = request_json(rq, err);
    struct core *core = rq->api->config.core;
    struct origin origin;
    struct uuid vm = {0};
    json_t *disk;
    bool replay;

    if (!patch || !request_origin(rq, &origin, err) ||
        !idem_find(rq, &origin, "vm", &replay, &vm, err))
        return false;
    disk = replay ? NULL : disk_edit(core, rq->ref, patch, &origin, err);
    if (!disk && (replay || idem_lost_race(rq, &origin, "vm", &vm, err)))
        disk = disk_show(core, rq->ref, err);
    if (!disk)
        return false;
    if (!origin.dry_run)
        return reply_json(rq, 200, disk);
    json_decref(disk);
    return reply_dry_run(rq, NULL, NULL);
}
