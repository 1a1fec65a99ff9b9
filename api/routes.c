/* The index of the product: every method and path, the right it needs and what it is about, what
 * its body is, and the function that serves it. openapi.yaml is compared with this table both ways.
 * Whatever is not here does not exist; a row without a right does not compile. HEAD is served
 * wherever GET is. */
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
#define USER "/api/v1/users"
#define SESS "/api/v1/session"
#define HOOK "/api/v1/webhooks"
#define TPL  "/api/v1/templates"
#define POOL "/api/v1/pools"
#define DISK "/api/v1/disks"
#define SNAP "/api/v1/snapshots"

#define ROUTE(method, pattern, operation, right, about, body, query, handler, arg)                 \
    {#method, pattern, #operation, RIGHT_##right, ABOUT_##about, BODY_##body, query, handler, arg},

/* clang-format off */ /* a table: one route a line */
const struct route routes[] = {
    ROUTE(GET,    "/",                                         getUi,                   PUBLIC,        NOTHING,    NONE,               "",                              ui_index, 0)
    ROUTE(GET,    "/ui/{id}",                                  getUiFile,               PUBLIC,        NOTHING,    NONE,               "",                              ui_file, 0)
    ROUTE(GET,    "/healthz",                                  getHealth,               PUBLIC,        NOTHING,    NONE,               "",                              health_get, 0)
    ROUTE(GET,    "/metrics",                                  getMetrics,              HOST_READ,     HOST,       NONE,               "",                              metrics_get, 0)
    ROUTE(GET,    "/api/v1/openapi.yaml",                      getOpenapi,              PUBLIC,        NOTHING,    NONE,               "",                              openapi_get, 0)
    ROUTE(GET,    "/api/v1/version",                           getVersion,              SELF,          NOTHING,    NONE,               "",                              version_get, 0)
    ROUTE(GET,    "/api/v1/host",                              getHost,                 HOST_READ,     HOST,       NONE,               "",                              host_get, 0)
    ROUTE(GET,    "/api/v1/host/inventory",                    getHostInventory,        HOST_READ,     HOST,       NONE,               "",                              host_inventory_get, 0)
    ROUTE(POST,   "/api/v1/host/actions/shutdown-guests",      shutdownGuests,          HOST_ADMIN,    HOST,       JSON_OPTIONAL,      "dry_run",                       guests_shutdown_post, 0)

    ROUTE(GET,    VMS,                                         listVms,                 VM_READ,       VMS,        NONE,               LIST,                            vms_list, 0)
    ROUTE(POST,   VMS,                                         createVm,                VM_CREATE,     VMS,        JSON,               "dry_run",                       vms_create, 0)
    ROUTE(POST,   ALL "start",                                 startVms,                VM_POWER,      VMS,        JSON,               "dry_run",                       vms_act_all, VM_VERB_START)
    ROUTE(POST,   ALL "shutdown",                              shutdownVms,             VM_POWER,      VMS,        JSON,               "dry_run",                       vms_act_all, VM_VERB_SHUTDOWN)
    ROUTE(POST,   ALL "stop",                                  stopVms,                 VM_POWER,      VMS,        JSON,               "dry_run",                       vms_act_all, VM_VERB_STOP)
    ROUTE(POST,   ALL "reset",                                 resetVms,                VM_POWER,      VMS,        JSON,               "dry_run",                       vms_act_all, VM_VERB_RESET)
    ROUTE(POST,   ALL "pause",                                 pauseVms,                VM_POWER,      VMS,        JSON,               "dry_run",                       vms_act_all, VM_VERB_PAUSE)
    ROUTE(POST,   ALL "resume",                                resumeVms,               VM_POWER,      VMS,        JSON,               "dry_run",                       vms_act_all, VM_VERB_RESUME)
    ROUTE(POST,   ALL "save",                                  saveVms,                 VM_POWER,      VMS,        JSON,               "dry_run",                       vms_act_all, VM_VERB_SAVE)
    ROUTE(POST,   ALL "discard",                               discardVms,              VM_POWER,      VMS,        JSON,               "dry_run",                       vms_act_all, VM_VERB_DISCARD)
    ROUTE(POST,   ALL "delete",                                deleteVms,               VM_DELETE,     VMS,        JSON,               "dry_run",                       vms_act_all, VM_VERB_DELETE)
    ROUTE(GET,    VM,                                          getVm,                   VM_READ,       VM,         NONE,               "fields",                        vms_get, 0)
    ROUTE(PATCH,  VM,                                          editVm,                  VM_EDIT,       VM,         PATCH,              "dry_run",                       vms_edit, 0)
    ROUTE(DELETE, VM,                                          deleteVm,                VM_DELETE,     VM,         NONE,               "dry_run",                       vms_delete, 0)
    ROUTE(POST,   ACT "start",                                 startVm,                 VM_POWER,      VM,         JSON_OPTIONAL,      "dry_run",                       vms_act, VM_VERB_START)
    ROUTE(POST,   ACT "shutdown",                              shutdownVm,              VM_POWER,      VM,         JSON_OPTIONAL,      "dry_run",                       vms_act, VM_VERB_SHUTDOWN)
    ROUTE(POST,   ACT "stop",                                  stopVm,                  VM_POWER,      VM,         JSON_OPTIONAL,      "dry_run",                       vms_act, VM_VERB_STOP)
    ROUTE(POST,   ACT "reset",                                 resetVm,                 VM_POWER,      VM,         JSON_OPTIONAL,      "dry_run",                       vms_act, VM_VERB_RESET)
    ROUTE(POST,   ACT "pause",                                 pauseVm,                 VM_POWER,      VM,         JSON_OPTIONAL,      "dry_run",                       vms_act, VM_VERB_PAUSE)
    ROUTE(POST,   ACT "resume",                                resumeVm,                VM_POWER,      VM,         JSON_OPTIONAL,      "dry_run",                       vms_act, VM_VERB_RESUME)
    ROUTE(POST,   ACT "save",                                  saveVm,                  VM_POWER,      VM,         JSON_OPTIONAL,      "dry_run",                       vms_act, VM_VERB_SAVE)
    ROUTE(POST,   ACT "discard",                               discardVm,               VM_POWER,      VM,         JSON_OPTIONAL,      "dry_run",                       vms_act, VM_VERB_DISCARD)
    ROUTE(POST,   ACT "send-key",                              sendKeys,                CONSOLE_TYPE,  VM,         JSON,               "dry_run",                       keys_send, 0)
    ROUTE(POST,   ACT "type",                                  typeText,                CONSOLE_TYPE,  VM,         JSON,               "dry_run",                       text_type, 0)
    ROUTE(POST,   ACT "pointer",                               sendPointer,             CONSOLE_TYPE,  VM,         JSON,               "dry_run",                       pointer_send, 0)
    ROUTE(POST,   ACT "nmi",                                   sendNmi,                 CONSOLE_TYPE,  VM,         JSON_OPTIONAL,      "dry_run",                       nmi_send, 0)
    ROUTE(GET,    VM "/snapshots",                             listSnapshots,           VM_READ,       VM,         NONE,               LIST,                            snapshots_list, 0)
    ROUTE(POST,   VM "/snapshots",                             createSnapshot,          SNAPSHOT,      VM,         JSON,               "dry_run",                       snapshots_create, 0)
    ROUTE(POST,   ACT "revert",                                revertVm,                SNAPSHOT,      VM,         JSON,               "dry_run",                       snapshots_revert, 0)
    ROUTE(POST,   ACT "clone",                                 cloneVm,                 VM_CREATE,     VM,         JSON,               "dry_run",                       vms_clone, 0)
    ROUTE(POST,   ACT "flatten",                               flattenVm,               VM_EDIT,       VM,         JSON_OPTIONAL,      "dry_run",                       vms_act, VM_VERB_FLATTEN)
    ROUTE(POST,   ACT "move-storage",                          moveVmStorage,           VM_EDIT,       VM,         JSON,               "dry_run",                       storage_move, 0)
    ROUTE(GET,    SNAP "/{id}",                                getSnapshot,             VM_READ,       SNAPSHOT,   NONE,               "fields",                        snapshots_get, 0)
    ROUTE(PATCH,  SNAP "/{id}",                                editSnapshot,            SNAPSHOT,      SNAPSHOT,   PATCH,              "dry_run",                       snapshots_edit, 0)
    ROUTE(DELETE, SNAP "/{id}",                                deleteSnapshot,          SNAPSHOT,      SNAPSHOT,   NONE,               "dry_run bandwidth",             snapshots_delete, 0)
    ROUTE(GET,    SNAP "/{id}/screenshot",                     getSnapshotScreenshot,   CONSOLE_SEE,   SNAPSHOT,   NONE,               "",                              snapshots_screenshot, 0)
    ROUTE(GET,    SNAP "/{id}/diff",                           diffSnapshot,            VM_READ,       SNAPSHOT,   NONE,               "to exact",                      snapshots_diff, 0)
    ROUTE(GET,    SNAP "/{id}/nbd",                            readSnapshotDisk,        DATA_READ,     SNAPSHOT,   NONE,               "disk",                          snapshots_nbd, 0)
    ROUTE(POST,   SNAP "/{id}/actions/archive",                archiveSnapshot,         SNAPSHOT,      SNAPSHOT,   NONE,               "dry_run",                       snapshots_archive, 0)
    ROUTE(POST,   SNAP "/{id}/actions/unarchive",              unarchiveSnapshot,       SNAPSHOT,      SNAPSHOT,   NONE,               "dry_run",                       snapshots_unarchive, 0)
    ROUTE(POST,   SNAP "/{id}/actions/export",                 exportSnapshot,          DATA_READ,     EXPORTS,    JSON_OPTIONAL,      "dry_run",                       snapshots_export, 0)
    ROUTE(GET,    "/api/v1/exports",                           listExports,             STORAGE_READ,  EXPORTS,    NONE,               LIST,                            exports_list, 0)
    ROUTE(GET,    "/api/v1/exports/{id}/content",              getExportContent,        DATA_READ,     EXPORT,     NONE,               "",                              exports_content, 0)
    ROUTE(DELETE, "/api/v1/exports/{id}",                      deleteExport,            DATA_READ,     EXPORT,     NONE,               "dry_run",                       exports_delete, 0)
    ROUTE(GET,    "/api/v1/imports",                           listImports,             STORAGE_READ,  IMPORTS,    NONE,               LIST,                            imports_list, 0)
    ROUTE(GET,    "/api/v1/imports/{id}/{name}",               getImport,               STORAGE_READ,  IMPORTS,    NONE,               "",                              imports_get, 0)
    ROUTE(PUT,    "/api/v1/imports/{id}/{name}",               uploadImport,            DATA_WRITE,    IMPORTS,    FILE,               "sha256",                        imports_put, 0)
    ROUTE(DELETE, "/api/v1/imports/{id}/{name}",               deleteImport,            DATA_WRITE,    IMPORTS,    NONE,               "dry_run",                       imports_delete, 0)
    ROUTE(POST,   ACT "export",                                exportVm,                DATA_READ,     BUNDLES,    JSON,               "dry_run",                       bundles_export, 0)
    ROUTE(POST,   ALL "import",                                importVm,                VM_CREATE,     BUNDLES,    JSON,               "dry_run",                       bundles_import, 0)
    ROUTE(GET,    "/api/v1/bundles",                           listBundles,             STORAGE_READ,  BUNDLES,    NONE,               LIST,                            bundles_list, 0)
    ROUTE(DELETE, "/api/v1/bundles/{id}",                      deleteBundle,            DATA_READ,     BUNDLE,     NONE,               "dry_run",                       bundles_delete, 0)
    ROUTE(GET,    VM "/serial",                                readSerial,              CONSOLE_SEE,   VM,         NONE,               "offset limit wait follow port", serial_read, 0)
    ROUTE(POST,   VM "/serial",                                writeSerial,             CONSOLE_TYPE,  VM,         BYTES,              "port",                          serial_write, 0)
    ROUTE(GET,    VM "/log",                                   readLog,                 CONSOLE_SEE,   VM,         NONE,               "source lines port",             log_read, 0)
    ROUTE(GET,    VM "/screenshot",                            getScreenshot,           CONSOLE_SEE,   VM,         NONE,               "head",                          screenshot_get, 0)

    ROUTE(GET,    OPS,                                         listOperations,          OPERATION_READ, OPERATIONS, NONE,               LIST " vm state",                operations_list, 0)
    ROUTE(GET,    OPS "/{id}",                                 getOperation,            OPERATION_READ, OPERATION,  NONE,               "wait fields",                   operations_get, 0)
    ROUTE(PATCH,  OPS "/{id}",                                 limitOperation,          OPERATION_EDIT, OPERATION,  PATCH,              "dry_run",                       operations_limit, 0)
    ROUTE(POST,   OPS "/{id}/actions/cancel",                  cancelOperation,         OPERATION_EDIT, OPERATION,  JSON_OPTIONAL,      "dry_run",                       operations_cancel, 0)

    ROUTE(GET,    "/api/v1/events",                            readEvents,              EVENT_READ,    EVENTS,     NONE,               "after types wait page_size",    events_read, 0)

    ROUTE(GET,    SESS,                                        getSession,              SELF,          SESSION,    NONE,               "",                              session_get, 0)
    ROUTE(POST,   SESS,                                        signIn,                  PUBLIC,        SESSION,    JSON,               "",                              session_post, 0)
    ROUTE(DELETE, SESS,                                        signOut,                 SELF,          SESSION,    NONE,               "dry_run",                       session_delete, 0)
    ROUTE(POST,   SESS "/actions/change-password",             changePassword,          SELF,          SESSION,    JSON,               "dry_run",                       session_password, 0)
    ROUTE(POST,   SESS "/actions/use-link",                    useLink,                 PUBLIC,        SESSION,    JSON,               "",                              session_link, 0)
    ROUTE(DELETE, SESS "s/{id}",                               endSession,              ACCOUNT_ADMIN, SESSION,    NONE,               "dry_run",                       sessions_end, 0)
    ROUTE(GET,    USER,                                        listUsers,               ACCOUNT_ADMIN, USERS,      NONE,               LIST,                            users_list, 0)
    ROUTE(POST,   USER,                                        createUser,              ACCOUNT_ADMIN, USERS,      JSON,               "dry_run",                       users_create, 0)
    ROUTE(GET,    USER "/{id}",                                getUser,                 ACCOUNT_ADMIN, USER,       NONE,               "fields",                        users_get, 0)
    ROUTE(PATCH,  USER "/{id}",                                editUser,                ACCOUNT_ADMIN, USER,       PATCH,              "dry_run",                       users_edit, 0)
    ROUTE(DELETE, USER "/{id}",                                deleteUser,              ACCOUNT_ADMIN, USER,       NONE,               "dry_run",                       users_delete, 0)
    ROUTE(POST,   USER "/{id}/actions/set-password",           setPassword,             ACCOUNT_ADMIN, USER,       JSON,               "dry_run",                       users_password, 0)
    ROUTE(POST,   USER "/{id}/actions/link",                   linkUser,                ACCOUNT_ADMIN, USER,       JSON_OPTIONAL,      "dry_run",                       users_link, 0)
    ROUTE(GET,    USER "/{id}/sessions",                       listSessions,            ACCOUNT_ADMIN, USER,       NONE,               LIST,                            users_sessions, 0)
    ROUTE(DELETE, USER "/{id}/sessions",                       signOutUser,             ACCOUNT_ADMIN, USER,       NONE,               "dry_run",                       users_sign_out, 0)
    ROUTE(GET,    USER "/{id}/certificates",                   listCertificates,        ACCOUNT_ADMIN, USER,       NONE,               "",                              certificates_list, 0)
    ROUTE(POST,   USER "/{id}/certificates",                   addCertificate,          ACCOUNT_ADMIN, USER,       JSON,               "dry_run",                       certificates_create, 0)
    ROUTE(DELETE, USER "/{id}/certificates/{certificate}",     removeCertificate,       ACCOUNT_ADMIN, USER,       NONE,               "dry_run",                       certificates_delete, 0)
    ROUTE(GET,    USER "/{id}/grants",                         listGrants,              ACCOUNT_ADMIN, USER,       NONE,               "",                              grants_list, 0)
    ROUTE(POST,   USER "/{id}/grants",                         createGrant,             ACCOUNT_ADMIN, USER,       JSON,               "dry_run",                       grants_create, 0)
    ROUTE(DELETE, USER "/{id}/grants/{grant}",                 revokeGrant,             ACCOUNT_ADMIN, USER,       NONE,               "dry_run",                       grants_delete, 0)

    ROUTE(GET,    "/api/v1/audit",                             listAudit,               AUDIT_READ,    AUDIT,      NONE,               LIST,                            audit_records, 0)

    ROUTE(GET,    TOK,                                         listTokens,              ACCOUNT_ADMIN, TOKENS,     NONE,               LIST,                            tokens_list, 0)
    ROUTE(POST,   TOK,                                         createToken,             ACCOUNT_ADMIN, TOKENS,     JSON,               "dry_run",                       tokens_create, 0)
    ROUTE(GET,    TOK "/{id}",                                 getToken,                ACCOUNT_ADMIN, TOKEN,      NONE,               "fields",                        tokens_get, 0)
    ROUTE(DELETE, TOK "/{id}",                                 revokeToken,             ACCOUNT_ADMIN, TOKEN,      NONE,               "dry_run",                       tokens_revoke, 0)

    ROUTE(GET,    HOOK,                                        listWebhooks,            WEBHOOK_ADMIN, WEBHOOKS,   NONE,               LIST,                            webhooks_list, 0)
    ROUTE(POST,   HOOK,                                        createWebhook,           WEBHOOK_ADMIN, WEBHOOKS,   JSON,               "dry_run",                       webhooks_create, 0)
    ROUTE(GET,    HOOK "/{id}",                                getWebhook,              WEBHOOK_ADMIN, WEBHOOK,    NONE,               "fields",                        webhooks_get, 0)
    ROUTE(PATCH,  HOOK "/{id}",                                editWebhook,             WEBHOOK_ADMIN, WEBHOOK,    PATCH,              "dry_run",                       webhooks_edit, 0)
    ROUTE(DELETE, HOOK "/{id}",                                deleteWebhook,           WEBHOOK_ADMIN, WEBHOOK,    NONE,               "dry_run",                       webhooks_delete, 0)
    ROUTE(POST,   HOOK "/{id}/actions/test",                   testWebhook,             WEBHOOK_ADMIN, WEBHOOK,    JSON_OPTIONAL,      "",                              webhooks_test, 0)
    ROUTE(GET,    HOOK "/{id}/deliveries",                     listDeliveries,          WEBHOOK_ADMIN, WEBHOOK,    NONE,               "",                              webhooks_deliveries, 0)

    ROUTE(GET,    TPL,                                         listTemplates,           TEMPLATE_READ, TEMPLATES,  NONE,               LIST,                            templates_list, 0)
    ROUTE(POST,   TPL,                                         createTemplate,          TEMPLATE_EDIT, TEMPLATES,  JSON,               "dry_run",                       templates_create, 0)
    ROUTE(GET,    TPL "/{id}",                                 getTemplate,             TEMPLATE_READ, TEMPLATE,   NONE,               "fields",                        templates_get, 0)
    ROUTE(PATCH,  TPL "/{id}",                                 editTemplate,            TEMPLATE_EDIT, TEMPLATE,   PATCH,              "dry_run",                       templates_edit, 0)
    ROUTE(DELETE, TPL "/{id}",                                 deleteTemplate,          TEMPLATE_EDIT, TEMPLATE,   NONE,               "dry_run",                       templates_delete, 0)

    ROUTE(GET,    POOL,                                        listPools,               STORAGE_READ,  POOLS,      NONE,               LIST,                            pools_list, 0)
    ROUTE(POST,   POOL,                                        createPool,              STORAGE_EDIT,  POOLS,      JSON,               "dry_run",                       pools_create, 0)
    ROUTE(GET,    POOL "/{id}",                                getPool,                 STORAGE_READ,  POOL,       NONE,               "fields",                        pools_get, 0)
    ROUTE(PATCH,  POOL "/{id}",                                editPool,                STORAGE_EDIT,  POOL,       PATCH,              "dry_run",                       pools_edit, 0)
    ROUTE(GET,    POOL "/{id}/files",                          listPoolFiles,           STORAGE_READ,  POOL,       NONE,               LIST,                            pools_files, 0)
    ROUTE(DELETE, POOL "/{id}",                                deletePool,              STORAGE_EDIT,  POOL,       NONE,               "dry_run",                       pools_delete, 0)
    ROUTE(GET,    DISK,                                        listDisks,               VM_READ,       DISKS,      NONE,               LIST " vm",                      disks_list, 0)
    ROUTE(GET,    "/api/v1/media",                             listMedia,               STORAGE_READ,  MEDIA,      NONE,               LIST,                            media_get, 0)
    ROUTE(GET,    DISK "/{id}",                                getDisk,                 VM_READ,       DISK,       NONE,               "fields",                        disks_get, 0)
    ROUTE(PATCH,  DISK "/{id}",                                editDisk,                VM_EDIT,       DISK,       PATCH,              "dry_run",                       disks_edit, 0)
    ROUTE(DELETE, DISK "/{id}",                                removeDisk,              VM_EDIT,       DISK,       NONE,               "dry_run",                       disks_delete, 0)
    ROUTE(POST,   DISK "/{id}/actions/grow",                   growDisk,                VM_EDIT,       DISK,       JSON,               "dry_run",                       disks_grow, 0)
    ROUTE(GET,    VM "/disks",                                 listVmDisks,             VM_READ,       VM,         NONE,               LIST,                            disks_list_of_vm, 0)
    ROUTE(POST,   VM "/disks",                                 addDisk,                 VM_EDIT,       VM,         JSON,               "dry_run",                       disks_create, 0)
};
/* clang-format on */
const size_t n_routes = ARRAY_LEN(routes);

/* Compares the request's segments with a pattern; '*ref' becomes the first at a "{name}". */
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
            *ref = **ref ? *ref : rq->segments[i];
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
