/* Who asks, and may they? */
#pragma once
#include "api/request.h"
#include "core/user/session.h"

#define AUTH_COOKIE                                                                                \
    "__Host-vmmd" /* of a browser's session; the prefix binds it to this host and TLS */

/* Fills rq->who: by the token in Authorization, else by the session of the cookie, else by the
 * certificate of the connection, else by the user of the unix socket. UNAUTHENTICATED when there is
 * none of them; FORBIDDEN for a session that another site's page uses, or a change by it without
 * its X-VMM-CSRF. */
bool auth_who(struct request *rq, struct err *err) MUST_USE;
/* FORBIDDEN unless rq->who may use rq->route; NOT_FOUND when its object may not be seen. */
bool auth_may(const struct request *rq, struct err *err) MUST_USE;
/* FORBIDDEN unless rq->who has all these rights: nobody gives away what he has not. */
bool auth_may_give(const struct request *rq, uint64_t rights, struct err *err) MUST_USE;
/* The token of an Authorization header, NULL when it is not "Bearer <token>". */
const char *auth_token(const char *authorization);
/* The user at "{id}", whom the caller may change: NOT_FOUND, and FORBIDDEN for one who may do more.
 */
bool auth_may_change(const struct request *rq, struct uuid *id, struct err *err) MUST_USE;
/* The text of the session's cookie, "" when there is none. MALFORMED. */
bool auth_cookie(const struct request *rq, char text[SESSION_TEXT], struct err *err) MUST_USE;
