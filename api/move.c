/* POST /vms/{id}/actions/move-storage, and how fast an operation may be. */
#include "core/move/move.h"
#include "api/handlers.h"
#include "api/idem.h"
#include "api/operations.h"
#include "api/server.h"
#include "core/base/mem.h"
#include "core/job/job.h"
#include "core/model/vm.h"

#include <string.h>

#define DISKS_MAX 64 /* as many as a VM may have, and some */

struct move_args {
    char *pool;
    json_t *disks;
    char *format;
    double bandwidth; /* NAN: not given */
    bool delete_source;
};

static bool check_format(const char *text, const char **why)
{
    for (int i = 0; disk_format_names[i]; i++)
        if (strcmp(text, disk_format_names[i]) == 0)
            return true;
    *why = "must be one of the formats of disks";
    return false;
}

static const struct field move_fields[] = {
    {.name = "pool",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED,
     .offset = offsetof(struct move_args, pool),
     .min = 1,
     .max = NAME_MAX_BYTES,
     .check = check_line,
     .help = "where to: name or id"},
    {.name = "disks",
     .type = FIELD_WORDS,
     .offset = offsetof(struct move_args, disks),
     .min = 1,
     .max = DISKS_MAX,
     .help = "ids or positions; all when not given"},
    {.name = "format",
     .type = FIELD_TEXT,
     .offset = offsetof(struct move_args, format),
     .min = 1,
     .max = 16,
     .check = check_format,
     .help = "of disks without snapshots; as it is when not given"},
    BANDWIDTH_FIELD(struct move_args, bandwidth, BANDWIDTH_HELP),
    {.name = "delete_source",
     .type = FIELD_BOOL,
     .offset = offsetof(struct move_args, delete_source),
     .fallback = "true",
     .help = "false leaves the old files behind, under other names"},
};
static const struct model move_model = {"MoveStorageArguments", sizeof(struct move_args),
                                        move_fields, ARRAY_LEN(move_fields)};

static void move_args_clear(struct move_args *args)
{
    model_clear(&move_model, args);
}

static int format_of(const char *name)
{
    for (int i = 0; name && disk_format_names[i]; i++)
        if (strcmp(name, disk_format_names[i]) == 0)
            return i;
    return -1;
}

static struct move_request request_of(const struct move_args *args, const char **disks)
{
    struct move_request request = {.pool = args->pool,
                                   .disks = disks,
                                   .n_disks = json_array_size(args->disks),
                                   .format = format_of(args->format),
                                   .limited = args->bandwidth >= 0,
                                   .keep_source = !args->delete_source};

    if (request.limited)
        request.bytes_per_s = (uint64_t)args->bandwidth;
    for (size_t i = 0; i < request.n_disks && i < DISKS_MAX; i++)
        disks[i] = json_string_value(json_array_get(args->disks, i));
    return request;
}

/* What was refused says all that stands in its way. */
static bool refused(struct request *rq, const struct move_request *request,
                    const struct origin *origin, const struct err *err)
{
    struct origin dry = *origin;
    struct err none = {0};
    json_t *plan = NULL;
    struct uuid op;

    dry.dry_run = true;
    if (reply_is_blocked(err) &&
        vm_move_storage(rq->api->config.core, rq->ref, request, &dry, &op, &plan, &none))
        reply_blockers(rq, plan, err);
    return false;
}

bool storage_move(struct request *rq, struct err *err)
{
    CLEANUP(move_args_clear) struct move_args args = {0};
    const char *disks[DISKS_MAX];
    struct move_request request;
    json_t *plan = NULL;
    struct origin origin;
    struct uuid op = {0};
    bool replay;

    if (!request_decode(rq, &move_model, &args, err) || !request_origin(rq, &origin, err) ||
        !idem_find(rq, &origin, "operation", &replay, &op, err))
        return false;
    if (replay)
        return operation_reply(rq, &op, err);
    request = request_of(&args, disks);
    if (!vm_move_storage(rq->api->config.core, rq->ref, &request, &origin, &op, &plan, err) &&
        !idem_lost_race(rq, &origin, "operation", &op, err))
        return refused(rq, &request, &origin, err);
    return origin.dry_run ? reply_dry_run(rq, "plan", plan) : operation_reply(rq, &op, err);
}

/* ---- PATCH /operations/{id} ---- */

struct limit_args {
    uint64_t bandwidth;
};
static const struct field limit_fields[] = {
    {.name = "bandwidth",
     .type = FIELD_U64,
     .flags = FIELD_REQUIRED,
     .offset = offsetof(struct limit_args, bandwidth),
     .max = BANDWIDTH_MAX,
     .help = "bytes a second; 0: no limit"},
};
static const struct model limit_model = {"OperationPatch", sizeof(struct limit_args), limit_fields,
                                         ARRAY_LEN(limit_fields)};

bool operations_limit(struct request *rq, struct err *err)
{
    struct core *core = rq->api->config.core;
    struct limit_args args = {0};
    struct origin origin;
    struct uuid id;
    json_t *op;

    if (!request_decode(rq, &limit_model, &args, err) || !operation_ref(rq, &id, err) ||
        !request_origin(rq, &origin, err) || !job_limit(core, &id, args.bandwidth, &origin, err))
        return false;
    if (origin.dry_run)
        return reply_dry_run(rq, NULL, NULL);
    op = job_show(core, &id, err);
    return op && reply_json(rq, 200, op);
}
