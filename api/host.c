/* The daemon and its host: health, version, contract, facts and findings. */
#include "core/host/host.h"

#include "api/assets.h"
#include "api/handlers.h"
#include "api/idem.h"
#include "api/operations.h"
#include "api/server.h"
#include "core/vm/vm.h"

bool health_get(struct request *rq, struct err *err)
{
    (void)err; /* while stopping, request_check() has answered 503 already */
    return reply_static(rq, "text/plain", "ok\n", 3);
}

bool openapi_get(struct request *rq, struct err *err)
{
    (void)err;
    return reply_static(rq, "application/yaml", asset_openapi,
                        (size_t)(asset_openapi_end - asset_openapi));
}

bool version_get(struct request *rq, struct err *err)
{
    json_t *v = json_object();

    (void)err;
    json_put_text(v, "name", "vmmd");
    json_put_text(v, "version", VMMD_VERSION);
    json_put_text(v, "api", "v1");
    json_put(v, "capabilities", json_array());
    return reply_json(rq, 200, v);
}

bool host_get(struct request *rq, struct err *err)
{
    json_t *host = host_show(rq->api->config.core, err);

    return host && reply_json(rq, 200, host);
}

bool host_inventory_get(struct request *rq, struct err *err)
{
    json_t *inventory = host_inventory(rq->api->config.core, err);

    return inventory && reply_json(rq, 200, inventory);
}

bool guests_shutdown_post(struct request *rq, struct err *err)
{
    struct origin origin;
    struct uuid op = {0};
    bool replay;

    if (!request_no_arguments(rq, err) || !request_origin(rq, &origin, err) ||
        !idem_find(rq, &origin, "operation", &replay, &op, err))
        return false;
    if (!replay && !guests_shutdown(rq->api->config.core, &origin, &op, err) &&
        !idem_lost_race(rq, &origin, "operation", &op, err))
        return false;
    return origin.dry_run && !replay ? reply_dry_run(rq, NULL, NULL)
                                     : operation_reply(rq, &op, err);
}
