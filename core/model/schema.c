/* The lists of the API and their members: what only replies have; a VM's configuration comes from
 * its field table. tests/contract compares it with real replies. */
#include "core/model/query.h"
#include "core/model/state.h"
#include "core/model/vm.h"

#define X(name, text) text,
static const char *const states[] = {"creating", "deleting", "saving", VM_RUNS(X) NULL};
static const char *const runs[] = {VM_RUNS(X) NULL};
static const char *const reasons[] = {VM_REASONS(X) NULL};
static const char *const desires[] = {VM_DESIRES(X) NULL};
#undef X

/* As in core/job and core/user, which no lower room may include. */
static const char *const job_states[] = {"queued", "running",   "cancelling",  "succeeded",
                                         "failed", "cancelled", "interrupted", NULL};
static const char *const snapshot_levels[] = {"disk", "running", NULL};
static const char *const hook_states[] = {"ok", "failing", "disabled", NULL};
static const char *const roles[] = {"viewer", "operator", "admin", NULL};
static const char *const password_sources[] = {"own", "pam", NULL};

static const char *const pool_file_kinds[] = {"disk",      "snapshot", "base", "memory",
                                              "operation", "orphan",   NULL};
/* clang-format off */ /* tables: one member a line */
static const struct query_field vm_members[] = {
    {"id",               QUERY_TEXT,   NULL},
    {"state",            QUERY_WORD,   states},
    {"run.state",        QUERY_WORD,   runs},
    {"run.reason",       QUERY_WORD,   reasons},
    {"run.detail",       QUERY_PROSE,  NULL},
    {"run.since",        QUERY_TIME,   NULL},
    {"run.restart_at",   QUERY_TIME,   NULL},
    {"run.accel",        QUERY_WORD,   vm_accel_names},
    {"run.accel_reason", QUERY_PROSE,  NULL},
    {"desired",          QUERY_WORD,   desires},
    {"job.id",           QUERY_TEXT,   NULL},
    {"job.kind",         QUERY_TEXT,   NULL},
    {"actions",          QUERY_ANY,    NULL},
    {"saved.at",         QUERY_TIME,   NULL},
    {"saved.ram_bytes",  QUERY_NUMBER, NULL},
    {"saved.held_bytes", QUERY_NUMBER, NULL},
    {"saved.pool",       QUERY_TEXT,   NULL},
    {"saved",            QUERY_ANY,    NULL},
    {"pending",          QUERY_ANY,    NULL},
    {"pending_reason",   QUERY_PROSE,  NULL},
    {"revision",         QUERY_NUMBER, NULL},
    {"created_at",       QUERY_TIME,   NULL},
    {"updated_at",       QUERY_TIME,   NULL},
};
static const struct query_field operation_members[] = {
    {"id",             QUERY_TEXT,   NULL},
    {"kind",           QUERY_TEXT,   NULL},
    {"object.type",    QUERY_TEXT,   NULL},
    {"object.id",      QUERY_TEXT,   NULL},
    {"object.name",    QUERY_TEXT,   NULL},
    {"state",          QUERY_WORD,   job_states},
    {"step",           QUERY_TEXT,   NULL},
    {"progress.done",  QUERY_NUMBER, NULL},
    {"progress.total", QUERY_NUMBER, NULL},
    {"progress.rate",  QUERY_NUMBER, NULL},
    {"progress.left_s", QUERY_NUMBER, NULL},
    {"progress",       QUERY_ANY,    NULL},
    {"cancellable",    QUERY_BOOL,   NULL},
    {"limitable",      QUERY_BOOL,   NULL},
    {"bandwidth",      QUERY_NUMBER, NULL},
    {"created_by",     QUERY_TEXT,   NULL},
    {"request_id",     QUERY_TEXT,   NULL},
    {"created_at",     QUERY_TIME,   NULL},
    {"started_at",     QUERY_TIME,   NULL},
    {"ended_at",       QUERY_TIME,   NULL},
    {"result",         QUERY_ANY,    NULL},
    {"error.code",     QUERY_TEXT,   NULL},
    {"error.pointer",  QUERY_PROSE,  NULL},
    {"error.detail",   QUERY_PROSE,  NULL},
};
static const struct query_field event_members[] = {
    {"seq",         QUERY_NUMBER, NULL},
    {"at",          QUERY_TIME,   NULL},
    {"type",        QUERY_TEXT,   NULL},
    {"object.type", QUERY_TEXT,   NULL},
    {"object.id",   QUERY_TEXT,   NULL},
    {"data",        QUERY_LABELS, NULL},
};
static const struct query_field token_members[] = {
    {"id",         QUERY_TEXT, NULL},
    {"name",       QUERY_TEXT, NULL},
    {"role",       QUERY_WORD, roles},
    {"created_at", QUERY_TIME, NULL},
    {"expires_at", QUERY_TIME, NULL},
    {"created_by", QUERY_TEXT, NULL},
    {"owner",           QUERY_TEXT,   NULL},
    {"rights",          QUERY_PROSE,  NULL},
};
static const struct query_field pool_members[] = {
    {"id",          QUERY_TEXT,   NULL},
    {"name",        QUERY_TEXT,   NULL},
    {"root",        QUERY_TEXT,   NULL},
    {"total_bytes", QUERY_NUMBER, NULL},
    {"free_bytes",  QUERY_NUMBER, NULL},
    {"file_bytes",  QUERY_NUMBER, NULL},
    {"quota_bytes", QUERY_NUMBER, NULL},
    {"reserve_bytes", QUERY_NUMBER, NULL},
    {"reserved_bytes", QUERY_NUMBER, NULL},
    {"default_format", QUERY_WORD, disk_format_names},
    {"low_space",   QUERY_BOOL,   NULL},
    {"disks",       QUERY_NUMBER, NULL},
    {"created_at",  QUERY_TIME,   NULL},
};
static const struct query_field pool_file_members[] = {
    {"name",        QUERY_TEXT,   NULL},
    {"kind",        QUERY_WORD,   pool_file_kinds},
    {"vm",          QUERY_TEXT,   NULL},
    {"disk",        QUERY_TEXT,   NULL},
    {"snapshot",    QUERY_TEXT,   NULL},
    {"format",      QUERY_WORD,   disk_format_names},
    {"size_bytes",  QUERY_NUMBER, NULL},
    {"file_bytes",  QUERY_NUMBER, NULL},
    {"modified_at", QUERY_TIME,   NULL},
};
static const struct query_field disk_members[] = {
    {"id",         QUERY_TEXT,   NULL},
    {"vm",         QUERY_TEXT,   NULL},
    {"pool",       QUERY_TEXT,   NULL},
    {"position",   QUERY_NUMBER, NULL},
    {"size_bytes", QUERY_NUMBER, NULL},
    {"file_bytes", QUERY_NUMBER, NULL},
    {"files",      QUERY_NUMBER, NULL},
    {"format",     QUERY_WORD,   disk_format_names},
    {"bus",        QUERY_WORD,   disk_bus_names},
    {"limits",     QUERY_ANY,    NULL},
    {"created_at", QUERY_TIME,   NULL},
};
static const struct query_field snapshot_members[] = {
    {"id",         QUERY_TEXT,   NULL},
    {"vm",         QUERY_TEXT,   NULL},
    {"name",       QUERY_TEXT,   NULL},
    {"notes",      QUERY_PROSE,  NULL},
    {"parent",     QUERY_TEXT,   NULL},
    {"consistency",      QUERY_WORD,   snapshot_levels},
    {"has_screenshot", QUERY_BOOL, NULL},
    {"current",    QUERY_BOOL,   NULL},
    {"disks",      QUERY_NUMBER, NULL},
    {"clones",     QUERY_NUMBER, NULL},
    {"file_bytes", QUERY_NUMBER, NULL},
    {"created_at", QUERY_TIME,   NULL},
};
static const struct query_field export_members[] = {
    {"name",       QUERY_TEXT,   NULL},
    {"root",       QUERY_TEXT,   NULL},
    {"size_bytes", QUERY_NUMBER, NULL},
    {"file_bytes", QUERY_NUMBER, NULL},
    {"created_at", QUERY_TIME,   NULL},
};
static const char *const import_states[] = {"ready", "uploading", NULL};
static const struct query_field import_members[] = {
    {"name",        QUERY_TEXT,   NULL},
    {"root",        QUERY_TEXT,   NULL},
    {"state",       QUERY_WORD,   import_states},
    {"size_bytes",  QUERY_NUMBER, NULL},
    {"uploaded_bytes", QUERY_NUMBER, NULL},
    {"file_bytes",  QUERY_NUMBER, NULL},
    {"modified_at", QUERY_TIME,   NULL},
};
static const char *const bundle_states[] = {"complete", "broken", NULL};
static const struct query_field bundle_members[] = {
    {"name",       QUERY_TEXT,   NULL},
    {"root",       QUERY_TEXT,   NULL},
    {"state",      QUERY_WORD,   bundle_states},
    {"reason",     QUERY_PROSE,  NULL},
    {"vm",         QUERY_TEXT,   NULL},
    {"disks",      QUERY_NUMBER, NULL},
    {"snapshots",  QUERY_NUMBER, NULL},
    {"memory",     QUERY_BOOL,   NULL},
    {"saved",      QUERY_BOOL,   NULL},
    {"size_bytes", QUERY_NUMBER, NULL},
    {"file_bytes", QUERY_NUMBER, NULL},
    {"created_at", QUERY_TIME,   NULL},
};
static const struct query_field medium_members[] = {
    {"name",        QUERY_TEXT,   NULL},
    {"root",        QUERY_TEXT,   NULL},
    {"size_bytes",  QUERY_NUMBER, NULL},
    {"modified_at", QUERY_TIME,   NULL},
};
static const struct query_field webhook_members[] = {
    {"id",              QUERY_TEXT,   NULL},
    {"name",            QUERY_TEXT,   NULL},
    {"url",             QUERY_PROSE,  NULL},
    {"types",           QUERY_PROSE,  NULL},
    {"enabled",         QUERY_BOOL,   NULL},
    {"state",           QUERY_WORD,   hook_states},
    {"disabled_reason", QUERY_PROSE,  NULL},
    {"position",        QUERY_NUMBER, NULL},
    {"failing_since",   QUERY_TIME,   NULL},
    {"next_attempt_at", QUERY_TIME,   NULL},
    {"created_at",      QUERY_TIME,   NULL},
    {"created_by",      QUERY_TEXT,   NULL},
};
static const struct query_field user_members[] = {
    {"id",              QUERY_TEXT, NULL},
    {"name",            QUERY_TEXT, NULL},
    {"role",            QUERY_WORD, roles},
    {"disabled",        QUERY_BOOL, NULL},
    {"has_password",    QUERY_BOOL, NULL},
    {"password_source", QUERY_WORD, password_sources},
    {"password_set_at", QUERY_TIME, NULL},
    {"created_at",      QUERY_TIME, NULL},
    {"changed_at",      QUERY_TIME, NULL},
    {"created_by",      QUERY_TEXT, NULL},
};
static const struct query_field session_members[] = {
    {"id",         QUERY_TEXT,  NULL},
    {"user",       QUERY_TEXT,  NULL},
    {"from",       QUERY_PROSE, NULL},
    {"created_at", QUERY_TIME,  NULL},
    {"used_at",    QUERY_TIME,  NULL},
    {"expires_at", QUERY_TIME,  NULL},
};
static const struct query_field audit_members[] = {
    {"seq",         QUERY_NUMBER, NULL},
    {"at",          QUERY_TIME,   NULL},
    {"type",        QUERY_TEXT,   NULL},
    {"principal",   QUERY_TEXT,   NULL},
    {"role",        QUERY_TEXT,   NULL},
    {"from",        QUERY_TEXT,   NULL},
    {"operation",   QUERY_TEXT,   NULL},
    {"path",        QUERY_PROSE,  NULL},
    {"request_id",  QUERY_TEXT,   NULL},
    {"result",      QUERY_TEXT,   NULL},
    {"code",        QUERY_TEXT,   NULL},
    {"job",         QUERY_TEXT,   NULL},
    {"jobs",        QUERY_NUMBER, NULL},
    {"suppressed",  QUERY_NUMBER, NULL},
    {"object.type", QUERY_TEXT,   NULL},
    {"object.id",   QUERY_TEXT,   NULL},
    {"changes",     QUERY_ANY,    NULL},
    {"prev",        QUERY_TEXT,   NULL},
    {"hash",        QUERY_TEXT,   NULL},
};
static const struct query_field template_members[] = {
    {"id",         QUERY_TEXT,   NULL},
    {"name",       QUERY_TEXT,   NULL},
    {"notes",      QUERY_PROSE,  NULL},
    {"labels",     QUERY_LABELS, NULL},
    {"spec",       QUERY_ANY,    NULL},
    {"revision",   QUERY_NUMBER, NULL},
    {"created_at", QUERY_TIME,   NULL},
    {"updated_at", QUERY_TIME,   NULL},
    {"created_by", QUERY_TEXT,   NULL},
};
/* clang-format on */

