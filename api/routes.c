/* The index of the product: every method and path, who may use it, what its body is, and the
 * function that serves it. openapi.yaml is compared with this table both ways. Whatever is not here
 * does not exist. HEAD is served wherever GET is. */
#include "api/routes.h"

#include "api/handlers.h"
#include "core/model/state.h"

#include <string.h>

#define LIST "filter fields order page_size page_token"
#define VMS  "/api/v1/vms"
#define VM   VMS "/{id}"
#define ALL  VMS "/actions/"
#define ACT  VM "/actions/"
#define OPS  "/api/v1/operations"
#define TOK  "/api/v1/tokens"
#define HOOK "/api/v1/webhooks"
#define TPL  "/api/v1/templates"
#define POOL "/api/v1/pools"
#define DISK "/api/v1/disks"
#define SNAP "/api/v1/snapshots"

/* clang-format off */ /* a table: one route a line */
const struct route routes[] = {
    {"GET",    "/",                        "getUi",          ROLE_NONE,     BODY_NONE,          "",                   ui_index,          0},
    {"GET",    "/ui/{id}",                 "getUiFile",      ROLE_NONE,     BODY_NONE,          "",                   ui_file,           0},
    {"GET",    "/healthz",                 "getHealth",      ROLE_NONE,     BODY_NONE,          "",                   health_get,        0},
    {"GET",    "/metrics",                 "getMetrics",     ROLE_VIEWER,   BODY_NONE,          "",                   metrics_get,       0},
    {"GET",    "/api/v1/openapi.yaml",     "getOpenapi",     ROLE_NONE,     BODY_NONE,          "",                   openapi_get,       0},
    {"GET",    "/api/v1/version",          "getVersion",     ROLE_VIEWER,   BODY_NONE,          "",                   version_get,       0},
    {"GET",    "/api/v1/host",             "getHost",        ROLE_VIEWER,   BODY_NONE,          "",                   host_get,          0},
    {"GET",    "/api/v1/host/inventory",   "getHostInventory", ROLE_VIEWER, BODY_NONE,          "",                   host_inventory_get, 0},
    {"POST",   "/api/v1/host/actions/shutdown-guests", "shutdownGuests", ROLE_ADMIN, BODY_JSON_OPTIONAL, "dry_run",     guests_shutdown_post, 0},

    {"GET",    VMS,                        "listVms",        ROLE_VIEWER,   BODY_NONE,          LIST,                 vms_list,          0},
    {"POST",   VMS,                        "createVm",       ROLE_OPERATOR, BODY_JSON,          "dry_run",            vms_create,        0},
    {"POST",   ALL "start",                "startVms",      ROLE_OPERATOR, BODY_JSON,          "dry_run",            vms_act_all,       VM_VERB_START},
    {"POST",   ALL "shutdown",             "shutdownVms",   ROLE_OPERATOR, BODY_JSON,          "dry_run",            vms_act_all,       VM_VERB_SHUTDOWN},
    {"POST",   ALL "stop",                 "stopVms",       ROLE_OPERATOR, BODY_JSON,          "dry_run",            vms_act_all,       VM_VERB_STOP},
    {"POST",   ALL "reset",                "resetVms",      ROLE_OPERATOR, BODY_JSON,          "dry_run",            vms_act_all,       VM_VERB_RESET},
    {"POST",   ALL "pause",                "pauseVms",      ROLE_OPERATOR, BODY_JSON,          "dry_run",            vms_act_all,       VM_VERB_PAUSE},
    {"POST",   ALL "resume",               "resumeVms",     ROLE_OPERATOR, BODY_JSON,          "dry_run",            vms_act_all,       VM_VERB_RESUME},
    {"POST",   ALL "save",                 "saveVms",       ROLE_OPERATOR, BODY_JSON,          "dry_run",            vms_act_all,       VM_VERB_SAVE},
    {"POST",   ALL "discard",              "discardVms",    ROLE_OPERATOR, BODY_JSON,          "dry_run",            vms_act_all,       VM_VERB_DISCARD},
    {"POST",   ALL "delete",               "deleteVms",     ROLE_OPERATOR, BODY_JSON,          "dry_run",            vms_act_all,       VM_VERB_DELETE},
    {"GET",    VM,                         "getVm",          ROLE_VIEWER,   BODY_NONE,          "fields",             vms_get,           0},
    {"PATCH",  VM,                         "editVm",         ROLE_OPERATOR, BODY_PATCH,         "dry_run",            vms_edit,          0},
    {"DELETE", VM,                         "deleteVm",       ROLE_OPERATOR, BODY_NONE,          "dry_run",            vms_delete,        0},
    {"POST",   ACT "start",                "startVm",        ROLE_OPERATOR, BODY_JSON_OPTIONAL, "dry_run",            vms_act,           VM_VERB_START},
    {"POST",   ACT "shutdown",             "shutdownVm",     ROLE_OPERATOR, BODY_JSON_OPTIONAL, "dry_run",            vms_act,           VM_VERB_SHUTDOWN},
    {"POST",   ACT "stop",                 "stopVm",         ROLE_OPERATOR, BODY_JSON_OPTIONAL, "dry_run",            vms_act,           VM_VERB_STOP},
    {"POST",   ACT "reset",                "resetVm",        ROLE_OPERATOR, BODY_JSON_OPTIONAL, "dry_run",            vms_act,           VM_VERB_RESET},
    {"POST",   ACT "pause",                "pauseVm",        ROLE_OPERATOR, BODY_JSON_OPTIONAL, "dry_run",            vms_act,           VM_VERB_PAUSE},
    {"POST",   ACT "resume",               "resumeVm",       ROLE_OPERATOR, BODY_JSON_OPTIONAL, "dry_run",            vms_act,           VM_VERB_RESUME},
    {"POST",   ACT "save",                 "saveVm",         ROLE_OPERATOR, BODY_JSON_OPTIONAL, "dry_run",            vms_act,           VM_VERB_SAVE},
    {"POST",   ACT "discard",              "discardVm",      ROLE_OPERATOR, BODY_JSON_OPTIONAL, "dry_run",            vms_act,           VM_VERB_DISCARD},
    {"POST",   ACT "send-key",            "sendKeys",      ROLE_OPERATOR, BODY_JSON,          "dry_run",            keys_send,         0},
    {"POST",   ACT "type",                "typeText",      ROLE_OPERATOR, BODY_JSON,          "dry_run",            text_type,         0},
    {"POST",   ACT "pointer",             "sendPointer",   ROLE_OPERATOR, BODY_JSON,          "dry_run",            pointer_send,      0},
    {"POST",   ACT "nmi",                 "sendNmi",       ROLE_OPERATOR, BODY_JSON_OPTIONAL, "dry_run",            nmi_send,          0},
    {"GET",    VM "/snapshots",           "listSnapshots", ROLE_VIEWER,   BODY_NONE,          LIST,                 snapshots_list,    0},
    {"POST",   VM "/snapshots",           "createSnapshot", ROLE_OPERATOR, BODY_JSON,         "dry_run",            snapshots_create,  0},
    {"POST",   ACT "revert",              "revertVm",      ROLE_OPERATOR, BODY_JSON,          "dry_run",            snapshots_revert,  0},
    {"POST",   ACT "clone",               "cloneVm",       ROLE_OPERATOR, BODY_JSON,          "dry_run",            vms_clone,         0},
    {"POST",   ACT "flatten",             "flattenVm",     ROLE_OPERATOR, BODY_JSON_OPTIONAL, "dry_run",            vms_act,           VM_VERB_FLATTEN},
    {"POST",   ACT "move-storage",        "moveVmStorage", ROLE_OPERATOR, BODY_JSON,          "dry_run",            storage_move,      0},
    {"GET",    SNAP "/{id}",              "getSnapshot",   ROLE_VIEWER,   BODY_NONE,          "fields",             snapshots_get,     0},
    {"PATCH",  SNAP "/{id}",              "editSnapshot",  ROLE_OPERATOR, BODY_PATCH,         "dry_run",            snapshots_edit,    0},
    {"DELETE", SNAP "/{id}",              "deleteSnapshot", ROLE_OPERATOR, BODY_NONE,         "dry_run bandwidth",  snapshots_delete,  0},
    {"GET",    SNAP "/{id}/screenshot",   "getSnapshotScreenshot", ROLE_OPERATOR, BODY_NONE, "",                  snapshots_screenshot, 0},
    {"GET",    SNAP "/{id}/diff",         "diffSnapshot",  ROLE_VIEWER,   BODY_NONE,          "to",                 snapshots_diff,    0},
    {"GET",    SNAP "/{id}/nbd",          "readSnapshotDisk", ROLE_OPERATOR, BODY_NONE,       "disk",               snapshots_nbd,     0},
    {"POST",   SNAP "/{id}/actions/export", "exportSnapshot", ROLE_OPERATOR, BODY_JSON_OPTIONAL, "dry_run",           snapshots_export,  0},
    {"GET",    "/api/v1/exports",         "listExports",   ROLE_VIEWER,   BODY_NONE,          LIST,                 exports_list,      0},
    {"GET",    "/api/v1/exports/{id}/content", "getExportContent", ROLE_OPERATOR, BODY_NONE,  "",                   exports_content,   0},
    {"DELETE", "/api/v1/exports/{id}",    "deleteExport",  ROLE_OPERATOR, BODY_NONE,          "dry_run",            exports_delete,    0},
    {"GET",    VM "/serial",               "readSerial",     ROLE_OPERATOR, BODY_NONE,          "offset limit wait follow port", serial_read,  0},
    {"POST",   VM "/serial",               "writeSerial",    ROLE_OPERATOR, BODY_BYTES,         "port",               serial_write,      0},
    {"GET",    VM "/log",                  "readLog",        ROLE_OPERATOR, BODY_NONE,          "source lines port",  log_read,          0},
    {"GET",    VM "/screenshot",           "getScreenshot",  ROLE_OPERATOR, BODY_NONE,          "head",               screenshot_get,    0},

    {"GET",    OPS,                        "listOperations", ROLE_VIEWER,   BODY_NONE,          LIST " vm state",     operations_list,   0},
    {"GET",    OPS "/{id}",                "getOperation",   ROLE_VIEWER,   BODY_NONE,          "wait fields",        operations_get,    0},
    {"PATCH",  OPS "/{id}",                "limitOperation", ROLE_OPERATOR, BODY_PATCH,         "dry_run",            operations_limit,  0},
    {"POST",   OPS "/{id}/actions/cancel", "cancelOperation", ROLE_OPERATOR, BODY_JSON_OPTIONAL, "dry_run",            operations_cancel, 0},

    {"GET",    "/api/v1/events",           "readEvents",     ROLE_VIEWER,   BODY_NONE,          "after types wait page_size", events_read,       0},

    {"GET",    TOK,                        "listTokens",     ROLE_ADMIN,    BODY_NONE,          LIST,                 tokens_list,       0},
    {"POST",   TOK,                        "createToken",    ROLE_ADMIN,    BODY_JSON,          "dry_run",            tokens_create,     0},
    {"GET",    TOK "/{id}",                "getToken",       ROLE_ADMIN,    BODY_NONE,          "fields",             tokens_get,        0},
    {"DELETE", TOK "/{id}",                "revokeToken",    ROLE_ADMIN,    BODY_NONE,          "dry_run",            tokens_revoke,     0},

    {"GET",    HOOK,                       "listWebhooks",   ROLE_ADMIN,    BODY_NONE,          LIST,                 webhooks_list,     0},
    {"POST",   HOOK,                       "createWebhook",  ROLE_ADMIN,    BODY_JSON,          "dry_run",            webhooks_create,   0},
    {"GET",    HOOK "/{id}",               "getWebhook",     ROLE_ADMIN,    BODY_NONE,          "fields",             webhooks_get,      0},
    {"PATCH",  HOOK "/{id}",               "editWebhook",    ROLE_ADMIN,    BODY_PATCH,         "dry_run",            webhooks_edit,     0},
    {"DELETE", HOOK "/{id}",               "deleteWebhook",  ROLE_ADMIN,    BODY_NONE,          "dry_run",            webhooks_delete,   0},
    {"POST",   HOOK "/{id}/actions/test",  "testWebhook",    ROLE_ADMIN,    BODY_JSON_OPTIONAL, "",                   webhooks_test,     0},
    {"GET",    HOOK "/{id}/deliveries",    "listDeliveries", ROLE_ADMIN,    BODY_NONE,          "",                   webhooks_deliveries, 0},

    {"GET",    TPL,                        "listTemplates",  ROLE_VIEWER,   BODY_NONE,          LIST,                 templates_list,    0},
    {"POST",   TPL,                        "createTemplate", ROLE_OPERATOR, BODY_JSON,          "dry_run",            templates_create,  0},
    {"GET",    TPL "/{id}",                "getTemplate",    ROLE_VIEWER,   BODY_NONE,          "fields",             templates_get,     0},
    {"PATCH",  TPL "/{id}",                "editTemplate",   ROLE_OPERATOR, BODY_PATCH,         "dry_run",            templates_edit,    0},
    {"DELETE", TPL "/{id}",                "deleteTemplate", ROLE_OPERATOR, BODY_NONE,          "dry_run",            templates_delete,  0},

    {"GET",    POOL,                       "listPools",      ROLE_VIEWER,   BODY_NONE,          LIST,                 pools_list,        0},
    {"POST",   POOL,                       "createPool",     ROLE_ADMIN,    BODY_JSON,          "dry_run",            pools_create,      0},
    {"GET",    POOL "/{id}",               "getPool",        ROLE_VIEWER,   BODY_NONE,          "fields",             pools_get,         0},
    {"PATCH",  POOL "/{id}",               "editPool",       ROLE_ADMIN,    BODY_PATCH,         "dry_run",            pools_edit,        0},
    {"GET",    POOL "/{id}/files",         "listPoolFiles",  ROLE_VIEWER,   BODY_NONE,          LIST,                 pools_files,       0},
    {"DELETE", POOL "/{id}",               "deletePool",     ROLE_ADMIN,    BODY_NONE,          "dry_run",            pools_delete,      0},
    {"GET",    DISK,                       "listDisks",      ROLE_VIEWER,   BODY_NONE,          LIST " vm",           disks_list,        0},
    {"GET",    "/api/v1/media",            "listMedia",      ROLE_VIEWER,   BODY_NONE,          LIST,                 media_get,         0},
    {"GET",    DISK "/{id}",               "getDisk",        ROLE_VIEWER,   BODY_NONE,          "fields",             disks_get,         0},
    {"PATCH",  DISK "/{id}",               "editDisk",       ROLE_OPERATOR, BODY_PATCH,         "dry_run",            disks_edit,        0},
    {"DELETE", DISK "/{id}",               "removeDisk",     ROLE_OPERATOR, BODY_NONE,          "dry_run",            disks_delete,      0},
    {"POST",   DISK "/{id}/actions/grow",  "growDisk",       ROLE_OPERATOR, BODY_JSON,          "dry_run",            disks_grow,        0},
    {"GET",    VM "/disks",                "listVmDisks",    ROLE_VIEWER,   BODY_NONE,          LIST,                 disks_list_of_vm,  0},
    {"POST",   VM "/disks",                "addDisk",        ROLE_OPERATOR, BODY_JSON,          "dry_run",            disks_create,         0},
};
/* clang-format on */
const size_t n_routes = ARRAY_LEN(routes);

