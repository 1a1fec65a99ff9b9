/* One verb for many VMs: POST /vms/actions/<verb>. Which verb it is says the route; what becomes of
 * each VM is one item of the reply. */
#include "core/vm/bulk.h"
#include "api/handlers.h"
#include "api/idem.h"
#include "api/operations.h"
#include "api/rate.h"
#include "api/server.h"
#include "api/trail.h"
#include "core/base/clock.h"
#include "core/job/job.h"
#include "core/vm/vm.h"

struct bulk_args {
    json_t *vms;        /* NULL: not given */
    char *filter;       /* NULL: not given */
    uint32_t timeout_s; /* 0: not given */
};

#define FIELDS                                                                                     \
    {.name = "vms",                                                                                \
     .type = FIELD_WORDS,                                                                          \
     .offset = offsetof(struct bulk_args, vms),                                                    \
     .min = 1,                                                                                     \
     .max = VM_BULK_MAX,                                                                           \
     .help = "ids or names, each VM once"},                                                        \
    {                                                                                              \
        .name = "filter", .type = FIELD_TEXT, .offset = offsetof(struct bulk_args, filter),        \
        .min = 1, .max = 1024, .help = "all VMs that a list with this filter shows"                \
    }
static const struct field fields[] = {FIELDS};
static const struct field shutdown_fields[] = {FIELDS,
                                               {.name = "timeout_s",
                                                .type = FIELD_U32,
                                                .offset = offsetof(struct bulk_args, timeout_s),
                                                .min = 1,
                                                .max = 3600,
                                                .help = "grace before an operation gives up"}};
static const struct model bulk_model = {"BulkArguments", sizeof(struct bulk_args), fields,
                                        ARRAY_LEN(fields)};
static const struct model shutdown_model = {"BulkShutdown", sizeof(struct bulk_args),
                                            shutdown_fields, ARRAY_LEN(shutdown_fields)};

static void args_clear(struct bulk_args *args)
{
    model_clear(&bulk_model, args);
}

static bool decode(struct request *rq, struct bulk_args *args, struct err *err)
{
    const bool shutdown = rq->route->arg == VM_VERB_SHUTDOWN;

    if (!request_decode(rq, shutdown ? &shutdown_model : &bulk_model, args, err))
        return false;
    return !args->vms != !args->filter ||
           err_field(err, ERR_INVALID, args->vms ? "/filter" : "/vms",
                     "say which VMs by either vms, a list of ids and names, or filter");
}

/* Puts the operation in the place of its id, as it is at 'until' at the latest. */
static void show_operation(struct stream *stream, json_t *item, int64_t until_ms)
{
    const char *text = json_get_text(item, "operation");
    struct err err = {0};
    struct uuid id;
    json_t *op;

    if (!text || !uuid_parse(text, &id))
        return;
    op = operation_wait(stream, &id, until_ms, stream_is_known, &err);
    json_put(item, "operation", op);
    json_put_err(item, "error", &err);
}

static bool reply_items(struct request *rq, json_t *take, struct err *err)
{
    CLEANUP(stream_forget) struct stream stream = {0};
    unsigned wait_s = request_prefer_wait_s(rq);
    int64_t until_ms = wait_s ? clock_mono_ms() + wait_s * 1000 : 0;
    json_t *item;
    size_t i;

    idem_release(rq);
    stream_init(&stream, rq);
    json_array_foreach (json_object_get(take, "items"), i, item)
        show_operation(&stream, item, until_ms);
    return reply_json(rq, 200, take);
}

static unsigned operations_in(const json_t *done)
{
    unsigned n = 0;
    json_t *item;
    size_t i;

    json_array_foreach (json_object_get(done, "items"), i, item)
        n += json_get_text(item, "operation") != NULL;
    return n;
}

static bool reply_repeated(struct request *rq, const struct origin *origin, struct err *err)
{
    json_t *note = core_idem_note(rq->api->config.core, origin, err);

    return note && reply_items(rq, note, err);
}

static json_t *act(struct request *rq, const struct bulk_args *args, const struct origin *origin,
                   struct err *err)
{
    CLEANUP(json_decrefp) json_t *refs = json_incref(args->vms), *verb_args = NULL;
    struct core *core = rq->api->config.core;

    if (!refs)
        refs = vm_matching(core, args->filter, VM_BULK_MAX, err);
    if (args->timeout_s) {
        verb_args = json_object();
        json_put_u64(verb_args, "timeout_s", args->timeout_s);
    }
    return refs ? vm_act_all(core, refs, (enum vm_verb)rq->route->arg, verb_args, origin, err)
                : NULL;
}

/* What may not be is an item's error here, but for the audit trail a refusal as anywhere: one of a
 * request. */
static void note_refusal(struct request *rq, const json_t *done)
{
    const json_t *item;
    size_t i;

    json_array_foreach (json_object_get(done, "items"), i, item) {
        const json_t *error = json_object_get(item, "error");
        struct err why = {0};

        if (!str_eq(json_get_text(error, "code"), err_slug(ERR_FORBIDDEN)))
            continue;
        err_set(&why, ERR_FORBIDDEN, "%s", json_get_text(error, "detail"));
        trail_refusal(rq, &why);
        return;
    }
}

bool vms_act_all(struct request *rq, struct err *err)
{
    CLEANUP(args_clear) struct bulk_args args = {0};
    struct origin origin;
    struct uuid none;
    json_t *done;
    bool replay;

    if (!decode(rq, &args, err) || !request_origin(rq, &origin, err) ||
        !idem_find(rq, &origin, "batch", &replay, &none, err))
        return false;
    if (replay)
        return reply_repeated(rq, &origin, err);
    done = act(rq, &args, &origin, err);
    if (!done)
        return idem_lost_race(rq, &origin, "batch", &none, err) && reply_repeated(rq, &origin, err);
    rate_owe(rq, operations_in(done));
    if (!origin.dry_run) {
        note_refusal(rq, done);
        return reply_items(rq, done, err);
    }
    json_put_bool(done, "dry_run", true);
    return reply_json(rq, 200, done);
}