#define SCHEMA(object, members, model, order, tie)                                                 \
    {                                                                                              \
        object, members, ARRAY_LEN(members), model, order, tie                                     \
    }

const struct query_schema schema_vm = SCHEMA("VM", vm_members, &vm_model, "name", "id");
const struct query_schema schema_operation =
    SCHEMA("operation", operation_members, NULL, "-created_at", "id");
const struct query_schema schema_event = SCHEMA("event", event_members, NULL, "seq", "seq");
const struct query_schema schema_user = SCHEMA("user", user_members, NULL, "name", "id");
const struct query_schema schema_session =
    SCHEMA("session", session_members, NULL, "-used_at", "id");
const struct query_schema schema_token = SCHEMA("token", token_members, NULL, "name", "id");
const struct query_schema schema_pool = SCHEMA("pool", pool_members, NULL, "created_at", "id");
const struct query_schema schema_pool_file =
    SCHEMA("file", pool_file_members, NULL, "name", "name");
const struct query_schema schema_disk = SCHEMA("disk", disk_members, NULL, "id", "id");
const struct query_schema schema_snapshot =
    SCHEMA("snapshot", snapshot_members, NULL, "created_at", "id");
const struct query_schema schema_export =
    SCHEMA("export", export_members, NULL, "name", "name,root");
const struct query_schema schema_import =
    SCHEMA("import", import_members, NULL, "name", "name,root");
const struct query_schema schema_bundle =
    SCHEMA("bundle", bundle_members, NULL, "name", "name,root");
const struct query_schema schema_medium =
    SCHEMA("medium", medium_members, NULL, "name", "name,root");
const struct query_schema schema_webhook = SCHEMA("webhook", webhook_members, NULL, "name", "id");
const struct query_schema schema_audit = SCHEMA("audit record", audit_members, NULL, "-seq", "seq");
const struct query_schema schema_template =
    SCHEMA("template", template_members, NULL, "name", "id");
