/* Snapshots: made and listed below their VM, each a resource of its own by its id. */
#include "api/handlers.h"
#include "api/idem.h"
#include "api/operations.h"
#include "api/server.h"
#include "core/snap/snap.h"

#include <stdio.h>
#include <stdlib.h>

struct snapshot_spec {
    char *name, *notes;
    int consistency; /* enum consistency; of a new one */
};

#define FIELDS(required, ...)                                                                      \
    {                                                                                              \
        {.name = "name",                                                                           \
         .type = FIELD_TEXT,                                                                       \
         .flags = (required),                                                                      \
         .offset = offsetof(struct snapshot_spec, name),                                           \
         .min = 1,                                                                                 \
         .max = NAME_MAX_BYTES,                                                                    \
         .check = check_name,                                                                      \
         .help = "unique in the VM"},                                                              \
            {.name = "notes",                                                                      \
             .type = FIELD_TEXT,                                                                   \
             .offset = offsetof(struct snapshot_spec, notes),                                      \
             .max = SNAPSHOT_NOTES_MAX,                                                            \
             .help = "free text"},                                                                 \
            __VA_ARGS__                                                                            \
    }
static const struct field new_fields[] = FIELDS(
    FIELD_REQUIRED, {.name = "consistency",
                     .type = FIELD_ENUM,
                     .offset = offsetof(struct snapshot_spec, consistency),
                     .names = consistency_names,
                     .fallback = "\"disk\"",
                     .help = "running: with the guest's memory; disk: without; auto: with it "
                             "if the VM runs, can be kept so, and there is space"});
static const struct field edit_fields[] = FIELDS(0);
static const struct model new_model = {"SnapshotSpec", sizeof(struct snapshot_spec), new_fields,
                                       ARRAY_LEN(new_fields)};
static const struct model edit_model = {"SnapshotPatch", sizeof(struct snapshot_spec), edit_fields,
                                        ARRAY_LEN(edit_fields)};

static void snapshot_spec_clear(struct snapshot_spec *spec)
{
    model_clear(&new_model, spec);
}

struct revert_args {
    char *snapshot;
    bool start;
};
static const struct field revert_fields[] = {
    {.name = "snapshot",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED,
     .offset = offsetof(struct revert_args, snapshot),
     .min = 1,
     .max = NAME_MAX_BYTES,
     .check = check_line,
     .help = "name or id"},
    {.name = "start",
     .type = FIELD_BOOL,
     .offset = offsetof(struct revert_args, start),
     .fallback = "true",
     .help = "a snapshot with the guest's memory goes on from there, and a VM that ran boots anew; "
             "false: neither"},
};
static const struct model revert_model = {"RevertArguments", sizeof(struct revert_args),
                                          revert_fields, ARRAY_LEN(revert_fields)};

static void revert_args_clear(struct revert_args *args)
{
    model_clear(&revert_model, args);
}

bool snapshots_list(struct request *rq, struct err *err)
{
    CLEANUP(query_clear) struct query query = {0};
    CLEANUP(strbuf_clear) struct strbuf text = {0};

    if (!request_list(rq, &schema_snapshot, &query, err) ||
        !snapshot_list(rq->api->config.core, rq->ref, &query, &text, err))
        return false;
    return reply_text(rq, &text);
}

bool snapshots_get(struct request *rq, struct err *err)
{
    char vm[UUID_TEXT];
    json_t *snapshot;

    if (!snapshot_vm(rq->api->config.core, rq->ref, vm, err))
        return false;
    snapshot = snapshot_show(rq->api->config.core, vm, rq->ref, err);
    return snapshot && request_show(rq, &schema_snapshot, snapshot, err);
}

/* What is at its address never changes, so that its id is tag enough. */
bool snapshots_screenshot(struct request *rq, struct err *err)
{
    char vm[UUID_TEXT], tag[UUID_TEXT + 4];
    char *png = NULL;
    size_t len = 0;

    if (!snapshot_vm(rq->api->config.core, rq->ref, vm, err) ||
        !snapshot_picture(rq->api->config.core, vm, rq->ref, &png, &len, err))
        return false;
    snprintf(tag, sizeof tag, "\"%.36s\"", rq->ref);
    if (str_eq(rq->head.if_none_match, tag)) {
        free(png);
        reply_empty(rq, 304);
    } else {
        reply_bytes(rq, "image/png", png, len);
    }
    reply_header(rq, "ETag", "%s", tag);
    rq->reply.is_constant = true;
    return true;
}

bool snapshots_diff(struct request *rq, struct err *err)
{
    const char *to = request_query(rq, "to");
    char vm[UUID_TEXT];
    bool exact = false;
    json_t *diff;

    if (!request_query_bool(rq, "exact", &exact, err) ||
        !snapshot_vm(rq->api->config.core, rq->ref, vm, err))
        return false;
    diff = snapshot_diff(rq->api->config.core, vm, rq->ref, str_eq(to, "current") ? NULL : to,
                         exact, err);
    return diff && reply_json(rq, 200, diff);
}

