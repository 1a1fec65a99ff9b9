/* Users' certificates: whoever has the key of one is that user, so giving one needs all rights that
 * the user has. */
#include "api/auth.h"
#include "api/handlers.h"
#include "api/idem.h"
#include "api/server.h"
#include "core/user/certificate.h"

struct certificate_body {
    char *pem;
};

static const struct field certificate_fields[] = {
    {.name = "pem",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED,
     .offset = offsetof(struct certificate_body, pem),
     .min = 1,
     .max = CERTIFICATE_PEM_MAX,
     .help = "the certificate as text, without its key"},
};
static const struct model certificate_model = {"CertificateSpec", sizeof(struct certificate_body),
                                               certificate_fields, ARRAY_LEN(certificate_fields)};

static void certificate_body_clear(struct certificate_body *body)
{
    model_clear(&certificate_model, body);
}

static bool reply_created(struct request *rq, const struct uuid *user, const struct uuid *id,
                          struct err *err)
{
    json_t *v = certificate_show(rq->api->config.core, UUID_STR(user), UUID_STR(id), err);

    if (!v)
        return false;
    reply_header(rq, "Location", "/api/v1/users/%s/certificates/%s", UUID_STR(user), UUID_STR(id));
    return reply_json(rq, 201, v);
}

bool certificates_create(struct request *rq, struct err *err)
{
    CLEANUP(certificate_body_clear) struct certificate_body given = {0};
    CLEANUP(json_decrefp) json_t *body = request_json(rq, err);
    struct core *core = rq->api->config.core;
    struct origin origin;
    struct uuid user, id = {0};
    bool replay;

    if (!body || !model_decode(&certificate_model, body, MODEL_CLIENT, &given, err) ||
        !request_origin(rq, &origin, err) || !auth_may_change(rq, &user, err) ||
        !idem_find(rq, &origin, "certificate", &replay, &id, err))
        return false;
    if (replay)
        return reply_created(rq, &user, &id, err);
    if (!certificate_add(core, UUID_STR(&user), given.pem, &origin, &id, err))
        return idem_lost_race(rq, &origin, "certificate", &id, err) &&
               reply_created(rq, &user, &id, err);
    return origin.dry_run ? reply_dry_run(rq, NULL, NULL) : reply_created(rq, &user, &id, err);
}

bool certificates_list(struct request *rq, struct err *err)
{
    json_t *list = certificate_list(rq->api->config.core, rq->ref, err), *v;

    if (!list)
        return false;
    v = json_object();
    json_put(v, "items", list);
    return reply_json(rq, 200, v);
}

bool certificates_delete(struct request *rq, struct err *err)
{
    const char *certificate = rq->segments[rq->n_segments - 1];
    struct origin origin;
    struct uuid user;

    if (!request_origin(rq, &origin, err) || !auth_may_change(rq, &user, err) ||
        !certificate_remove(rq->api->config.core, UUID_STR(&user), certificate, &origin, err))
        return false;
    return origin.dry_run ? reply_dry_run(rq, NULL, NULL) : reply_empty(rq, 204);
}
