/* Who asks, and may they? */
#pragma once
#include "api/request.h"

/* Fills rq->who: by the token in Authorization, else by the user of the unix socket.
 * UNAUTHENTICATED when there is neither. */
bool auth_who(struct request *rq, struct err *err) MUST_USE;
/* FORBIDDEN unless rq->who may use rq->route. */
bool auth_may(const struct request *rq, struct err *err) MUST_USE;
/* The token of an Authorization header, NULL when it is not "Bearer <token>". */
const char *auth_token(const char *authorization);
