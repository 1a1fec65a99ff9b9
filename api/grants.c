/* Users' grants: what they may do with some objects. Nobody gives what he has not, with all
 * objects. */
#include "api/auth.h"
#include "api/handlers.h"
#include "api/idem.h"
#include "api/server.h"
#include "core/user/granting.h"

struct grant_body {
    char *label, *pool;
    json_t *rights;
    int role; /* enum role - 1 */
};

static const char *const grantable[] = {"viewer", "operator", "admin", NULL};
static const struct field grant_fields[] = {
    {.name = "role",
     .type = FIELD_ENUM,
     .offset = offsetof(struct grant_body, role),
     .names = grantable,
     .help = "what the user may do with them"},
    {.name = "rights",
     .type = FIELD_WORDS,
     .offset = offsetof(struct grant_body, rights),
     .min = 1,
     .max = 63,
     .help = "the same one by one, in the place of a role"},
    {.name = "label",
     .type = FIELD_TEXT,
     .offset = offsetof(struct grant_body, label),
     .min = 3,
     .max = NAME_MAX_BYTES + 256,
     .check = check_line,
     .help = "key=value: VMs and templates with this label"},
    {.name = "pool",
     .type = FIELD_TEXT,
     .offset = offsetof(struct grant_body, pool),
     .min = 1,
     .max = NAME_MAX_BYTES,
     .check = check_line,
     .help = "name or id: this pool, and VMs with disks in it"},
};
static const struct model grant_model = {"GrantSpec", sizeof(struct grant_body), grant_fields,
                                         ARRAY_LEN(grant_fields)};

static void grant_body_clear(struct grant_body *body)
{
    model_clear(&grant_model, body);
}

static bool reply_created(struct request *rq, const struct uuid *user, const struct uuid *id,
                          struct err *err)
{
    json_t *grant = grant_show(rq->api->config.core, UUID_STR(user), UUID_STR(id), err);

    if (!grant)
        return false;
    reply_header(rq, "Location", "/api/v1/users/%s/grants/%s", UUID_STR(user), UUID_STR(id));
    return reply_json(rq, 201, grant);
}

static bool make_spec(const struct request *rq, const json_t *body, const struct grant_body *given,
                      struct grant_spec *out, struct err *err)
{
    *out = (struct grant_spec){.label = given->label, .pool = given->pool};
    if (json_is_string(json_object_get(body, "role")))
        out->role = (enum role)(given->role + 1);
    if (given->rights && !rights_parse(given->rights, &out->rights))
        return err_field(err, ERR_INVALID, "/rights",
                         "rights are words such as vm-read: docs/accounts.md lists them");
    return auth_may_give(rq, out->role ? role_rights(out->role) : out->rights, err);
}

bool grants_create(struct request *rq, struct err *err)
{
    CLEANUP(grant_body_clear) struct grant_body given = {0};
    CLEANUP(json_decrefp) json_t *body = request_json(rq, err);
    struct core *core = rq->api->config.core;
    struct grant_spec spec;
    struct origin origin;
    struct uuid user, id = {0};
    bool replay;

    if (!body || !model_decode(&grant_model, body, MODEL_CLIENT, &given, err) ||
        !request_origin(rq, &origin, err) || !auth_may_change(rq, &user, err) ||
        !make_spec(rq, body, &given, &spec, err) ||
        !idem_find(rq, &origin, "grant", &replay, &id, err))
        return false;
    if (replay)
        return reply_created(rq, &user, &id, err);
    if (!grant_create(core, UUID_STR(&user), &spec, &origin, &id, err))
        return idem_lost_race(rq, &origin, "grant", &id, err) && reply_created(rq, &user, &id, err);
    return origin.dry_run ? reply_dry_run(rq, NULL, NULL) : reply_created(rq, &user, &id, err);
}

bool grants_list(struct request *rq, struct err *err)
{
    json_t *list = grant_list(rq->api->config.core, rq->ref, err), *v;

    if (!list)
        return false;
    v = json_object();
    json_put(v, "items", list);
    return reply_json(rq, 200, v);
}

bool grants_delete(struct request *rq, struct err *err)
{
    const char *grant = rq->segments[rq->n_segments - 1];
    struct origin origin;
    struct uuid user;

    if (!request_origin(rq, &origin, err) || !auth_may_change(rq, &user, err) ||
        !grant_delete(rq->api->config.core, UUID_STR(&user), grant, &origin, err))
        return false;
    return origin.dry_run ? reply_dry_run(rq, NULL, NULL) : reply_empty(rq, 204);
}