/* Compares the request's segments with a pattern; '*ref' becomes the one at "{id}". */
static bool fits(const struct request *rq, const char *pattern, const char **ref)
{
    const char *p = pattern + 1;

    *ref = "";
    if (!*p)
        return rq->n_segments == 0;
    for (unsigned i = 0; i < rq->n_segments; i++) {
        size_t n = strcspn(p, "/");
        if (!n)
            return false;
        if (*p == '{')
            *ref = rq->segments[i];
        else if (strncmp(rq->segments[i], p, n) != 0 || rq->segments[i][n])
            return false;
        p += n;
        p += *p == '/';
    }
    return !*p;
}

static bool other_method(struct request *rq, const char *allow, struct err *err)
{
    reply_header(rq, "Allow", "%s", allow);
    return err_set(err, ERR_METHOD, "%.16s is not possible here; possible are: %s", rq->method,
                   allow);
}

bool route_find(struct request *rq, struct err *err)
{
    const char *method = strcmp(rq->method, "HEAD") == 0 ? "GET" : rq->method;
    char allow[64] = "";

    for (size_t i = 0; i < n_routes; i++) {
        const char *ref;
        if (!fits(rq, routes[i].pattern, &ref))
            continue;
        if (strcmp(routes[i].method, method) == 0) {
            rq->route = &routes[i];
            rq->ref = ref;
            return true;
        }
        if (allow[0])
            strcat(allow, ", ");
        strcat(allow, strcmp(routes[i].method, "GET") == 0 ? "GET, HEAD" : routes[i].method);
    }
    if (allow[0])
        return other_method(rq, allow, err);
    return err_set(err, ERR_NOT_FOUND,
                   "there is no such path; /api/v1/openapi.yaml describes all there are");
}
