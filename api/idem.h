/* Idempotency-Key: a repeated POST gives what the first one made. */
#pragma once
#include "api/request.h"

/* '*found': an earlier request with this key made '*object' of 'type'; the reply has got its
 * Idempotency-Replayed header then. IDEM_MISMATCH: the key belongs to another request. */
bool idem_find(struct request *rq, const struct origin *origin, const char *type, bool *found,
               struct uuid *object, struct err *err) MUST_USE;
/* After a core call failed with '*err': true when it failed because the same request came twice at
 * the same time and the other one won; '*object' is what that made. */
bool idem_lost_race(struct request *rq, const struct origin *origin, const char *type,
                    struct uuid *object, struct err *err) MUST_USE;
