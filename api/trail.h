/* What the audit trail is told of a request: who, from where, and which members it names. */
#pragma once
#include "api/request.h"
#include "core/event/audit.h"

/* Around the handler of a route that changes something; the others are left alone. */
struct trail {
    struct audit_note note; /* without an operation: there is nothing to record */
};
void trail_begin(struct request *rq, struct trail *trail);
void trail_end(struct request *rq, struct trail *trail);
/* A refusal: recorded when it is FORBIDDEN, of somebody who is known. Blocks until it is durable.
 */
void trail_refusal(struct request *rq, const struct err *why);
