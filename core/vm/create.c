/* Creating a VM (C-CREATE in docs/durability.md):
 *
 *   1 job, VM row 'creating', disk and file rows 'creating'   one transaction, at the request
 *   2 image files made and flushed, the VM's directory and disaster copy written
 *   3 * VM 'defined', files 'live'                              one transaction: the commit point
 *
 * A VM without disks has nothing to be made: it is defined, and its operation has succeeded, in the
 * transaction of the request. Entered again after a crash it does 2 and 3 once more. When it fails,
 * the files go, then the rows. */
#include "core/vm/vm.h"

#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/disks.h"
#include "core/disk/media.h"
#include "core/host/host.h"
#include "core/model/rules.h"
#include "core/ram/image.h"
#include "core/user/sight_inside.h"
#include "core/vm/kinds.h"
#include "core/vm/registry.h"

#include <stdio.h>
#include <string.h>

/* ---- the request ---- */

static void choose_macs(struct vm_spec *spec)
{
    for (size_t i = 0; i < spec->n_nics; i++) {
        uint8_t b[3];
        if (spec->nics[i].mac)
            continue;
        random_bytes(b, sizeof b);
        spec->nics[i].mac = str_format("52:54:00:%02x:%02x:%02x", b[0], b[1], b[2]);
    }
}

static bool boot_entry_exists(const char *name)
{
    for (unsigned i = 0; i < host_boots(); i++)
        if (strcmp(host_boot_id(i), name) == 0)
            return true;
    return false;
}

bool vm_spec_check(struct vm_spec *spec, struct err *err)
{
    if (!vm_spec_rules(spec, err))
        return false;
    if (spec->backend == VM_BACKEND_FAKE && !host_fake_allowed())
        return err_field(err, ERR_INVALID, "/backend",
                         "the fake backend is off: set enable_fake_backend in vmmd.conf");
    if (spec->boot.kernel && !boot_entry_exists(spec->boot.kernel))
        return err_field(err, ERR_NOT_FOUND, "/boot/kernel",
                         "there is no boot entry '%s' in vmmd.conf: GET /host lists them",
                         spec->boot.kernel);
    choose_macs(spec);
    if (uuid_is_zero(&spec->generation_id))
        spec->generation_id = uuid_new();
    return true;
}

static bool has_medium(const struct vm_spec *spec, const char *name)
{
    for (size_t i = 0; spec && i < spec->n_cdroms; i++)
        if (str_eq(spec->cdroms[i].media, name))
            return true;
    return false;
}

bool vm_media_check(struct core *core, const struct vm_spec *old, const struct vm_spec *spec,
                    struct err *err)
{
    for (size_t i = 0; i < spec->n_cdroms; i++) {
        const char *name = spec->cdroms[i].media;
        CLEANUP(closep) int fd = -1;
        char pointer[48];

        if (!name || has_medium(old, name))
            continue;
        fd = media_open(core, name, err);
        if (fd >= 0)
            continue;
        snprintf(pointer, sizeof pointer, "/cdroms/%zu/media", i);
        return err_under(err, pointer);
    }
    return true;
}

bool vm_new_rows(struct store_txn *txn, void *ctx, struct err *err)
{
    struct vm_new *rows = ctx;
    struct vm_record record;
    struct vm_texts texts;
    json_t *data = json_object();
    bool ok;

    vm_record_fill(rows->vm, &record, &texts);
    json_put_text(data, "name", record.name);
    ok = event_add(txn, "vm.created", "vm", &record.id, data, err) &&
         store_vm_put(txn, &record, err) &&
         disks_write(rows->core, txn, &record.id, "creating", rows->job, err);
    vm_texts_clear(&texts);
    return ok;
}

