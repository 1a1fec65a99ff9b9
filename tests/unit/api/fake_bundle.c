/* Bundles, as far as the api's tests go. See fakes.h. */
#include "core/bundle/bundle.h"

bool vm_export(struct core *c, const char *ref, const struct bundle_ask *ask,
               const struct origin *origin, struct uuid *op, json_t **plan, struct err *err)
{
    remember(c, origin, "export");
    if (origin->dry_run)
        *plan = json_object();
    return uuid_parse(POOL_ID, op);
}

bool vm_import(struct core *c, const struct import_ask *ask, const struct origin *origin,
               struct uuid *op, json_t **plan, struct err *err)
{
    remember(c, origin, "import");
    if (origin->dry_run)
        *plan = json_object();
    return uuid_parse(POOL_ID, op);
}

void bundle_list(struct core *c, const struct query *query, struct strbuf *out)
{
    strbuf_adds(out, "{\"items\":[]}");
}

bool bundle_remove(struct core *c, const char *name, const struct origin *origin, struct err *err)
{
    return true;
}
