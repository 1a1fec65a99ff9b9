/* Webhooks. A secret that vmmd made exists in the reply that makes it and nowhere else outside. */
#include "api/handlers.h"
#include "api/idem.h"
#include "api/server.h"
#include "core/base/mem.h"
#include "core/hook/hook.h"

#include <string.h>

#define GONE                                                                                       \
    "The secret was shown when the webhook was created. PATCH {\"secret\":null} makes a new one "  \
    "if it is lost."

struct webhook_spec {
    char *name, *url, *secret;
    bool enabled;
};

#define FIELDS(required)                                                                           \
    {                                                                                              \
        {.name = "name",                                                                           \
         .type = FIELD_TEXT,                                                                       \
         .flags = (required),                                                                      \
         .offset = offsetof(struct webhook_spec, name),                                            \
         .min = 1,                                                                                 \
         .max = NAME_MAX_BYTES,                                                                    \
         .check = check_name,                                                                      \
         .help = "unique"},                                                                        \
            {.name = "url",                                                                        \
             .type = FIELD_TEXT,                                                                   \
             .flags = (required),                                                                  \
             .offset = offsetof(struct webhook_spec, url),                                         \
             .min = 1,                                                                             \
             .max = 1024,                                                                          \
             .check = check_line,                                                                  \
             .help = "where events are sent"},                                                     \
            {.name = "secret",                                                                     \
             .type = FIELD_TEXT,                                                                   \
             .offset = offsetof(struct webhook_spec, secret),                                      \
             .min = HOOK_SECRET_MIN,                                                               \
             .max = HOOK_SECRET_MAX,                                                               \
             .check = check_line,                                                                  \
             .help = "signs every delivery; absent: one is made and shown once"},                  \
            {.name = "enabled",                                                                    \
             .type = FIELD_BOOL,                                                                   \
             .offset = offsetof(struct webhook_spec, enabled),                                     \
             .fallback = "true",                                                                   \
             .help = "whether events are sent"},                                                   \
    }
static const struct field new_fields[] = FIELDS(FIELD_REQUIRED);
static const struct field edit_fields[] = FIELDS(0);
static const struct model new_model = {"WebhookSpec", sizeof(struct webhook_spec), new_fields,
                                       ARRAY_LEN(new_fields)};
static const struct model edit_model = {"WebhookPatch", sizeof(struct webhook_spec), edit_fields,
                                        ARRAY_LEN(edit_fields)};

static void webhook_spec_clear(struct webhook_spec *spec)
{
    if (spec->secret)
        explicit_bzero(spec->secret, strlen(spec->secret));
    model_clear(&new_model, spec);
}

/* The member "types", an array of words, as a list with commas; it leaves 'body'. NULL: absent. */
static bool take_types(json_t *body, char **out, struct err *err)
{
    CLEANUP(json_decrefp) json_t *types = json_incref(json_object_get(body, "types"));
    struct strbuf list = {0};
    const json_t *word;
    size_t i;

    if (!types)
        return true;
    json_object_del(body, "types");
    if (!json_is_array(types) && !json_is_null(types))
        return err_field(err, ERR_INVALID, "/types", "types must be an array of texts");
    json_array_foreach (types, i, word) {
        const char *text = json_string_value(word);
        if (!text || !*text || strchr(text, ',') || i >= HOOK_TYPES_MAX) {
            strbuf_clear(&list);
            return err_field(err, ERR_INVALID, "/types",
                             "types are up to %d words such as vm, operation or vm.state",
                             HOOK_TYPES_MAX);
        }
        strbuf_addf(&list, "%s%s", i ? "," : "", text);
    }
    *out = strbuf_take(&list);
    return true;
}

/* The body by one of the models, its types beside it; '*body' is without them. */
static bool decode(const struct request *rq, const struct model *model, json_t **body,
                   struct webhook_spec *spec, char **types, struct err *err)
{
    *body = request_json(rq, err);
    return *body && take_types(*body, types, err) &&
           model_decode(model, *body, MODEL_CLIENT, spec, err);
}

bool webhooks_list(struct request *rq, struct err *err)
{
    CLEANUP(query_clear) struct query query = {0};
    CLEANUP(strbuf_clear) struct strbuf text = {0};

    if (!request_list(rq, &schema_webhook, &query, err))
        return false;
    hook_list(rq->api->config.core, &query, &text);
    return reply_text(rq, &text);
}

bool webhooks_get(struct request *rq, struct err *err)
{
    json_t *hook = hook_show(rq->api->config.core, rq->ref, err);

    return hook && request_show(rq, &schema_webhook, hook, err);
}

bool webhooks_deliveries(struct request *rq, struct err *err)
{
    json_t *list = hook_deliveries(rq->api->config.core, rq->ref, err);

    return list && reply_json(rq, 200, list);
}

