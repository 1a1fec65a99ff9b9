/* Users and their sessions, for those who administer accounts. Nobody touches a user who may do
 * more than he: that would be a way to get those rights. */
#include "api/auth.h"
#include "api/handlers.h"
#include "api/idem.h"
#include "api/server.h"
#include "core/base/mem.h"
#include "core/user/password.h"
#include "core/user/session.h"
#include "core/user/user.h"

#include <string.h>

struct user_body {
    char *name, *password;
    int role; /* enum role */
    bool disabled;
    int source; /* of password_source_names */
};

#define FIELDS(required)                                                                           \
    {                                                                                              \
        {.name = "name",                                                                           \
         .type = FIELD_TEXT,                                                                       \
         .flags = (required),                                                                      \
         .offset = offsetof(struct user_body, name),                                               \
         .min = 1,                                                                                 \
         .max = NAME_MAX_BYTES,                                                                    \
         .check = check_name,                                                                      \
         .help = "unique"},                                                                        \
            {.name = "role",                                                                       \
             .type = FIELD_ENUM,                                                                   \
             .flags = (required),                                                                  \
             .offset = offsetof(struct user_body, role),                                           \
             .names = role_names,                                                                  \
             .help = "what the user may do with everything; none: only what grants give"},         \
            {.name = "disabled",                                                                   \
             .type = FIELD_BOOL,                                                                   \
             .offset = offsetof(struct user_body, disabled),                                       \
             .help = "cannot sign in, and neither do the user's tokens work"},                     \
            {.name = "password_source",                                                            \
             .type = FIELD_ENUM,                                                                   \
             .offset = offsetof(struct user_body, source),                                         \
             .names = password_source_names,                                                       \
             .help = "own: kept here, as a hash; pam: the host's, asked by PAM"},                  \
    }
static const struct field new_fields[] = FIELDS(FIELD_REQUIRED);
static const struct field edit_fields[] = FIELDS(0);
static const struct model new_model = {"UserSpec", sizeof(struct user_body), new_fields,
                                       ARRAY_LEN(new_fields)};
static const struct model edit_model = {"UserPatch", sizeof(struct user_body), edit_fields,
                                        ARRAY_LEN(edit_fields)};
static const struct field password_fields[] = {
    {.name = "password",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED,
     .offset = offsetof(struct user_body, password),
     .min = 1,
     .max = PASSWORD_MAX_BYTES,
     .help = "at least 10 characters, not the name"},
};
static const struct model password_model = {"PasswordSpec", sizeof(struct user_body),
                                            password_fields, ARRAY_LEN(password_fields)};

static void user_body_clear(struct user_body *body)
{
    if (body->password)
        explicit_bzero(body->password, strlen(body->password));
    free(body->name);
    free(body->password);
}

/* One that may be repeated by itself: no key is kept for it. */
static bool origin_of(struct request *rq, struct origin *origin, struct err *err)
{
    if (!request_origin(rq, origin, err))
        return false;
    origin->idempotency_key = NULL;
    return true;
}

bool users_list(struct request *rq, struct err *err)
{
    CLEANUP(query_clear) struct query query = {0};
    CLEANUP(strbuf_clear) struct strbuf text = {0};

    if (!request_list(rq, &schema_user, &query, err))
        return false;
    user_list(rq->api->config.core, &query, &text);
    return reply_text(rq, &text);
}

bool users_get(struct request *rq, struct err *err)
{
    json_t *user = user_show(rq->api->config.core, rq->ref, err);

    return user && request_show(rq, &schema_user, user, err);
}

static bool reply_created(struct request *rq, const struct uuid *id, struct err *err)
{
    json_t *user = user_show(rq->api->config.core, UUID_STR(id), err);

    if (!user)
        return false;
    reply_header(rq, "Location", "/api/v1/users/%s", UUID_STR(id));
    return reply_json(rq, 201, user);
}

bool users_create(struct request *rq, struct err *err)
{
    CLEANUP(user_body_clear) struct user_body body = {0};
    struct user_spec spec;
    struct origin origin;
    struct uuid id = {0};
    bool replay;

    if (!request_decode(rq, &new_model, &body, err) || !request_origin(rq, &origin, err) ||
        !auth_may_give(rq, role_rights((enum role)body.role), err) ||
        !idem_find(rq, &origin, "user", &replay, &id, err))
        return false;
    if (replay)
        return reply_created(rq, &id, err);
    spec = (struct user_spec){.name = body.name,
                              .role = (enum role)body.role,
                              .disabled = body.disabled,
                              .to_pam = body.source != 0};
    if (!user_create(rq->api->config.core, &spec, &origin, &id, err))
        return idem_lost_race(rq, &origin, "user", &id, err) && reply_created(rq, &id, err);
    return origin.dry_run ? reply_dry_run(rq, NULL, NULL) : reply_created(rq, &id, err);
}

