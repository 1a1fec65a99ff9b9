/* Bundles: POST /vms/{id}/actions/export and /vms/actions/import, and what lies between them. */
#include "api/handlers.h"
#include "api/idem.h"
#include "api/operations.h"
#include "api/server.h"
#include "core/base/mem.h"
#include "core/bundle/bundle.h"

#include <string.h>

struct export_args {
    char *pool, *name;
    bool snapshots;
    int consistency;
    double bandwidth; /* NAN: not given */
};
static const struct field export_fields[] = {
    {.name = "pool",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED,
     .offset = offsetof(struct export_args, pool),
     .min = 1,
     .max = NAME_MAX_BYTES,
     .check = check_line,
     .help = "name or id: the bundle goes to its root"},
    {.name = "name",
     .type = FIELD_TEXT,
     .offset = offsetof(struct export_args, name),
     .min = 1,
     .max = BUNDLE_NAME_MAX,
     .check = check_name,
     .help = "of the bundle; else the VM's"},
    {.name = "snapshots",
     .type = FIELD_BOOL,
     .offset = offsetof(struct export_args, snapshots),
     .fallback = "true",
     .help = "false: the present state alone"},
    {.name = "consistency",
     .type = FIELD_ENUM,
     .offset = offsetof(struct export_args, consistency),
     .names = consistency_names,
     .fallback = "\"auto\"",
     .help = "of a VM that runs: with its guest's memory, or as after a power cut"},
    BANDWIDTH_FIELD(struct export_args, bandwidth, "bytes a second, 0 for no limit"),
};
static const struct model export_model = {"ExportVmArguments", sizeof(struct export_args),
                                          export_fields, ARRAY_LEN(export_fields)};

static void export_args_clear(struct export_args *args)
{
    model_clear(&export_model, args);
}

/* What was refused says all that stands in its way. */
static bool refused(struct request *rq, const struct bundle_ask *ask, const struct origin *origin,
                    const struct err *err)
{
    struct origin dry = *origin;
    struct err none = {0};
    json_t *plan = NULL;
    struct uuid op;

    dry.dry_run = true;
    if (reply_is_blocked(err) &&
        vm_export(rq->api->config.core, rq->ref, ask, &dry, &op, &plan, &none))
        reply_blockers(rq, plan, err);
    return false;
}

bool bundles_export(struct request *rq, struct err *err)
{
    CLEANUP(export_args_clear) struct export_args args = {0};
    struct bundle_ask ask;
    struct origin origin;
    struct uuid op = {0};
    json_t *plan = NULL;
    bool replay;

    if (!request_decode(rq, &export_model, &args, err) || !request_origin(rq, &origin, err) ||
        !idem_find(rq, &origin, "operation", &replay, &op, err))
        return false;
    if (replay)
        return operation_reply(rq, &op, err);
    ask = (struct bundle_ask){.pool = args.pool,
                              .name = args.name,
                              .snapshots = args.snapshots,
                              .consistency = (enum consistency)args.consistency,
                              .limited = args.bandwidth >= 0};
    if (ask.limited)
        ask.bytes_per_s = (uint64_t)args.bandwidth;
    if (!vm_export(rq->api->config.core, rq->ref, &ask, &origin, &op, &plan, err) &&
        !idem_lost_race(rq, &origin, "operation", &op, err))
        return refused(rq, &ask, &origin, err);
    return origin.dry_run ? reply_dry_run(rq, "plan", plan) : operation_reply(rq, &op, err);
}

/* ---- POST /vms/actions/import ---- */

static const char *const identities[] = {"new", "keep", NULL};

