/* API tokens. The text of a token exists in the reply that creates it and nowhere else. */
#include "api/auth.h"
#include "api/handlers.h"
#include "api/idem.h"
#include "api/server.h"
#include "core/user/token.h"
#include "core/user/user.h"

#include <string.h>

#define GONE                                                                                       \
    "The token's text was shown when it was created and is not kept. Revoke this token and "       \
    "create "                                                                                      \
    "another if it is lost."

struct token_body {
    char *name, *owner;
    json_t *rights; /* list of words, or NULL */
    int role;       /* enum role - 1 */
    uint64_t ttl_s;
};

static const char *const grantable[] = {"viewer", "operator", "admin", NULL};
static const struct field token_fields[] = {
    {.name = "name",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED,
     .offset = offsetof(struct token_body, name),
     .min = 1,
     .max = NAME_MAX_BYTES,
     .check = check_name,
     .help = "unique"},
    {.name = "role",
     .type = FIELD_ENUM,
     .flags = FIELD_REQUIRED,
     .offset = offsetof(struct token_body, role),
     .names = grantable,
     .help = "what it may do"},
    {.name = "ttl_s",
     .type = FIELD_U64,
     .offset = offsetof(struct token_body, ttl_s),
     .max = 315360000,
     .help = "seconds it is valid; 0: for ever"},
    {.name = "owner",
     .type = FIELD_TEXT,
     .offset = offsetof(struct token_body, owner),
     .min = 1,
     .max = NAME_MAX_BYTES,
     .help = "user with whom it goes; absent: whoever creates it, if that is a user"},
    {.name = "rights",
     .type = FIELD_WORDS,
     .offset = offsetof(struct token_body, rights),
     .min = 1,
     .max = 63,
     .help = "which of its role's rights it has; absent: all"},
};
static const struct model token_model = {"TokenSpec", sizeof(struct token_body), token_fields,
                                         ARRAY_LEN(token_fields)};

static void token_body_clear(struct token_body *spec)
{
    model_clear(&token_model, spec);
}

bool tokens_list(struct request *rq, struct err *err)
{
    CLEANUP(query_clear) struct query query = {0};
    CLEANUP(strbuf_clear) struct strbuf text = {0};

    if (!request_list(rq, &schema_token, &query, err))
        return false;
    token_list(rq->api->config.core, &query, &text);
    return reply_text(rq, &text);
}

bool tokens_get(struct request *rq, struct err *err)
{
    json_t *token = token_show(rq->api->config.core, rq->ref, err);

    return token && request_show(rq, &schema_token, token, err);
}

/* 'text' NULL: a replay. */
static bool reply_created(struct request *rq, const struct uuid *id, const char *text,
                          struct err *err)
{
    json_t *token = token_show(rq->api->config.core, UUID_STR(id), err);

    if (!token)
        return false;
    json_put_text(token, "token", text);
    json_put_text(token, "note", text ? NULL : GONE);
    reply_header(rq, "Location", "/api/v1/tokens/%s", UUID_STR(id));
    return reply_json(rq, 201, token);
}

/* What the body says, for core; nobody gives what he has not. */
static bool make_spec(struct request *rq, const struct token_body *body, struct token_spec *out,
                      struct err *err)
{
    uint64_t owner = 0;

    *out = (struct token_spec){.name = body->name,
                               .role = (enum role)(body->role + 1),
                               .ttl_s = body->ttl_s,
                               .owner = rq->who.user};
    if (body->rights && !rights_parse(body->rights, &out->rights))
        return err_field(err, ERR_INVALID, "/rights",
                         "rights are words such as vm-read: docs/accounts.md lists them");
    if (body->owner && !user_rights(rq->api->config.core, body->owner, &out->owner, &owner, err))
        return err->code = ERR_INVALID, err_under(err, "/owner");
    if (!auth_may_give(rq, owner, err))
        return false;
    return auth_may_give(rq, role_rights(out->role) & (out->rights ? out->rights : UINT64_MAX),
                         err);
}

bool tokens_create(struct request *rq, struct err *err)
{
    CLEANUP(token_body_clear) struct token_body body = {0};
    struct token_spec spec;
    struct origin origin;
    struct uuid id = {0};
    char text[TOKEN_TEXT] = "";
    bool replay, ok;

    if (!request_decode(rq, &token_model, &body, err) || !make_spec(rq, &body, &spec, err) ||
        !request_origin(rq, &origin, err) || !idem_find(rq, &origin, "token", &replay, &id, err))
        return false;
    if (replay)
        return reply_created(rq, &id, NULL, err);
    if (!token_create_as(rq->api->config.core, &spec, &origin, &id, text, err))
        return idem_lost_race(rq, &origin, "token", &id, err) && reply_created(rq, &id, NULL, err);
    ok = origin.dry_run ? reply_dry_run(rq, NULL, NULL) : reply_created(rq, &id, text, err);
    explicit_bzero(text, sizeof text);
    return ok;
}

bool tokens_revoke(struct request *rq, struct err *err)
{
    struct origin origin;

    if (!request_origin(rq, &origin, err) ||
        !token_revoke(rq->api->config.core, rq->ref, &origin, err))
        return false;
    return origin.dry_run ? reply_dry_run(rq, NULL, NULL) : reply_empty(rq, 204);
}
