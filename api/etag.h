/* Entity tags and preconditions (RFC 9110 §13). */
#pragma once
#include "api/request.h"
#include "core/vm/vm.h"

void etag_reply(struct request *rq, const struct etag *etag); /* the header of a reply */
/* If-Match. '*given': there is one, and 'out' is the revision it asks for; false for "*" and for
 * none. MALFORMED for a list or anything else. */
bool etag_if_match(const struct request *rq, bool *given, struct etag *out,
                   struct err *err) MUST_USE;
/* Whether If-None-Match names 'etag': the client has it already. */
bool etag_if_none_match(const struct request *rq, const struct etag *etag);
