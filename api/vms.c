/* VMs: the collection and the objects. What is done with them is in actions.c and console.c. */
#include "api/etag.h"
#include "api/handlers.h"
#include "api/idem.h"
#include "api/operations.h"
#include "api/server.h"
#include "core/base/mem.h"

bool vms_list(struct request *rq, struct err *err)
{
    CLEANUP(query_clear) struct query query = {0};
    CLEANUP(strbuf_clear) struct strbuf text = {0};

    if (!request_list(rq, &schema_vm, &query, err))
        return false;
    vm_list(rq->api->config.core, &query, &text);
    return reply_text(rq, &text);
}

bool vms_create(struct request *rq, struct err *err)
{
    CLEANUP(vm_spec_clear) struct vm_spec spec = {0};
    CLEANUP(json_decrefp) json_t *body = NULL, *shown = NULL;
    struct uuid op = {0}, vm = {0};
    struct core *core = rq->api->config.core;
    struct origin origin;
    bool replay, start = false;

    body = request_json(rq, err);
    if (!body || !request_origin(rq, &origin, err) ||
        !idem_find(rq, &origin, "operation", &replay, &op, err))
        return false;
    if (replay) /* whatever became of the template meanwhile */
        return operation_reply(rq, &op, err);
    if (!vm_create_decode(core, body, &spec, &start, err))
        return false;
    if (origin.dry_run)
        shown = model_encode(&vm_model, &spec);
    if (!vm_create(core, &spec, start, &origin, &op, &vm, err) &&
        !idem_lost_race(rq, &origin, "operation", &op, err))
        return false;
    return origin.dry_run ? reply_dry_run(rq, "spec", TAKE(shown)) : operation_reply(rq, &op, err);
}

/* A part of a VM, by ?fields. */
static bool get_part(struct request *rq, struct err *err)
{
    struct etag etag = {0};
    json_t *vm = vm_show(rq->api->config.core, rq->ref, &etag, err);

    if (!vm || !request_show(rq, &schema_vm, vm, err))
        return false;
    etag_reply(rq, &etag);
    return !etag_if_none_match(rq, &etag) || reply_empty(rq, 304);
}

bool vms_get(struct request *rq, struct err *err)
{
    CLEANUP(mem_freep) char *vm = NULL;
    struct etag etag = {0};
    size_t len = 0;

    if (request_query(rq, "fields"))
        return get_part(rq, err);
    vm = vm_show_text(rq->api->config.core, rq->ref, &etag, &len, err);
    if (!vm)
        return false;
    etag_reply(rq, &etag);
    return etag_if_none_match(rq, &etag) ? reply_empty(rq, 304)
                                         : reply_bytes(rq, "application/json", TAKE(vm), len);
}

bool vms_edit(struct request *rq, struct err *err)
{
    CLEANUP(json_decrefp) json_t *patch = NULL;
    struct etag wanted = {0}, etag = {0};
    struct core *core = rq->api->config.core;
    struct origin origin;
    struct uuid made = {0};
    bool conditional, replay;
    json_t *vm;

    patch = request_json(rq, err);
    if (!patch || !etag_if_match(rq, &conditional, &wanted, err) ||
        !request_origin(rq, &origin, err) || !idem_find(rq, &origin, "vm", &replay, &made, err))
        return false;
    vm = replay ? vm_show(core, UUID_STR(&made), &etag, err)
                : vm_edit(core, rq->ref, patch, conditional ? &wanted : NULL, &origin, &etag, err);
    if (!vm && !replay && idem_lost_race(rq, &origin, "vm", &made, err))
        vm = vm_show(core, UUID_STR(&made), &etag, err);
    if (!vm)
        return false;
    etag_reply(rq, &etag);
    return origin.dry_run ? reply_dry_run(rq, "vm", vm) : reply_json(rq, 200, vm);
}

bool vms_delete(struct request *rq, struct err *err)
{
    struct etag wanted = {0};
    struct origin origin;
    struct uuid op = {0};
    bool conditional;

    if (!etag_if_match(rq, &conditional, &wanted, err) || !request_origin(rq, &origin, err) ||
        !vm_delete(rq->api->config.core, rq->ref, conditional ? &wanted : NULL, &origin, &op, err))
        return false;
    return origin.dry_run ? reply_dry_run(rq, NULL, NULL) : operation_reply(rq, &op, err);
}
