/* Authentication and permission: see auth.h. */
#include "api/auth.h"

#include "api/about.h"
#include "api/cookie.h"
#include "api/origin.h"
#include "api/rate.h"
#include "api/routes.h"
#include "api/server.h"
#include "core/user/certificate.h"
#include "core/user/token.h"
#include "core/user/user.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

const char *auth_token(const char *authorization)
{
    const char *token;

    if (!authorization || strncasecmp(authorization, "Bearer ", 7) != 0)
        return NULL;
    token = authorization + 7 + strspn(authorization + 7, " ");
    return *token && strlen(token) < TOKEN_TEXT && !strpbrk(token, " \t,") ? token : NULL;
}

bool auth_cookie(const struct request *rq, char text[SESSION_TEXT], struct err *err)
{
    *text = 0;
    if (rq->conn->is_unix) /* no browser comes this way */
        return true;
    return cookie_find(rq->head.cookie, AUTH_COOKIE, text, SESSION_TEXT) != COOKIE_BAD ||
           err_set(err, ERR_MALFORMED, "the cookie " AUTH_COOKIE " comes twice or is none of ours");
}

/* A browser sends a session's cookie by itself, whoever's page asks it to: changes need what only
 * our own page knows. */
static bool is_our_page(struct request *rq, const char *text, struct err *err)
{
    char csrf[SESSION_CSRF];
    const char *given = rq->head.csrf ? rq->head.csrf : "";

    if (!origin_is_ours(rq, err))
        return false;
    if (strcmp(rq->route->method, "GET") == 0)
        return true;
    session_csrf(text, csrf);
    return (strlen(given) == sizeof csrf - 1 && CRYPTO_memcmp(given, csrf, sizeof csrf - 1) == 0) ||
           err_set(err, ERR_FORBIDDEN,
                   "a change by a session needs the header X-VMM-CSRF, which GET /session tells");
}

static bool by_session(struct request *rq, const char *text, struct err *err)
{
    struct err wrong = {0};

    if (!session_check(rq->api->config.core, text, &rq->who, &wrong))
        return rate_wrong_token(rq, &wrong, err);
    conn_is_known(rq->conn);
    return is_our_page(rq, text, err);
}

static bool by_token(struct request *rq, const char *token, struct err *err)
{
    struct err wrong = {0};

    if (!token)
        return err_set(err, ERR_UNAUTHENTICATED,
                       "the Authorization header must be 'Bearer vmmd_…', a token made by "
                       "'vmmctl token create'");
    if (!token_check(rq->api->config.core, token, &rq->who, &wrong))
        return rate_wrong_token(rq, &wrong, err);
    conn_is_known(rq->conn);
    return true;
}

/* A browser shows its certificate by itself as well; programs send no Origin. */
static bool by_certificate(struct request *rq, struct err *err)
{
    struct err wrong = {0};

    if (!certificate_check(rq->api->config.core, rq->conn->certificate_sha256, &rq->who, &wrong))
        return rate_wrong_token(rq, &wrong, err);
    conn_is_known(rq->conn);
    return origin_is_ours(rq, err);
}

bool auth_who(struct request *rq, struct err *err)
{
    char text[SESSION_TEXT];
    bool ok;

    if (rq->head.authorization)
        return by_token(rq, auth_token(rq->head.authorization), err);
    if (!auth_cookie(rq, text, err))
        return false;
    if (*text) {
        ok = by_session(rq, text, err);
        explicit_bzero(text, sizeof text);
        return ok;
    }
    if (rq->conn->has_certificate)
        return by_certificate(rq, err);
    if (rq->conn->role == ROLE_NONE)
        return err_set(err, ERR_UNAUTHENTICATED,
                       "a token is needed: send 'Authorization: Bearer vmmd_…'");
    snprintf(rq->who.principal, sizeof rq->who.principal, "unix:%u", rq->conn->uid);
    rq->who.role = rq->conn->role;
    rq->who.rights = role_rights(rq->who.role);
    rq->who.by = BY_UNIX;
    return true;
}

bool auth_may(const struct request *rq, struct err *err)
{
    return about_may(rq->api->config.core, rq->route, &rq->who, rq->ref, err);
}

bool auth_may_give(const struct request *rq, uint64_t rights, struct err *err)
{
    return !(rights & ~rq->who.rights) ||
           err_set(err, ERR_FORBIDDEN,
                   "%s cannot give rights that it has not, nor change a user who has them",
                   rq->who.principal);
}

bool auth_may_change(const struct request *rq, struct uuid *id, struct err *err)
{
    uint64_t rights = 0;

    return user_rights(rq->api->config.core, rq->ref, id, &rights, err) &&
           auth_may_give(rq, rights, err);
}
