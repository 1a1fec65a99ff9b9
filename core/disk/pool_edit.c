/* Changing a pool: its name, what it may hold, what it keeps free, the format of new disks. See
 * pool.h. */
#include "core/base/failpoint.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/disks.h"
#include "core/disk/pool.h"
#include "core/disk/space.h"
#include "core/vm/registry.h"

#include <stdlib.h>
#include <string.h>

struct lock pool_editing = {PTHREAD_MUTEX_INITIALIZER};

static void settings_clear(struct pool_settings *settings)
{
    model_clear(&pool_model, settings);
}

/* The pool as a client would write it; false when it is not there. */
static bool settings_of(struct core *core, const char *ref, struct pool_settings *out,
                        struct uuid *id, struct err *err)
{
    struct pool *pool;

    lock_take(&core->registry.lock);
    pool = pool_find(core, ref);
    if (pool) {
        *id = pool->id;
        *out = (struct pool_settings){.name = str_dup(pool->name),
                                      .root = str_dup(pool->root),
                                      .quota_bytes = pool->quota_bytes,
                                      .reserve_bytes = pool->reserve_bytes,
                                      .default_format = pool->default_format};
    }
    lock_drop(&core->registry.lock);
    return pool || err_set(err, ERR_NOT_FOUND, "there is no pool '%.64s'", ref);
}

static bool name_is_free(struct core *core, const char *name, const struct uuid *id,
                         struct err *err)
{
    struct pool *other;
    bool ok;

    lock_take(&core->registry.lock);
    other = pool_find(core, name);
    ok = !other || uuid_eq(&other->id, id);
    lock_drop(&core->registry.lock);
    return ok || err_field(err, ERR_EXISTS, "/name", "there is a pool named '%s' already", name);
}

static bool write_edit(struct core *core, const struct uuid *id, const struct pool_settings *s,
                       struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(core->store, err);
    struct pool_record record = {.id = *id,
                                 .name = s->name,
                                 .root = s->root,
                                 .quota_bytes = s->quota_bytes,
                                 .reserve_bytes = s->reserve_bytes,
                                 .default_format = disk_format_names[s->default_format]};
    struct pool *pool;
    json_t *data;

    if (!txn)
        return false;
    lock_take(&core->registry.lock);
    pool = pool_find(core, UUID_STR(id));
    if (pool) {
        record.created_ms = pool->created_ms;
        record.low_space = pool->low_space;
    }
    lock_drop(&core->registry.lock);
    if (!pool)
        return err_set(err, ERR_NOT_FOUND, "the pool is gone");
    data = json_object();
    json_put_text(data, "name", s->name);
    return event_add(txn, "pool.changed", "pool", id, data, err) &&
           store_pool_put(txn, &record, err) && FAILPOINT("pool.edit.row", err) &&
           store_commit(&txn, err);
}

static void apply(struct core *core, const struct uuid *id, const struct pool_settings *s)
{
    struct pool *pool;

    lock_take(&core->registry.lock);
    pool = pool_find(core, UUID_STR(id));
    if (pool) {
        free(pool->name);
        pool->name = str_dup(s->name);
        pool->quota_bytes = s->quota_bytes;
        pool->reserve_bytes = s->reserve_bytes;
        pool->default_format = s->default_format;
    }
    lock_drop(&core->registry.lock);
}

static bool edit(struct core *core, const char *ref, const json_t *patch,
                 const struct origin *origin, struct uuid *id, struct err *err)
{
    CLEANUP(settings_clear) struct pool_settings now = {0}, wanted = {0};

    if (!settings_of(core, ref, &now, id, err) ||
        !model_patch(&pool_model, &now, patch, &wanted, err) ||
        !name_is_free(core, wanted.name, id, err))
        return false;
    if (origin->dry_run)
        return true;
    if (!write_edit(core, id, &wanted, err))
        return false;
    apply(core, id, &wanted);
    return true;
}

json_t *pool_edit(struct core *core, const char *ref, const json_t *patch,
                  const struct origin *origin, struct err *err)
{
    struct uuid id;
    bool ok;

    lock_take(&pool_editing);
    ok = edit(core, ref, patch, origin, &id, err);
    lock_drop(&pool_editing);
    if (!ok)
        return NULL;
    if (!origin->dry_run) {
        events_ring(core);
        host_copy_later(core);
        space_watch(core);
    }
    return pool_show(core, UUID_STR(&id), err);
}
