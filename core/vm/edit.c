/* Changing a VM's configuration: a merge patch on a copy, one transaction, then memory. What a
 * running VM cannot take up now is "pending": the difference to the configuration it was started
 * with. */
#include "core/vm/vm.h"

#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/mem.h"
#include "core/disk/change.h"
#include "core/disk/pool.h"
#include "core/host/host.h"
#include "core/model/profile.h"
#include "core/model/rules.h"
#include "core/user/sight_inside.h"
#include "core/vm/kinds.h"
#include "core/vm/registry.h"
#include "core/vm/restart.h"

#include <stdlib.h>
#include <string.h>

bool vm_etag_matches(const struct vm *vm, const struct etag *if_match, struct err *err)
{
    if (!if_match || if_match->revision == vm->revision)
        return true;
    return err_set(err, ERR_REVISION,
                   "%s is at revision %llu, the request was for %llu: read it again", vm->name,
                   (unsigned long long)vm->revision, (unsigned long long)if_match->revision);
}

/* What one edit is about, under vm->writing. */
struct edit {
    struct core *core;
    struct vm *vm;
    struct vm_spec spec; /* as it will be; owned until it is applied */
    const struct origin *origin;
    bool renames;
};

static json_t *changed_event(const struct edit *e, uint64_t revision)
{
    json_t *data = json_object();

    json_put_text(data, "name", e->spec.name);
    if (e->renames)
        json_put_text(data, "previous_name", e->vm->name);
    json_put_u64(data, "revision", revision);
    return data;
}

static bool write_edit(struct edit *e, struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(e->core->store, err);
    CLEANUP(json_decrefp) json_t *json = model_encode(&vm_model, &e->spec);
    CLEANUP(mem_freep) char *text = json_write(json);
    const char *type = e->renames ? "vm.renamed" : "vm.changed";
    struct vm_record record;
    struct vm_texts texts;
    bool ok;

    if (!txn)
        return false;
    lock_take(&e->core->registry.lock);
    vm_record_fill(e->vm, &record, &texts);
    lock_drop(&e->core->registry.lock);
    record.name = e->spec.name;
    record.spec = text;
    record.revision++;
    record.updated_ms = clock_wall_ms();
    ok = idem_add(txn, e->origin, "vm", &e->vm->id, err) &&
         event_add(txn, type, "vm", &e->vm->id, changed_event(e, record.revision), err) &&
         store_vm_put(txn, &record, err) && FAILPOINT("vm.edit.row", err) &&
         store_commit(&txn, err);
    vm_texts_clear(&texts);
    return ok;
}

/* Memory follows the row; e->spec is taken. */
static void apply(struct edit *e)
{
    struct core *core = e->core;
    struct vm *vm = e->vm;
    struct vm_spec old = vm->spec;

    lock_take(&core->registry.lock);
    vm->spec = e->spec;
    if (e->renames)
        vm_name_set(core, vm, vm->spec.name);
    vm->revision++;
    vm->updated_ms = clock_wall_ms();
    lock_drop(&core->registry.lock);
    e->spec = old;
    events_ring(core);
}

static bool is_defined(const struct vm *vm, void *ctx)
{
    return vm->phase == VM_DEFINED;
}

static bool check(struct edit *e, const json_t *patch, const struct etag *if_match, struct err *err)
{
    struct vm *vm = e->vm;

    if (!vm_is(e->core, vm, is_defined, NULL))
        return err_set(err, ERR_BUSY, "%s is being created or deleted", vm->name);
    if (!vm_etag_matches(vm, if_match, err) || !vm_spec_patch(&vm->spec, patch, &e->spec, err) ||
        !vm_spec_check(&e->spec, err) || !host_may_require(e->core, &vm->spec, &e->spec, err) ||
        !vm_media_check(e->core, &vm->spec, &e->spec, err))
        return false;
    e->renames = strcmp(e->spec.name, vm->name) != 0;
    return sight_may_label(e->core, vm, e->spec.labels, err);
}

/* The VM as a dry run shows it. */
static json_t *would_be(struct edit *e)
{
    CLEANUP(json_decrefp) json_t *spec = model_encode(&vm_model, &e->spec);
    json_t *v;

    json_object_del(spec, "disks"); /* shown with their pools' names, and not in a patch */
    lock_take(&e->core->registry.lock);
    v = vm_view(e->core, e->vm);
    if (e->vm->active)
        json_put(v, "pending", model_pending(&vm_model, e->vm->active, &e->spec));
    lock_drop(&e->core->registry.lock);
    json_object_update(v, spec);
    return v;
}

