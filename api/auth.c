/* Authentication and permission: see auth.h. */
#include "api/auth.h"

#include "api/rate.h"
#include "api/routes.h"
#include "api/server.h"
#include "core/user/token.h"

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

bool auth_who(struct request *rq, struct err *err)
{
    const char *token = auth_token(rq->head.authorization);
    struct err wrong = {0};

    if (token) {
        if (!token_check(rq->api->config.core, token, &rq->who, &wrong))
            return rate_wrong_token(rq, &wrong, err);
        conn_is_known(rq->conn);
        return true;
    }
    if (rq->head.authorization)
        return err_set(err, ERR_UNAUTHENTICATED,
                       "the Authorization header must be 'Bearer vmmd_…', a token made by "
                       "'vmmctl token create'");
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
    if (who_may(&rq->who, rq->route->right))
        return true;
    return err_set(err, ERR_FORBIDDEN, "%s has the role %s without the right %s, which this needs",
                   rq->who.principal, role_names[rq->who.role], right_names[rq->route->right]);
}
