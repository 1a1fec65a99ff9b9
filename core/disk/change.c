/* What adding, removing, growing and limiting disks have in common: see change.h. */
#include "core/disk/change.h"

#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/disks.h"
#include "core/vm/registry.h"

#include <stdlib.h>

#define ASK_MS 500

struct vm *disk_vm(struct core *core, const char *ref, struct disk *out, struct err *err)
{
    struct disk *found = NULL;
    struct uuid id;

    if (uuid_parse(ref, &id)) {
        lock_take(&core->registry.lock);
        found = disk_find(core, &id);
        if (found)
            *out = *found;
        lock_drop(&core->registry.lock);
    }
    if (found)
        return vm_get_id(core, &out->vm, err);
    err_set(err, ERR_NOT_FOUND, "there is no disk '%.64s'", ref);
    return NULL;
}

/* ---- configurations ---- */

struct vm_disk *spec_disk(const struct vm_spec *spec, const struct uuid *disk)
{
    for (size_t i = 0; i < spec->n_disks; i++)
        if (uuid_eq(&spec->disks[i].id, disk))
            return &spec->disks[i];
    return NULL;
}

struct vm_spec *spec_with_disk(const struct vm_spec *spec, const struct vm_disk *disk)
{
    struct vm_spec *copy = vm_spec_copy(spec);
    struct vm_disk *d = spec_disk(copy, &disk->id);

    if (!d) {
        copy->disks = mem_resize(copy->disks, copy->n_disks + 1, sizeof *copy->disks);
        d = &copy->disks[copy->n_disks++];
    } else {
        free(d->pool);
    }
    *d = *disk;
    d->pool = str_dup(disk->pool);
    return copy;
}

struct vm_spec *spec_without_disk(const struct vm_spec *spec, const struct uuid *disk)
{
    struct vm_spec *copy = vm_spec_copy(spec);
    struct vm_disk *gone = spec_disk(copy, disk);

    if (gone) {
        free(gone->pool);
        for (struct vm_disk *d = gone; d + 1 < copy->disks + copy->n_disks; d++)
            d[0] = d[1];
        copy->n_disks--;
    }
    return copy;
}

bool disks_spec_write(struct core *core, struct store_txn *txn, struct vm *vm,
                      const struct vm_spec *spec, struct err *err)
{
    CLEANUP(json_decrefp) json_t *json = model_encode(&vm_model, spec);
    CLEANUP(mem_freep) char *text = json_write(json);
    struct vm_record record;
    struct vm_texts texts;
    bool ok;

    lock_take(&core->registry.lock);
    vm_record_fill(vm, &record, &texts);
    lock_drop(&core->registry.lock);
    record.spec = text;
    record.revision++;
    record.updated_ms = clock_wall_ms();
    ok = store_vm_put(txn, &record, err);
    vm_texts_clear(&texts);
    return ok;
}

void disks_spec_set(struct core *core, struct vm *vm, struct vm_spec **spec)
{
    struct vm_spec before;

    lock_take(&core->registry.lock);
    before = vm->spec;
    vm->spec = **spec;
    **spec = before;
    vm->revision++;
    vm->updated_ms = clock_wall_ms();
    lock_drop(&core->registry.lock);
    vm_spec_freep(spec);
}

void disk_active_set(struct core *core, struct vm *vm, const struct uuid *disk)
{
    CLEANUP(vm_spec_freep) struct vm_spec *active = NULL;
    struct vm_change change = {.keep_run = true, .only_from = 1u << VM_RUNNING | 1u << VM_PAUSED};
    struct vm_disk *wanted;
    struct err err = {0};

    lock_take(&core->registry.lock);
    wanted = spec_disk(&vm->spec, disk);
    if (vm->active)
        active = wanted ? spec_with_disk(vm->active, wanted) : spec_without_disk(vm->active, disk);
    lock_drop(&core->registry.lock);
    change.active = active;
    if (active && (!FAILPOINT("disk.active", &err) || !vm_change_state(core, vm, &change, &err)))
        log_warn("what %s has of its disks now could not be recorded: %s", VM_NAME(core, vm),
                 err.detail);
}

