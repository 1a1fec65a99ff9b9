/* A clone of a snapshot with memory may go on with an image of its own: a full one into another
 * pool with a copy, any of an archived memory with that, expanded. See cloning.h, and
 * docs/memory.md, "Clone". Until it is defined it holds the other VM's, so that this cannot go in
 * between. */
#include "core/base/failpoint.h"
#include "core/disk/copy.h"
#include "core/disk/disks.h"
#include "core/disk/space.h"
#include "core/ram/expand.h"
#include "core/ram/image.h"
#include "core/snap/cloning.h"
#include "core/vm/registry.h"

#include <stdlib.h>

static bool layer_of(struct core *core, const struct uuid *id, struct layer *out, struct err *err)
{
    const struct file *file;

    lock_take(&core->registry.lock);
    file = file_find(core, id);
    if (file)
        *out = layer_of_file(core, file);
    lock_drop(&core->registry.lock);
    return file || err_set(err, ERR_NOT_FOUND, "the memory image is gone");
}

bool clone_image_plan(struct core *core, const struct uuid *image, const char *pool,
                      struct layer *out, struct err *err)
{
    const uint64_t expanded = ram_expand_bytes(core, image);
    const struct pool *target;
    struct layer from;

    *out = (struct layer){.dir = -1};
    if (!layer_of(core, image, &from, err))
        return false;
    lock_take(&core->registry.lock);
    target = pool_find(core, pool ? pool : UUID_STR(&from.pool));
    if (target && (expanded || !uuid_eq(&target->id, &from.pool))) {
        *out = from;
        out->id = uuid_new();
        out->pool = target->id;
        out->dir = target->dir;
    }
    lock_drop(&core->registry.lock);
    return uuid_is_zero(&out->id) ||
           space_check(core, &out->pool, expanded ? expanded : layer_allocated(&from), "/pool",
                       err) ||
           err_prefix(err, "the VM's memory");
}

/* '*any' false: the job has none, or the VM goes on with it already. */
static bool of_job(struct core *core, struct vm *vm, struct job *job, struct layer *from,
                   struct layer *to, bool *any, struct err *err)
{
    struct uuid now;

    *any = json_object_get(job_args(job), "image") != NULL;
    if (!*any)
        return true;
    if (!ram_image_of_job(core, &vm->id, job_id(job), job_args(job), to, err))
        return false;
    lock_take(&core->registry.lock);
    now = vm->memory;
    lock_drop(&core->registry.lock);
    *any = !uuid_eq(&now, &to->id);
    return !*any || layer_of(core, &now, from, err);
}

static bool tell(void *ctx, uint64_t bytes, struct err *err)
{
    struct pace *pace = ctx;

    return pace_wait(pace, bytes, err);
}

static bool copy(struct core *core, struct vm *source, struct job *job, const struct layer *from,
                 const struct layer *to, struct err *err)
{
    struct pace pace;

    pace_begin_at_once(&pace, core, source, job);
    return space_reserve(core, &to->pool, job_id(job), layer_allocated(from), "/pool", err) &&
           layer_copy(from, to, tell, &pace, err);
}

bool clone_image_make(struct core *core, struct vm *vm, struct vm *source, struct job *job,
                      struct err *err)
{
    struct layer from, to;
    bool any;

    if (!of_job(core, vm, job, &from, &to, &any, err))
        return false;
    return !any ||
           (FAILPOINT("vm.clone.memory", err) &&
            (ram_expand_bytes(core, &from.id) ? ram_expand(core, source, job, &from, &to, err)
                                              : copy(core, source, job, &from, &to, err)));
}

static void drop_facts(struct ram_image **facts)
{
    ram_image_free(*facts);
}

static bool write_all(struct core *core, const struct layer *from, const struct layer *to,
                      bool (*write)(struct store_txn *txn, void *ctx, struct err *err), void *ctx,
                      bool *last, struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(core->store, err);
    CLEANUP(drop_facts) struct ram_image *facts = NULL;

    if (!txn)
        return false;
    facts = to ? ram_expand_facts(core, &from->id, err) : NULL;
    if (!write(txn, ctx, err) ||
        (to && (!facts || !ram_image_write_live(txn, to, facts, err) ||
                !ram_image_let_go(txn, &from->id, last, err))) ||
        !FAILPOINT("vm.clone.row", err) || !store_commit(&txn, err))
        return false;
    if (to)
        ram_image_set_live(core, to, TAKE(facts));
    return true;
}

bool clone_image_commit(struct core *core, struct vm *vm, struct job *job,
                        bool (*write)(struct store_txn *txn, void *ctx, struct err *err), void *ctx,
                        struct err *err)
{
    bool any, last = false, ok;
    struct layer from, to;

    if (!of_job(core, vm, job, &from, &to, &any, err))
        return false;
    if (!any)
        return write_all(core, NULL, NULL, write, ctx, &last, err);
    ram_vm_turn(core, vm, &to.id);
    ok = write_all(core, &from, &to, write, ctx, &last, err);
    if (ok)
        ram_image_left(core, &from.id, last);
    else
        ram_vm_turn(core, vm, &from.id);
    return ok;
}
