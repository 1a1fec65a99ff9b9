/* Idempotency-Key: a repeated POST gives what the first one made. */
#pragma once
#include "api/request.h"
#include "core/base/thread.h"

/* The keys of the requests that are being served: the same request that comes twice at the same
 * time is served one after the other, so that the second finds what the first one made. */
struct idem_keys {
    struct lock lock;
    struct cond freed;
    struct request *holders GUARDED_BY(lock);
};
void idem_keys_init(struct idem_keys *keys);
void idem_keys_clear(struct idem_keys *keys);
/* Lets others with the same key go on; at the latest when the request ends. */
void idem_release(struct request *rq);

/* '*found': an earlier request with this key made '*object' of 'type'; the reply has got its
 * Idempotency-Replayed header then. Waits while another request with this key is being served.
 * IDEM_MISMATCH: the key belongs to another request. */
bool idem_find(struct request *rq, const struct origin *origin, const char *type, bool *found,
               struct uuid *object, struct err *err) MUST_USE;
/* After a core call failed with '*err': true when it failed because the same request came twice at
 * the same time and the other one won; '*object' is what that made. */
bool idem_lost_race(struct request *rq, const struct origin *origin, const char *type,
                    struct uuid *object, struct err *err) MUST_USE;
