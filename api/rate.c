/* Rates: see rate.h. */
#include "api/rate.h"

#include "api/routes.h"
#include "api/server.h"
#include "core/base/clock.h"

#include <string.h>

static bool changes(const struct request *rq)
{
    return rq->route->right != RIGHT_PUBLIC && strcmp(rq->route->method, "GET") != 0;
}

bool rate_check(struct request *rq, struct err *err)
{
    unsigned wait;

    if (rq->conn->is_free || !changes(rq))
        return true;
    wait = limit_take(&rq->api->changes, rq->who.principal, clock_mono_ms());
    if (!wait)
        return true;
    meter_count(&rq->api->meter.limited[METER_LIMIT_CHANGES]);
    rq->reply.retry_s = wait;
    return err_set(err, ERR_RATE_LIMITED,
                   "%s makes more than %u changes a second: slow down, or raise rate_limit in "
                   "vmmd.conf",
                   rq->who.principal, rq->api->config.changes_per_s);
}

void rate_owe(struct request *rq, unsigned n)
{
    if (!rq->conn->is_free && n > 1)
        limit_owe(&rq->api->changes, rq->who.principal, n - 1, clock_mono_ms());
}

bool rate_wrong_token(struct request *rq, const struct err *wrong, struct err *err)
{
    unsigned wait = 0;

    meter_count(&rq->api->meter.failed_auth);
    if (!rq->conn->is_free)
        wait = limit_take(&rq->api->failures, rq->conn->address, clock_mono_ms());
    if (!wait) {
        *err = *wrong;
        return false;
    }
    meter_count(&rq->api->meter.limited[METER_LIMIT_AUTH]);
    rq->reply.retry_s = wait;
    rq->must_close = true;
    return err_set(err, ERR_RATE_LIMITED,
                   "too many wrong tokens came from this address: check the token, and wait");
}