/* 'secret': one that was made, "" when the client has it; NULL: a replay. */
static bool reply_hook(struct request *rq, unsigned status, const char *ref, const char *secret,
                       struct err *err)
{
    json_t *hook = hook_show(rq->api->config.core, ref, err);

    if (!hook)
        return false;
    json_put_text(hook, "secret", secret && *secret ? secret : NULL);
    json_put_text(hook, "note", secret ? NULL : GONE);
    if (status == 201)
        reply_header(rq, "Location", "/api/v1/webhooks/%s", json_get_text(hook, "id"));
    return reply_json(rq, status, hook);
}

/* A webhook sends whatever the log has, the audit trail too: a way to read it. */
static bool may_hear(const struct request *rq, struct err *err)
{
    const uint64_t needed = RIGHT_BIT(RIGHT_EVENT_READ) | RIGHT_BIT(RIGHT_AUDIT_READ);

    return !(needed & ~rq->who.rights) ||
           err_set(err, ERR_FORBIDDEN,
                   "a webhook sends all events, the audit trail's too: %s has not both of the "
                   "rights event-read and audit-read",
                   rq->who.principal);
}

bool webhooks_create(struct request *rq, struct err *err)
{
    CLEANUP(webhook_spec_clear) struct webhook_spec given = {0};
    CLEANUP(json_decrefp) json_t *body = NULL;
    CLEANUP(mem_freep) char *types = NULL;
    char secret[HOOK_SECRET_TEXT] = "";
    struct hook_spec spec;
    struct origin origin;
    struct uuid id = {0};
    bool replay, ok;

    if (!decode(rq, &new_model, &body, &given, &types, err) || !request_origin(rq, &origin, err) ||
        !may_hear(rq, err) || !idem_find(rq, &origin, "webhook", &replay, &id, err))
        return false;
    if (replay)
        return reply_hook(rq, 201, UUID_STR(&id), NULL, err);
    spec = (struct hook_spec){.name = given.name,
                              .url = given.url,
                              .types = types ? types : "",
                              .secret = given.secret,
                              .enabled = given.enabled};
    if (!hook_create(rq->api->config.core, &spec, &origin, &id, secret, err))
        return idem_lost_race(rq, &origin, "webhook", &id, err) &&
               reply_hook(rq, 201, UUID_STR(&id), NULL, err);
    ok = origin.dry_run ? reply_dry_run(rq, NULL, NULL)
                        : reply_hook(rq, 201, UUID_STR(&id), secret, err);
    explicit_bzero(secret, sizeof secret);
    return ok;
}

static bool is_null(const json_t *body, const char *member)
{
    return json_is_null(json_object_get(body, member));
}

bool webhooks_edit(struct request *rq, struct err *err)
{
    CLEANUP(webhook_spec_clear) struct webhook_spec given = {0};
    CLEANUP(json_decrefp) json_t *body = NULL, *hook = NULL;
    CLEANUP(mem_freep) char *types = NULL;
    char secret[HOOK_SECRET_TEXT] = "";
    struct hook_spec spec;
    struct origin origin;
    bool ok;

    if (!decode(rq, &edit_model, &body, &given, &types, err) || !request_origin(rq, &origin, err) ||
        !may_hear(rq, err))
        return false;
    if (is_null(body, "name") || is_null(body, "url"))
        return err_field(err, ERR_INVALID, is_null(body, "name") ? "/name" : "/url",
                         "a webhook has a name and a url");
    spec = (struct hook_spec){.name = given.name,
                              .url = given.url,
                              .types = types,
                              .secret = given.secret,
                              .renew_secret = is_null(body, "secret"),
                              .enabled = given.enabled,
                              .keep_enabled = !json_object_get(body, "enabled")};
    hook = hook_show(rq->api->config.core, rq->ref, err); /* it may be renamed */
    if (!hook || !hook_edit(rq->api->config.core, rq->ref, &spec, &origin, secret, err))
        return false;
    ok = origin.dry_run ? reply_dry_run(rq, NULL, NULL)
                        : reply_hook(rq, 200, json_get_text(hook, "id"), secret, err);
    explicit_bzero(secret, sizeof secret);
    return ok;
}

bool webhooks_delete(struct request *rq, struct err *err)
{
    struct origin origin;

    if (!request_origin(rq, &origin, err) ||
        !hook_delete(rq->api->config.core, rq->ref, &origin, err))
        return false;
    return origin.dry_run ? reply_dry_run(rq, NULL, NULL) : reply_empty(rq, 204);
}

bool webhooks_test(struct request *rq, struct err *err)
{
    json_t *outcome;

    if (!request_no_arguments(rq, err))
        return false;
    outcome = hook_test(rq->api->config.core, rq->ref, err);
    return outcome && reply_json(rq, 200, outcome);
}