/* Under vm->writing. '*shown' only of a dry run. */
static bool edit(struct edit *e, const json_t *patch, const struct etag *if_match, json_t **shown,
                 struct err *err)
{
    struct name_claim claim = {0};
    bool ok = true;

    if (!check(e, patch, if_match, err))
        return false;
    claim.name = e->spec.name;
    if (e->renames && !vm_name_claim(e->core, &claim, err))
        return false;
    if (e->origin->dry_run)
        *shown = would_be(e);
    else if ((ok = write_edit(e, err)))
        apply(e);
    if (e->renames)
        vm_name_release(e->core, &claim);
    return ok;
}

/* ---- the limits of one disk ---- */

struct disk_patch {
    struct disk_limits limits;
};
static const struct field patch_fields[] = {
    {.name = "limits",
     .type = FIELD_OBJECT,
     .offset = offsetof(struct disk_patch, limits),
     .of = &disk_limits_model,
     .help = "what the guest may do to it in a second; 0: as much as it can"},
};
static const struct model patch_model = {"DiskPatch", sizeof(struct disk_patch), patch_fields,
                                         ARRAY_LEN(patch_fields)};

/* Under vm->writing. */
static bool edit_limits(struct edit *e, const struct uuid *id, const json_t *patch, struct err *err)
{
    CLEANUP(vm_spec_freep) struct vm_spec *copy = NULL;
    struct disk_patch now, wanted;
    struct vm_disk *disk;

    if (!vm_is(e->core, e->vm, is_defined, NULL))
        return err_set(err, ERR_BUSY, "%s is being created or deleted", e->vm->name);
    copy = vm_spec_copy(&e->vm->spec);
    disk = spec_disk(copy, id);
    if (!disk)
        return err_set(err, ERR_NOT_FOUND, "the disk is gone");
    now.limits = disk->limits;
    if (!model_patch(&patch_model, &now, patch, &wanted, err) ||
        !disk_limits_rules(&wanted.limits, err))
        return false;
    disk->limits = wanted.limits;
    e->spec = *copy;
    *copy = (struct vm_spec){0};
    if (e->origin->dry_run)
        return true;
    if (!write_edit(e, err))
        return false;
    apply(e);
    return true;
}

json_t *disk_edit(struct core *core, const char *ref, const json_t *patch,
                  const struct origin *origin, struct err *err)
{
    struct disk disk = {0};
    CLEANUP(vm_drop) struct vm_hold hold = {core, disk_vm(core, ref, &disk, err)};
    struct edit e = {.core = core, .vm = hold.vm, .origin = origin};
    bool ok;

    if (!hold.vm)
        return NULL;
    lock_take(&hold.vm->writing);
    ok = edit_limits(&e, &disk.id, patch, err);
    lock_drop(&hold.vm->writing);
    vm_spec_clear(&e.spec);
    if (!ok)
        return NULL;
    if (!origin->dry_run) {
        vm_copy_later(core, &hold.vm->id);
        vm_apply_live(core, hold.vm);
    }
    return disk_show(core, ref, err);
}

static bool is_left_alone(const struct vm *vm, void *ctx)
{
    return vm->spec.restart.policy == RESTART_NEVER;
}

json_t *vm_edit(struct core *core, const char *ref, const json_t *patch,
                const struct etag *if_match, const struct origin *origin, struct etag *etag,
                struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get(core, ref, err)};
    struct edit e = {.core = core, .vm = hold.vm, .origin = origin};
    json_t *shown = NULL;
    bool ok;

    if (!hold.vm)
        return NULL;
    lock_take(&hold.vm->writing);
    ok = edit(&e, patch, if_match, &shown, err);
    if (origin->dry_run)
        *etag = (struct etag){hold.vm->revision, hold.vm->state_revision};
    lock_drop(&hold.vm->writing);
    vm_spec_clear(&e.spec);
    if (!ok || origin->dry_run)
        return shown;
    vm_copy_later(core, &hold.vm->id);
    if (vm_is(core, hold.vm, is_left_alone, NULL))
        restart_forget(core, hold.vm);
    vm_apply_live(core, hold.vm);
    return vm_show(core, UUID_STR(&hold.vm->id), etag, err);
}