/* What all operations here end with. What was refused says all that stands in its way. */
static bool answer(struct request *rq, const char *vm, const struct snapshot_act *act,
                   const struct origin *origin, struct uuid *op, bool ok, struct err *err)
{
    struct err none = {0};

    if (ok || idem_lost_race(rq, origin, "operation", op, err))
        return operation_reply(rq, op, err);
    if (reply_is_blocked(err))
        reply_blockers(rq, snapshot_plan(rq->api->config.core, vm, act, &none), err);
    return false;
}

/* What the operation would do, in its place. */
static bool answer_plan(struct request *rq, const char *vm, const struct snapshot_act *act,
                        struct err *err)
{
    json_t *plan = snapshot_plan(rq->api->config.core, vm, act, err);

    return plan && reply_dry_run(rq, "plan", plan);
}

bool snapshots_create(struct request *rq, struct err *err)
{
    CLEANUP(snapshot_spec_clear) struct snapshot_spec spec = {0};
    struct core *core = rq->api->config.core;
    struct snapshot_act act = {.verb = VM_VERB_SNAPSHOT};
    struct snapshot_ask ask;
    struct origin origin;
    struct uuid op = {0};
    bool replay;

    if (!request_decode(rq, &new_model, &spec, err) || !request_origin(rq, &origin, err) ||
        !idem_find(rq, &origin, "operation", &replay, &op, err))
        return false;
    if (replay)
        return operation_reply(rq, &op, err);
    ask = (struct snapshot_ask){spec.name, spec.notes, (enum consistency)spec.consistency};
    act.snapshot = ask.name;
    act.consistency = ask.consistency;
    if (origin.dry_run)
        return answer_plan(rq, rq->ref, &act, err);
    return answer(rq, rq->ref, &act, &origin, &op,
                  snapshot_take(core, rq->ref, &ask, &origin, &op, err), err);
}

bool snapshots_edit(struct request *rq, struct err *err)
{
    CLEANUP(snapshot_spec_clear) struct snapshot_spec spec = {0};
    struct origin origin;
    char vm[UUID_TEXT];
    json_t *snapshot;

    if (!request_decode(rq, &edit_model, &spec, err) || !request_origin(rq, &origin, err) ||
        !snapshot_vm(rq->api->config.core, rq->ref, vm, err))
        return false;
    snapshot =
        snapshot_edit(rq->api->config.core, vm, rq->ref, spec.name, spec.notes, &origin, err);
    if (!snapshot)
        return false;
    if (!origin.dry_run)
        return reply_json(rq, 200, snapshot);
    json_decref(snapshot);
    return reply_dry_run(rq, NULL, NULL);
}

bool snapshots_delete(struct request *rq, struct err *err)
{
    const struct snapshot_act act = {.verb = VM_VERB_DELETE_SNAPSHOT, .snapshot = rq->ref};
    struct core *core = rq->api->config.core;
    const bool limited = request_query(rq, "bandwidth") != NULL;
    struct origin origin;
    struct uuid op = {0};
    char vm[UUID_TEXT];
    uint64_t bandwidth;

    if (!request_query_u64(rq, "bandwidth", 0, BANDWIDTH_MAX, 0, &bandwidth, err) ||
        !request_origin(rq, &origin, err) || !snapshot_vm(rq->api->config.core, rq->ref, vm, err))
        return false;
    if (origin.dry_run)
        return answer_plan(rq, vm, &act, err);
    return answer(
        rq, vm, &act, &origin, &op,
        snapshot_delete(core, vm, rq->ref, limited ? &bandwidth : NULL, &origin, &op, err), err);
}

bool snapshots_revert(struct request *rq, struct err *err)
{
    CLEANUP(revert_args_clear) struct revert_args args = {0};
    struct snapshot_act act = {.verb = VM_VERB_REVERT};
    struct core *core = rq->api->config.core;
    struct origin origin;
    struct uuid op = {0};
    bool replay;

    if (!request_decode(rq, &revert_model, &args, err) || !request_origin(rq, &origin, err) ||
        !idem_find(rq, &origin, "operation", &replay, &op, err))
        return false;
    if (replay)
        return operation_reply(rq, &op, err);
    act.snapshot = args.snapshot;
    act.start = args.start;
    if (origin.dry_run)
        return answer_plan(rq, rq->ref, &act, err);
    return answer(rq, rq->ref, &act, &origin, &op,
                  snapshot_revert_to(core, rq->ref, args.snapshot, args.start, &origin, &op, err),
                  err);
}

static bool archive(struct request *rq, bool pack, struct err *err)
{
    struct core *core = rq->api->config.core;
    struct origin origin;
    struct uuid op = {0};
    char vm[UUID_TEXT];
    bool replay;

    if (!request_origin(rq, &origin, err) ||
        !idem_find(rq, &origin, "operation", &replay, &op, err))
        return false;
    if (replay)
        return operation_reply(rq, &op, err);
    if ((!snapshot_vm(core, rq->ref, vm, err) ||
         !snapshot_archive(core, vm, rq->ref, pack, &origin, &op, err)) &&
        !idem_lost_race(rq, &origin, "operation", &op, err))
        return false;
    return origin.dry_run ? reply_dry_run(rq, NULL, NULL) : operation_reply(rq, &op, err);
}

bool snapshots_archive(struct request *rq, struct err *err)
{
    return archive(rq, true, err);
}

bool snapshots_unarchive(struct request *rq, struct err *err)
{
    return archive(rq, false, err);
}
