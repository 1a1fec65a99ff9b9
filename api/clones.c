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
    if (!vm_clone(rq->api->config.core, rq->ref, &ask, &origin, &op, &vm, err) &&
        !idem_lost_race(rq, &origin, "operation", &op, err))
        return false;
    return origin.dry_run ? reply_dry_run(rq, NULL, NULL) : operation_reply(rq, &op, err);
}