/* Of a VM without disks. In memory it is 'creating' until this is durable. */
static bool write_defined(struct store_txn *txn, void *ctx, struct err *err)
{
    struct vm_new *rows = ctx;
    json_t *created = json_object(), *defined = json_object();
    struct vm_record record;
    struct vm_texts texts;
    bool ok;

    vm_record_fill(rows->vm, &record, &texts);
    record.phase = "defined";
    json_put_text(created, "name", record.name);
    json_put_text(defined, "name", record.name);
    ok = event_add(txn, "vm.created", "vm", &record.id, created, err);
    if (!ok)
        json_decref(defined);
    ok = ok && event_add(txn, "vm.defined", "vm", &record.id, defined, err) &&
         store_vm_put(txn, &record, err) && FAILPOINT("vm.create.at_once", err);
    vm_texts_clear(&texts);
    return ok;
}

static bool define_at_once(struct core *core, struct vm *vm, struct job_order *order,
                           const struct origin *origin, struct err *err)
{
    order->also = write_defined;
    if (!job_done_at_once(core, order, origin, err))
        return false;
    lock_take(&core->registry.lock);
    vm->phase = VM_DEFINED;
    lock_drop(&core->registry.lock);
    vm_unclaim(core, vm, &order->id);
    events_ring(core);
    vm_copy_later(core, &vm->id);
    return true;
}

void vm_new_begin(struct core *core, struct vm *vm, const struct uuid *op, const char *job_kind)
{
    lock_take(&core->registry.lock);
    vm->job = *op;
    vm->job_kind = job_kind;
    vm->phase = VM_CREATING;
    vm->revision = vm->state_revision = 1;
    vm->created_ms = vm->updated_ms = vm->state_since_ms = clock_wall_ms();
    lock_drop(&core->registry.lock);
}

/* Enlists the VM, so that its name is taken, and submits the job with all rows. */
static bool submit(struct core *core, struct vm_spec *spec, bool start, const struct origin *origin,
                   struct uuid *op, struct uuid *id, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_enlist(core, id, spec, err)};
    struct vm *vm = hold.vm;
    struct vm_new rows = {core, vm, op};
    struct job_order order = {.kind = &vm_create_kind,
                              .object_type = "vm",
                              .object = *id,
                              .id = *op,
                              .also = vm_new_rows,
                              .ctx = &rows};

    if (!vm)
        return false;
    order.object_name = vm->name;
    vm_new_begin(core, vm, op, vm_create_kind.name);
    disks_enlist(core, vm);
    if (start) {
        order.args = json_object();
        json_put_bool(order.args, "start", true);
    }
    if (vm->spec.n_disks || start ? job_submit(core, &order, origin, err)
                                  : define_at_once(core, vm, &order, origin, err))
        return true;
    json_decref(order.args);
    disks_delist(core, id);
    vm_delist(core, vm);
    return false;
}

bool vm_create(struct core *core, struct vm_spec *spec, bool start, const struct origin *origin,
               struct uuid *op, struct uuid *id, struct err *err)
{
    CLEANUP(vm_spec_clear) struct vm_spec taken = *spec;
    struct selectable after;

    *spec = (struct vm_spec){0};
    *op = *id = (struct uuid){0};
    if (!vm_spec_check(&taken, err) || !host_may_require(core, NULL, &taken, err) ||
        !vm_media_check(core, NULL, &taken, err) || !disks_plan(core, &taken, err))
        return false;
    selectable_spec(&taken, &after);
    if (!sight_may_become(core, NULL, &after, err))
        return false;
    if (vm_name_is_taken(core, taken.name))
        return err_field(err, ERR_EXISTS, "/name",
                         "there is a VM named '%s' already: choose another name", taken.name);
    if (origin->dry_run)
        return true;
    *op = uuid_new();
    *id = uuid_new();
    return submit(core, &taken, start, origin, op, id, err);
}

/* ---- the job ---- */

