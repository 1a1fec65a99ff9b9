/* Moves, as far as the api's tests go. See fakes.h. */
#include "core/move/move.h"

bool vm_move_storage(struct core *c, const char *ref, const struct move_request *request,
                     const struct origin *origin, struct uuid *op, json_t **plan, struct err *err)
{
    remember(c, origin, "move-storage");
    if (origin->dry_run)
        *plan = json_object();
    return uuid_parse(POOL_ID, op);
}

bool job_limit(struct core *c, const struct uuid *id, uint64_t bytes_per_s,
               const struct origin *origin, struct err *err)
{
    remember(c, origin, "limit");
    return true;
}