struct import_args {
    char *bundle, *pool, *name;
    int identity;
    bool drop_memory, start;
    double bandwidth; /* NAN: not given */
};
static const struct field import_fields[] = {
    {.name = "bundle",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED,
     .offset = offsetof(struct import_args, bundle),
     .min = 1,
     .max = BUNDLE_NAME_MAX,
     .check = check_name,
     .help = "its name"},
    {.name = "pool",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED,
     .offset = offsetof(struct import_args, pool),
     .min = 1,
     .max = NAME_MAX_BYTES,
     .check = check_line,
     .help = "name or id: all files go there"},
    {.name = "name",
     .type = FIELD_TEXT,
     .offset = offsetof(struct import_args, name),
     .min = 1,
     .max = NAME_MAX_BYTES,
     .check = check_name,
     .help = "of the VM; else as it was"},
    {.name = "identity",
     .type = FIELD_ENUM,
     .offset = offsetof(struct import_args, identity),
     .names = identities,
     .fallback = "\"new\"",
     .help = "ids and MAC addresses: new ones, or those that it had"},
    {.name = "drop_memory",
     .type = FIELD_BOOL,
     .offset = offsetof(struct import_args, drop_memory),
     .fallback = "false",
     .help = "the VM is off, and its snapshots are of their disks alone"},
    {.name = "start",
     .type = FIELD_BOOL,
     .offset = offsetof(struct import_args, start),
     .fallback = "false",
     .help = "start it afterwards"},
    BANDWIDTH_FIELD(struct import_args, bandwidth, "bytes a second, 0 for no limit"),
};
static const struct model import_model = {"ImportVmArguments", sizeof(struct import_args),
                                          import_fields, ARRAY_LEN(import_fields)};

static void import_args_clear(struct import_args *args)
{
    model_clear(&import_model, args);
}

static bool import_refused(struct request *rq, const struct import_ask *ask,
                           const struct origin *origin, const struct err *err)
{
    struct origin dry = *origin;
    struct err none = {0};
    json_t *plan = NULL;
    struct uuid op;

    dry.dry_run = true;
    if (reply_is_blocked(err) && vm_import(rq->api->config.core, ask, &dry, &op, &plan, &none))
        reply_blockers(rq, plan, err);
    return false;
}

/* Who makes a VM of a bundle reads what is on its disks. */
static bool may_read(const struct request *rq, struct err *err)
{
    return who_may(&rq->who, RIGHT_DATA_READ) ||
           err_set(err, ERR_FORBIDDEN,
                   "to import a bundle one needs data-read by role, as to export one");
}

bool bundles_import(struct request *rq, struct err *err)
{
    CLEANUP(import_args_clear) struct import_args args = {0};
    struct import_ask ask;
    struct origin origin;
    struct uuid op = {0};
    json_t *plan = NULL;
    bool replay;

    if (!may_read(rq, err) || !request_decode(rq, &import_model, &args, err) ||
        !request_origin(rq, &origin, err) ||
        !idem_find(rq, &origin, "operation", &replay, &op, err))
        return false;
    if (replay)
        return operation_reply(rq, &op, err);
    ask = (struct import_ask){.bundle = args.bundle,
                              .pool = args.pool,
                              .name = args.name,
                              .keep = args.identity == 1,
                              .drop_memory = args.drop_memory,
                              .start = args.start,
                              .limited = args.bandwidth >= 0};
    if (ask.limited)
        ask.bytes_per_s = (uint64_t)args.bandwidth;
    if (!vm_import(rq->api->config.core, &ask, &origin, &op, &plan, err) &&
        !idem_lost_race(rq, &origin, "operation", &op, err))
        return import_refused(rq, &ask, &origin, err);
    return origin.dry_run ? reply_dry_run(rq, "plan", plan) : operation_reply(rq, &op, err);
}

/* ---- all bundles ---- */

bool bundles_list(struct request *rq, struct err *err)
{
    CLEANUP(query_clear) struct query query = {0};
    CLEANUP(strbuf_clear) struct strbuf text = {0};

    if (!request_list(rq, &schema_bundle, &query, err))
        return false;
    bundle_list(rq->api->config.core, &query, &text);
    return reply_text(rq, &text);
}

bool bundles_delete(struct request *rq, struct err *err)
{
    struct origin origin;

    if (!request_origin(rq, &origin, err) ||
        !bundle_remove(rq->api->config.core, rq->ref, &origin, err))
        return false;
    return origin.dry_run ? reply_dry_run(rq, NULL, NULL) : reply_empty(rq, 204);
}