bool vm_define_rows(struct core *core, struct store_txn *txn, struct vm *vm, struct err *err)
{
    static const struct uuid none;
    struct vm_record record;
    struct vm_texts texts;
    json_t *data;
    bool ok;

    lock_take(&core->registry.lock);
    vm_record_fill(vm, &record, &texts);
    lock_drop(&core->registry.lock);
    record.phase = "defined";
    data = json_object();
    json_put_text(data, "name", vm->name);
    ok = event_add(txn, "vm.defined", "vm", &vm->id, data, err) &&
         store_vm_put(txn, &record, err) && disks_write(core, txn, &vm->id, "live", &none, err);
    vm_texts_clear(&texts);
    return ok;
}

void vm_now_defined(struct core *core, struct vm *vm)
{
    lock_take(&core->registry.lock);
    vm->phase = VM_DEFINED;
    lock_drop(&core->registry.lock);
    disks_live(core, &vm->id);
    events_ring(core);
    vm_copy_later(core, &vm->id);
}

static bool define(struct core *core, struct vm *vm, struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(core->store, err);

    return txn && vm_define_rows(core, txn, vm, err) && FAILPOINT("vm.create.row", err) &&
           store_commit(&txn, err);
}

static bool make(struct core *core, struct job *job, struct vm *vm, struct err *err)
{
    CLEANUP(closep) int dir = -1;
    bool ok;

    dir = vm_dir_make(core, vm, err);
    if (dir < 0 || !FAILPOINT("vm.create.files", err) || !disks_make(core, &vm->id, err))
        return false;
    if (job_cancelled(job))
        return err_set(err, ERR_CANCELLED, "cancelled before the VM was defined");
    lock_take(&vm->writing);
    ok = define(core, vm, err);
    if (ok)
        vm_now_defined(core, vm);
    lock_drop(&vm->writing);
    return ok;
}

static bool run(struct core *core, struct job *job, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), err)};
    struct vm *vm = hold.vm;

    if (!vm)
        return false;
    /* a row that was written before a crash says that it is made */
    if (vm->phase != VM_DEFINED && !make(core, job, vm, err))
        return false;
    return !json_get_bool(job_args(job), "start", false) || vm_start_now(core, job, vm, err) ||
           err_prefix(err, "the VM was created, but does not run");
}

/* A clone lets go of the memory that it was to go on with. */
static bool remove_rows(struct core *core, struct vm *vm, struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(core->store, err);
    bool last = false, ok;

    ok = txn && disks_remove_rows(core, txn, &vm->id, err) && store_vm_remove(txn, &vm->id, err) &&
         ram_image_let_go(txn, &vm->memory, &last, err) &&
         event_add(txn, "vm.deleted", "vm", &vm->id, NULL, err) && store_commit(&txn, err);
    ram_image_left(core, &vm->memory, ok && last);
    return ok;
}

/* Files first, rows last. */
void vm_new_undo(struct core *core, struct vm *vm)
{
    struct err err = {0};

    if (!disks_unlink(core, &vm->id, &err) ||
        !fs_remove_tree(core->vms_fd, UUID_STR(&vm->id), &err) || !remove_rows(core, vm, &err)) {
        log_error("what is left of %s could not be removed: %s", vm->name, err.detail);
        return;
    }
    vm_delist(core, vm);
    disks_delist(core, &vm->id);
    ram_images_sweep(core);
    events_ring(core);
}

static void settle(struct core *core, struct job *job, bool ok)
{
    struct err err = {0};
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), &err)};
    struct vm *vm = hold.vm;

    if (!vm)
        return;
    if (!ok && vm->phase == VM_CREATING)
        vm_new_undo(core, vm);
    else if (!ok)
        vm_start_undo(core, vm);
    vm_unclaim(core, vm, job_id(job));
}

const struct job_kind vm_create_kind = {.name = "vm.create",
                                        .lane = JOB_LANE_LIFECYCLE,
                                        .cancellable = true,
                                        .run = run,
                                        .settle = settle,
                                        .adopt = vm_adopt};
