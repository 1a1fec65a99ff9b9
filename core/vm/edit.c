/* Changing a VM's configuration: a merge patch on a copy, one transaction, then memory. What a
 * running VM cannot take up now is "pending": the difference to the configuration it was started
 * with. */
#include "core/vm/vm.h"

#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/mem.h"
#include "core/model/profile.h"
#include "core/vm/kinds.h"
#include "core/vm/registry.h"

#include <stdlib.h>

bool vm_etag_matches(const struct vm *vm, const struct etag *if_match, struct err *err)
{
    if (!if_match || if_match->revision == vm->revision)
        return true;
    return err_set(err, ERR_REVISION,
                   "%s is at revision %llu, the request was for %llu: read it again", vm->name,
                   (unsigned long long)vm->revision, (unsigned long long)if_match->revision);
}

static bool write_edit(struct core *core, struct vm *vm, const struct vm_spec *spec,
                       struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(core->store, err);
    CLEANUP(json_decrefp) json_t *json = model_encode(&vm_model, spec);
    CLEANUP(mem_freep) char *text = json_write(json);
    struct vm_record record;
    struct vm_texts texts;
    json_t *data;
    bool ok;

    if (!txn)
        return false;
    lock_take(&core->registry.lock);
    vm_record_fill(vm, &record, &texts);
    lock_drop(&core->registry.lock);
    record.spec = text;
    record.revision++;
    record.updated_ms = clock_wall_ms();
    data = json_object();
    json_put_text(data, "name", vm->name);
    json_put_u64(data, "revision", record.revision);
    ok = event_add(txn, "vm.changed", "vm", &vm->id, data, err) &&
         store_vm_put(txn, &record, err) && FAILPOINT("vm.edit.row", err) &&
         store_commit(&txn, err);
    vm_texts_clear(&texts);
    return ok;
}

/* Memory follows the row; 'spec' is taken. */
static void apply(struct core *core, struct vm *vm, struct vm_spec *spec)
{
    struct vm_spec old = vm->spec;

    lock_take(&core->registry.lock);
    vm->spec = *spec;
    *spec = (struct vm_spec){0};
    vm->revision++;
    vm->updated_ms = clock_wall_ms();
    lock_drop(&core->registry.lock);
    vm_spec_clear(&old);
    events_ring(core);
}

static bool is_defined(const struct vm *vm, void *ctx)
{
    return vm->phase == VM_DEFINED;
}

/* Under vm->writing. */
static bool edit(struct core *core, struct vm *vm, const json_t *patch, const struct etag *if_match,
                 const struct origin *origin, struct err *err)
{
    CLEANUP(vm_spec_clear) struct vm_spec spec = {0};

    if (!vm_is(core, vm, is_defined, NULL))
        return err_set(err, ERR_BUSY, "%s is being created or deleted", vm->name);
    if (!vm_etag_matches(vm, if_match, err) || !vm_spec_patch(&vm->spec, patch, &spec, err) ||
        !vm_spec_check(&spec, err))
        return false;
    if (origin->dry_run)
        return true;
    if (!write_edit(core, vm, &spec, err))
        return false;
    apply(core, vm, &spec);
    return true;
}

json_t *vm_edit(struct core *core, const char *ref, const json_t *patch,
                const struct etag *if_match, const struct origin *origin, struct etag *etag,
                struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get(core, ref, err)};
    bool ok;

    if (!hold.vm)
        return NULL;
    lock_take(&hold.vm->writing);
    ok = edit(core, hold.vm, patch, if_match, origin, err);
    lock_drop(&hold.vm->writing);
    if (!ok)
        return NULL;
    if (!origin->dry_run)
        vm_copy_publish(core, hold.vm);
    return vm_show(core, ref, etag, err);
}
