/* Cloning VMs: POST /vms/{id}/actions/clone. */
#include "api/handlers.h"
#include "api/idem.h"
#include "api/operations.h"
#include "api/server.h"
#include "core/snap/clone.h"

struct clone_args {
    char *name, *snapshot, *pool;
    bool full, start;
    double bandwidth; /* NAN: not given */
};
static const struct field clone_fields[] = {
    {.name = "name",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED,
     .offset = offsetof(struct clone_args, name),
     .min = 1,
     .max = NAME_MAX_BYTES,
     .check = check_name,
     .help = "of the new VM"},
    {.name = "snapshot",
     .type = FIELD_TEXT,
     .offset = offsetof(struct clone_args, snapshot),
     .min = 1,
     .max = NAME_MAX_BYTES,
     .check = check_line,
     .help = "name or id; one is taken when none is named"},
    {.name = "pool",
     .type = FIELD_TEXT,
     .offset = offsetof(struct clone_args, pool),
     .min = 1,
     .max = NAME_MAX_BYTES,
     .check = check_line,
     .help = "name or id, for the new files; else where those of the VM are"},
    {.name = "full",
     .type = FIELD_BOOL,
     .offset = offsetof(struct clone_args, full),
     .help = "copies everything, so that it shares no file with the VM"},
    {.name = "start",
     .type = FIELD_BOOL,
     .offset = offsetof(struct clone_args, start),
     .help = "starts the new VM"},
    BANDWIDTH_FIELD(
        struct clone_args, bandwidth,
        "of a full one: bytes a second, 0 for no limit; chosen so that the guest hardly "
        "notices when not given"),
};
static const struct model clone_model = {"CloneArguments", sizeof(struct clone_args), clone_fields,
                                         ARRAY_LEN(clone_fields)};

static void clone_args_clear(struct clone_args *args)
{
    model_clear(&clone_model, args);
}

/* What was refused says all that stands in its way. */
static bool refused(struct request *rq, const struct clone_ask *ask, const struct err *err)
{
    struct err none = {0};

    if (reply_is_blocked(err))
        reply_blockers(rq, vm_clone_plan(rq->api->config.core, rq->ref, ask, &none), err);
    return false;
}

static bool answer_plan(struct request *rq, const struct clone_ask *ask, struct err *err)
{
    json_t *plan = vm_clone_plan(rq->api->config.core, rq->ref, ask, err);

    return plan && reply_dry_run(rq, "plan", plan);
}

bool vms_clone(struct request *rq, struct err *err)
{
    CLEANUP(clone_args_clear) struct clone_args args = {0};
    struct clone_ask ask;
    struct uuid op = {0}, vm;
    struct origin origin;
    bool replay;

    if (!request_decode(rq, &clone_model, &args, err) || !request_origin(rq, &origin, err) ||
        !idem_find(rq, &origin, "operation", &replay, &op, err))
        return false;
    if (replay)
        return operation_reply(rq, &op, err);
    ask = (struct clone_ask){args.name, args.snapshot, args.pool,
                             args.full, args.start,    .limited = args.bandwidth >= 0};
    if (ask.limited && !ask.full)
        return err_field(err, ERR_INVALID, "/bandwidth", "only a full clone copies anything");
    if (ask.limited)
        ask.bytes_per_s = (uint64_t)args.bandwidth;
    if (origin.dry_run)
        return answer_plan(rq, &ask, err);
    if (!vm_clone(rq->api->config.core, rq->ref, &ask, &origin, &op, &vm, err) &&
        !idem_lost_race(rq, &origin, "operation", &op, err))
        return refused(rq, &ask, err);
    return operation_reply(rq, &op, err);
}
