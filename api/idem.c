/* Repeated requests: see idem.h. The store keeps key, route and body hash with what was made, in
 * the transaction that made it; nothing secret and no reply texts. */
#include "api/idem.h"

#include "api/server.h"

#include <string.h>

bool idem_find(struct request *rq, const struct origin *origin, const char *type, bool *found,
               struct uuid *object, struct err *err)
{
    char made[16] = "";

    *found = false;
    if (!origin->idempotency_key)
        return true;
    if (!core_idem_find(rq->api->config.core, origin, found, made, object, err))
        return false;
    if (!*found)
        return true;
    if (strcmp(made, type) != 0)
        return err_set(err, ERR_IDEM_MISMATCH, "this Idempotency-Key was used for another request");
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
