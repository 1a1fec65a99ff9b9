/* Whose page a browser's request comes from, and under which name we were asked: what keeps other
 * sites from using a person's session. */
#pragma once
#include "api/request.h"

/* MISDIRECTED unless the Host is one of ours (docs/accounts.md): a name that somebody else points
 * at us would make their page one of ours. Not on the unix socket. */
bool origin_check_host(const struct request *rq, struct err *err) MUST_USE;
/* FORBIDDEN when the browser says that another site's page sends it. */
bool origin_is_ours(const struct request *rq, struct err *err) MUST_USE;
