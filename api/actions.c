/* Verbs on VMs: POST /vms/{id}/actions/<verb>. Which verb it is says the route. */
#include "api/handlers.h"
#include "api/idem.h"
#include "api/operations.h"
#include "api/server.h"
#include "core/vm/vm.h"

struct shutdown_args {
    uint32_t timeout_s; /* 0: not given */
};

static const struct field shutdown_fields[] = {
    {.name = "timeout_s",
     .type = FIELD_U32,
     .offset = offsetof(struct shutdown_args, timeout_s),
     .min = 1,
     .max = 3600,
     .help = "grace before the operation gives up"},
};
static const struct model shutdown_model = {"ShutdownArguments", sizeof(struct shutdown_args),
                                            shutdown_fields, ARRAY_LEN(shutdown_fields)};

struct flatten_args {
    double bandwidth; /* NAN: not given */
};
static const struct field flatten_fields[] = {
    BANDWIDTH_FIELD(struct flatten_args, bandwidth, BANDWIDTH_HELP),
};
static const struct model flatten_model = {"FlattenArguments", sizeof(struct flatten_args),
                                           flatten_fields, ARRAY_LEN(flatten_fields)};

static bool flatten_arguments(struct request *rq, json_t **out, struct err *err)
{
    struct flatten_args args = {0};

    if (!request_decode(rq, &flatten_model, &args, err))
        return false;
    if (args.bandwidth >= 0) {
        *out = json_object();
        json_put_u64(*out, "bandwidth", (uint64_t)args.bandwidth);
    }
    return true;
}

/* '*out' is what core is given; NULL when nothing was said. */
static bool arguments(struct request *rq, json_t **out, struct err *err)
{
    struct shutdown_args args = {0};

    if (rq->route->arg == VM_VERB_FLATTEN)
        return flatten_arguments(rq, out, err);
    if (rq->route->arg != VM_VERB_SHUTDOWN)
        return request_no_arguments(rq, err);
    if (!request_decode(rq, &shutdown_model, &args, err))
        return false;
    if (args.timeout_s) {
        *out = json_object();
        json_put_u64(*out, "timeout_s", args.timeout_s);
    }
    return true;
}

bool vms_act(struct request *rq, struct err *err)
{
    CLEANUP(json_decrefp) json_t *args = NULL;
    struct origin origin;
    struct uuid op = {0};
    bool replay;

    if (!arguments(rq, &args, err) || !request_origin(rq, &origin, err) ||
        !idem_find(rq, &origin, "operation", &replay, &op, err))
        return false;
    if (replay)
        return operation_reply(rq, &op, err);
    if (!vm_act(rq->api->config.core, rq->ref, (enum vm_verb)rq->route->arg, args, &origin, &op,
                err) &&
        !idem_lost_race(rq, &origin, "operation", &op, err))
        return false;
    return origin.dry_run ? reply_dry_run(rq, NULL, NULL) : operation_reply(rq, &op, err);
}
