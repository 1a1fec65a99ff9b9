/* The daemon and its host: health, version, contract, facts and findings. */
#include "core/host/host.h"

#include "api/assets.h"
#include "api/handlers.h"
#include "api/server.h"

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