bool disk_row_write(struct store_txn *txn, const struct disk *d, struct err *err)
{
    const struct disk_record row = {.id = d->id,
                                    .vm = d->vm,
                                    .pool = d->pool,
                                    .position = d->position,
                                    .size_bytes = d->size_bytes,
                                    .format = disk_format_names[d->format],
                                    .bus = disk_bus_names[d->bus],
                                    .leaf = d->leaf,
                                    .created_ms = d->created_ms};

    return store_disk_put(txn, &row, err);
}

/* ---- the machine ---- */

bool disk_never(const struct vm *vm, void *ctx)
{
    return false;
}

static bool is_gone(const struct vm *vm, void *ctx)
{
    return !vm->machine && !vm->ending && !vm_run_is_live(vm->run);
}

static bool is_settled(const struct vm *vm, void *ctx)
{
    return (vm->machine && !vm->ending) || is_gone(vm, ctx);
}

bool disk_machine(struct core *core, struct vm *vm, const struct backend **backend,
                  struct machine **out, struct err *err)
{
    for (;;) {
        struct err none = {0};

        *out = vm_machine_use(core, vm, backend, &none);
        if (*out || vm_is(core, vm, is_gone, NULL))
            return true;
        if (atomic_load(&core->closing))
            return err_set(err, ERR_UNAVAILABLE, "the daemon ends");
        (void)vm_wait(core, vm, is_settled, NULL, clock_mono_ms() + ASK_MS);
    }
}

/* The disk's files, opened, as the machine is given them. */
static bool open_disk(struct core *core, const struct uuid *id, struct plan_disk *out,
                      struct vm_disk *limits, struct vm *vm, struct err *err)
{
    struct disk *found, disk = {0};
    struct vm_disk *spec;
    bool ok;

    lock_take(&core->registry.lock);
    found = disk_find(core, id);
    if (found)
        disk = *found;
    spec = spec_disk(&vm->spec, id);
    *limits = (struct vm_disk){.id = *id};
    if (spec)
        limits->limits = spec->limits;
    lock_drop(&core->registry.lock);
    if (!found)
        return err_set(err, ERR_NOT_FOUND, "the disk is gone");
    ok = disk_open_chain(core, &disk.leaf, out, err);
    out->id = disk.id;
    out->position = disk.position;
    out->bus = disk.bus;
    return ok;
}

enum plugged { PLUG_DONE, PLUG_REFUSED, PLUG_UNKNOWN };

/* One attempt. Whether it has the disk is the machine's to say, not the call's. */
static enum plugged plug(struct core *core, struct machine *machine, const struct backend *backend,
                         struct vm *vm, const struct uuid *id, struct err *err)
{
    struct plan_disk *disk = mem_alloc(sizeof *disk);
    struct err none = {0};
    struct vm_disk limits;
    bool yes = false, ok;
    unsigned position;

    if (!open_disk(core, id, disk, &limits, vm, err)) {
        disks_close(disk, 1);
        return PLUG_REFUSED;
    }
    position = disk->position;
    ok = FAILPOINT_AROUND("disk.plug", backend->disk_add(machine, disk, err), err);
    disk->n_fds = 0; /* closed by disk_add(), whatever came out */
    disks_close(disk, 1);
    if (!ok && !backend->disk_is_there(machine, position, &yes, &none))
        return PLUG_UNKNOWN;
    if (!ok && !yes)
        return PLUG_REFUSED;
    *err = (struct err){0};
    if (!disk_limit_set(core, machine, backend, &limits, &none))
        log_warn("a disk of %s is not limited before its next edit or start: %s", VM_NAME(core, vm),
                 none.detail);
    return PLUG_DONE;
}

bool disk_plug(struct core *core, struct vm *vm, const struct uuid *disk, bool *refused,
               struct err *err)
{
    const struct backend *backend;
    struct machine *machine;
    enum plugged came;

    *refused = false;
    for (;;) {
        *err = (struct err){0};
        if (!disk_machine(core, vm, &backend, &machine, err))
            return false;
        if (!machine) /* it gets the disk when it starts */
            return true;
        came = plug(core, machine, backend, vm, disk, err);
        vm_machine_done(core, vm);
        if (came == PLUG_DONE) {
            disk_active_set(core, vm, disk);
            return true;
        }
        *refused = came == PLUG_REFUSED;
        if (*refused || atomic_load(&core->closing))
            return false;
        (void)vm_wait(core, vm, disk_never, NULL, clock_mono_ms() + ASK_MS);
    }
}
