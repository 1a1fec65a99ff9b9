/* Repeated requests: see idem.h. The store keeps key, route and body hash with what was made, in
 * the transaction that made it; nothing secret and no reply texts. */
#include "api/idem.h"

#include "api/server.h"

#include <string.h>

void idem_keys_init(struct idem_keys *keys)
{
    *keys = (struct idem_keys){0};
    lock_init(&keys->lock);
    cond_init(&keys->freed);
}

void idem_keys_clear(struct idem_keys *keys)
{
    cond_clear(&keys->freed);
    lock_clear(&keys->lock);
}

static bool is_held(const struct idem_keys *keys, const struct origin *origin) REQUIRES(keys->lock);
static bool is_held(const struct idem_keys *keys, const struct origin *origin)
{
    for (const struct request *rq = keys->holders; rq; rq = rq->next_key)
        if (strcmp(rq->held_key, origin->idempotency_key) == 0 &&
            strcmp(rq->who.principal, origin->principal) == 0)
            return true;
    return false;
}

static void hold_key(struct request *rq, const struct origin *origin)
{
    struct idem_keys *keys = &rq->api->keys;

    if (rq->held_key)
        return; /* asked again after a lost race */
    lock_take(&keys->lock);
    while (is_held(keys, origin))
        cond_wait(&keys->freed, &keys->lock);
    rq->held_key = origin->idempotency_key;
    rq->next_key = keys->holders;
    keys->holders = rq;
    lock_drop(&keys->lock);
}

void idem_release(struct request *rq)
{
    struct idem_keys *keys = &rq->api->keys;
    struct request **at;

    if (!rq->held_key)
        return;
    lock_take(&keys->lock);
    for (at = &keys->holders; *at != rq; at = &(*at)->next_key)
        ;
    *at = rq->next_key;
    rq->held_key = NULL;
    cond_wake_all(&keys->freed);
    lock_drop(&keys->lock);
}

bool idem_find(struct request *rq, const struct origin *origin, const char *type, bool *found,
               struct uuid *object, struct err *err)
{
    char made[16] = "";

    *found = false;
    if (!origin->idempotency_key)
        return true;
    hold_key(rq, origin);
    if (!core_idem_find(rq->api->config.core, origin, found, made, object, err))
        return false;
    if (!*found)
        return true;
    if (strcmp(made, type) != 0)
        return err_set(err, ERR_IDEM_MISMATCH, "this Idempotency-Key was used for another request");
    rq->replayed = true;
    reply_header(rq, "Idempotency-Replayed", "true");
    return true;
}

bool idem_lost_race(struct request *rq, const struct origin *origin, const char *type,
                    struct uuid *object, struct err *err)
{
    struct err other = {0};
    bool found = false;

    if (!origin->idempotency_key)
        return false;
    if (idem_find(rq, origin, type, &found, object, &other))
        return found;
    if (other.code == ERR_IDEM_MISMATCH)
        *err = other;
    return false;
}
