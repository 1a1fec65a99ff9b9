/* Operations: core's jobs as resources. */
#include "api/operations.h"

#include "api/etag.h"
#include "api/handlers.h"
#include "api/server.h"
#include "core/base/clock.h"
#include "core/job/job.h"

#include <stdio.h>
#include <string.h>

#define PATH "/api/v1/operations/%s"

bool operation_ref(const struct request *rq, struct uuid *id, struct err *err)
{
    return uuid_parse(rq->ref, id) || job_missing_fail(rq->ref, err);
}

/* The error of an operation that has failed, as that of the request that waited for it. */
static bool fail_with(struct request *rq, const json_t *op, struct err *err)
{
    const json_t *error = json_object_get(op, "error");
    const char *detail = json_get_text(error, "detail");
    const char *pointer = json_get_text(error, "pointer");

    snprintf(rq->reply.instance, sizeof rq->reply.instance, PATH, json_get_text(op, "id"));
    if (!error || json_is_null(error))
        return err_set(err, ERR_CANCELLED, "the operation was cancelled");
    return err_field(err, err_from_slug(json_get_text(error, "code")), pointer ? pointer : "", "%s",
                     detail ? detail : "the operation failed");
}

static bool reply_created(struct request *rq, const char *vm_id, struct err *err)
{
    struct etag etag = {0};
    json_t *vm = vm_show(rq->api->config.core, vm_id, &etag, err);

    if (!vm)
        return false;
    reply_header(rq, "Location", "/api/v1/vms/%s", vm_id);
    etag_reply(rq, &etag);
    return reply_json(rq, 201, vm);
}

static bool makes_a_vm(const char *kind)
{
    return str_eq(kind, "vm.create") || str_eq(kind, "vm.clone") || str_eq(kind, "vm.clone-full");
}

static bool reply_ended(struct request *rq, json_t *take, struct err *err)
{
    CLEANUP(json_decrefp) json_t *op = take;
    const char *vm_id = json_get_text(json_object_get(op, "object"), "id");

    if (!str_eq(json_get_text(op, "state"), "succeeded"))
        return fail_with(rq, op, err);
    if (makes_a_vm(json_get_text(op, "kind")) && vm_id)
        return reply_created(rq, vm_id, err);
    return reply_json(rq, 200, TAKE(op));
}

static bool has_ended(const json_t *op)
{
    const char *state = json_get_text(op, "state");

    return str_eq(state, "succeeded") || str_eq(state, "failed") || str_eq(state, "cancelled");
}

json_t *operation_wait(struct stream *stream, const struct uuid *id, int64_t until_ms,
                       stream_still *still, struct err *err)
{
    struct core *core = stream->api->config.core;
    CLEANUP(json_decrefp) json_t *op = NULL;
    int64_t left, slice_ends_ms;

    do { /* a wait that is cut short had its reason: vmmd ends */
        left = clock_left_ms(until_ms);
        left = left < STREAM_SLICE_MS ? left : STREAM_SLICE_MS;
        slice_ends_ms = clock_mono_ms() + left;
        json_decrefp(&op);
        op = left ? job_wait(core, id, left, err) : job_show(core, id, err);
        if (!op || !still(stream, err))
            return NULL;
    } while (left && !has_ended(op) && clock_left_ms(slice_ends_ms) == 0);
    return TAKE(op);
}

/* The same until that many seconds from now. */
static json_t *wait_s_for(struct request *rq, struct stream *stream, const struct uuid *id,
                          uint64_t wait_s, stream_still *still, struct err *err)
{
    stream_init(stream, rq);
    return operation_wait(stream, id, wait_s ? clock_mono_ms() + (int64_t)wait_s * 1000 : 0, still,
                          err);
}

bool operation_reply(struct request *rq, const struct uuid *id, struct err *err)
{
    CLEANUP(stream_forget) struct stream stream = {0};
    unsigned wait_s = request_prefer_wait_s(rq);
    json_t *op;

    idem_release(rq); /* who asks the same meanwhile need not wait as well */
    op = wait_s_for(rq, &stream, id, wait_s, stream_is_known, err);
    if (!op)
        return false;
    if (wait_s && has_ended(op))
        return reply_ended(rq, op, err);
    reply_header(rq, "Location", PATH, UUID_STR(id));
    reply_header(rq, "Retry-After", "1");
    return reply_json(rq, 202, op);
}

bool operations_list(struct request *rq, struct err *err)
{
    CLEANUP(query_clear) struct query query = {0};
    CLEANUP(strbuf_clear) struct strbuf text = {0};

    if (!request_list(rq, &schema_operation, &query, err) ||
        !query_narrow(&query, "state", request_query(rq, "state"), err) ||
        !job_list(rq->api->config.core, request_query(rq, "vm"), &query, &text, err))
        return false;
    return reply_text(rq, &text);
}

bool operations_get(struct request *rq, struct err *err)
{
    CLEANUP(stream_forget) struct stream stream = {0};
    CLEANUP(json_decrefp) json_t *op = NULL;
    uint64_t wait_s;
    struct uuid id;

    if (!request_query_u64(rq, "wait", 0, REQUEST_MAX_WAIT_S, 0, &wait_s, err) ||
        !operation_ref(rq, &id, err))
        return false;
    op = wait_s_for(rq, &stream, &id, wait_s, stream_may, err);
    return op && request_show(rq, &schema_operation, TAKE(op), err);
}

bool operations_cancel(struct request *rq, struct err *err)
{
    struct core *core = rq->api->config.core;
    struct origin origin;
    struct uuid id;
    json_t *op;

    if (!request_no_arguments(rq, err) || !operation_ref(rq, &id, err) ||
        !request_origin(rq, &origin, err) || !job_cancel(core, &id, &origin, err))
        return false;
    if (origin.dry_run)
        return reply_dry_run(rq, NULL, NULL);
    op = job_show(core, &id, err);
    reply_header(rq, "Retry-After", "1");
    return op && reply_json(rq, 202, op);
}