bool users_edit(struct request *rq, struct err *err)
{
    CLEANUP(user_body_clear) struct user_body given = {0};
    CLEANUP(json_decrefp) json_t *body = request_json(rq, err), *user = NULL;
    struct core *core = rq->api->config.core;
    struct user_spec spec;
    struct origin origin;
    struct uuid id;

    if (!body || !model_decode(&edit_model, body, MODEL_CLIENT, &given, err) ||
        !origin_of(rq, &origin, err) || !auth_may_change(rq, &id, err))
        return false;
    if (json_is_null(json_object_get(body, "name")) || json_is_null(json_object_get(body, "role")))
        return err_field(err, ERR_INVALID, given.name ? "/role" : "/name",
                         "a user has a name and a role");
    spec = (struct user_spec){.name = given.name,
                              .role = (enum role)given.role,
                              .to_none = json_object_get(body, "role") && !given.role,
                              .disabled = given.disabled,
                              .keep_disabled = !json_object_get(body, "disabled"),
                              .to_pam = given.source != 0,
                              .to_own = json_object_get(body, "password_source") && !given.source};
    if ((spec.role && !auth_may_give(rq, role_rights(spec.role), err)) ||
        !user_edit(core, UUID_STR(&id), &spec, &origin, err))
        return false;
    if (origin.dry_run)
        return reply_dry_run(rq, NULL, NULL);
    user = user_show(core, UUID_STR(&id), err);
    return user && reply_json(rq, 200, TAKE(user));
}

bool users_delete(struct request *rq, struct err *err)
{
    struct origin origin;
    struct uuid id;

    if (!request_origin(rq, &origin, err) || !auth_may_change(rq, &id, err) ||
        !user_delete(rq->api->config.core, UUID_STR(&id), &origin, err))
        return false;
    return origin.dry_run ? reply_dry_run(rq, NULL, NULL) : reply_empty(rq, 204);
}

bool users_password(struct request *rq, struct err *err)
{
    CLEANUP(user_body_clear) struct user_body body = {0};
    struct origin origin;
    struct uuid id;

    if (!request_decode_secret(rq, &password_model, &body, err) || !origin_of(rq, &origin, err) ||
        !auth_may_change(rq, &id, err) ||
        !user_set_password(rq->api->config.core, UUID_STR(&id), body.password, &origin, err))
        return false;
    return origin.dry_run ? reply_dry_run(rq, NULL, NULL) : reply_empty(rq, 204);
}

/* As the caller asked for us, or as the configuration has it. */
static json_t *page_url(const struct request *rq, const char *code)
{
    const char *page = rq->api->config.page_url_or_null;

    if (!rq->conn->is_unix)
        return json_sprintf("https://%s/#/welcome/%s", rq->head.host, code);
    return page ? json_sprintf("%s/#/welcome/%s", page, code) : NULL;
}

bool users_link(struct request *rq, struct err *err)
{
    char code[LINK_TEXT] = "";
    struct origin origin;
    int64_t ends_ms = 0;
    struct uuid id;
    json_t *v;

    if (!request_no_arguments(rq, err) || !origin_of(rq, &origin, err) ||
        !auth_may_change(rq, &id, err) ||
        !user_link(rq->api->config.core, UUID_STR(&id), &origin, code, &ends_ms, err))
        return false;
    if (origin.dry_run)
        return reply_dry_run(rq, NULL, NULL);
    v = json_object();
    json_put(v, "url", page_url(rq, code));
    json_put(v, "path", json_sprintf("/#/welcome/%s", code));
    json_put_text(v, "code", code);
    json_put_time(v, "expires_at", ends_ms);
    explicit_bzero(code, sizeof code);
    return reply_json(rq, 200, v);
}

bool users_sessions(struct request *rq, struct err *err)
{
    CLEANUP(query_clear) struct query query = {0};
    CLEANUP(strbuf_clear) struct strbuf text = {0};

    return request_list(rq, &schema_session, &query, err) &&
           session_list(rq->api->config.core, rq->ref, &query, &text, err) && reply_text(rq, &text);
}

bool users_sign_out(struct request *rq, struct err *err)
{
    struct origin origin;
    struct uuid id;

    if (!origin_of(rq, &origin, err) || !auth_may_change(rq, &id, err) ||
        !session_end_all(rq->api->config.core, UUID_STR(&id), &origin, err))
        return false;
    return origin.dry_run ? reply_dry_run(rq, NULL, NULL) : reply_empty(rq, 204);
}

bool sessions_end(struct request *rq, struct err *err)
{
    struct core *core = rq->api->config.core;
    struct uuid id, user;
    struct origin origin;
    uint64_t rights = 0;

    if (!uuid_parse(rq->ref, &id))
        return err_set(err, ERR_NOT_FOUND, "there is no session '%.64s'", rq->ref);
    if (!origin_of(rq, &origin, err) || !session_user(core, &id, &user, err) ||
        !user_rights(core, UUID_STR(&user), &user, &rights, err) ||
        !auth_may_give(rq, rights, err) || !session_end(core, &id, &user, &origin, err))
        return false;
    return origin.dry_run ? reply_dry_run(rq, NULL, NULL) : reply_empty(rq, 204);
}
