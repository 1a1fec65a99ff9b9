/* See helper.h. It is a machine like any other, with as little in it as there can be and the guest
 * stopped before its first instruction. No row says that it lives: what a dead daemon leaves of it
 * is swept as every worker that belongs to no running VM. */
#include "core/snap/helper.h"

#include "core/base/commitlog.h"
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/disks.h"
#include "core/disk/import.h"
#include "core/vm/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>

static void ignore(void *ctx, const struct uuid *vm, const struct machine_event *event)
{
}

/* The least of a machine, of the VM's backend. */
static struct vm_spec *bare_spec(const struct vm *vm, struct err *err)
{
    CLEANUP(json_decrefp)
    json_t *json = json_pack("{s:s,s:s,s:i,s:i,s:i,s:b,s:s,s:s,s:[],s:{s:s}}", "name", "helper",
                             "backend", vm_backend_names[vm->backend], "vcpus", 1, "memory_bytes",
                             16 << 20, "serial_ports", 0, "rng", 0, "machine", "pc", "accel", "tcg",
                             "nics", "video", "model", "none");
    struct vm_spec *spec = mem_alloc(sizeof *spec);

    if (model_decode(&vm_model, json, MODEL_STORED, spec, err))
        return spec;
    free(spec);
    return NULL;
}

static bool open_logs(struct core *core, const struct vm *vm, struct machine_plan *plan,
                      struct err *err)
{
    CLEANUP(closep) int dir = vm_dir_open(core, vm, true, err);

    if (dir < 0)
        return false;
    plan->qemu_log_fd = fs_open(dir, VM_QEMU_LOG, O_RDWR | O_CREAT | O_APPEND, 0600, err);
    plan->commit_fd = plan->qemu_log_fd < 0 ? -1 : commitlog_open(dir, err);
    return plan->commit_fd >= 0;
}

static void give_slot_back(struct core *core, struct vm *vm)
{
    lock_take(&core->registry.lock);
    vm->helper_slot = NO_SLOT;
    lock_drop(&core->registry.lock);
}

static struct machine *launch(struct core *core, struct vm *vm, struct machine_plan *plan,
                              struct err *err)
{
    const struct machine_owner owner = {ignore, core};
    struct machine *machine = NULL;

    bool ok;

    if (!FAILPOINT("snapshot.helper", err) || !vm_slot_take(core, vm, &plan->slot, err))
        return NULL;
    ok = core_backend(vm->backend)->start(plan, &owner, &machine, err);
    plan->disks[0].n_fds = 0; /* closed by start(), whatever came out */
    plan->qemu_log_fd = plan->commit_fd = -1;
    if (!ok)
        give_slot_back(core, vm);
    return ok ? machine : NULL;
}

static bool make_log(struct core *core, const struct vm *vm, struct machine_plan *plan,
                     struct err *err)
{
    plan->qemu_log_fd = memfd_create("log", MFD_CLOEXEC);
    return plan->qemu_log_fd >= 0 || err_errno(err, errno, "make room for QEMU's log");
}

uint64_t helper_in_memory(int dir, uint64_t size_bytes)
{
    return fs_is_in_memory(dir) ? import_file_max(size_bytes) : 0;
}

/* 'disk' is what the helper has; its descriptors are closed. */
static struct machine *start_on(struct core *core, struct vm *vm, struct plan_disk *disk,
                                uint64_t in_memory_bytes, uint64_t file_max_bytes,
                                bool (*logs)(struct core *core, const struct vm *vm,
                                             struct machine_plan *plan, struct err *err),
                                struct err *err)
{
    struct vm_spec *spec = bare_spec(vm, err);
    struct machine_plan plan = {.vm = vm->id,
                                .spec = spec,
                                .accel = VM_ACCEL_TCG,
                                .disks = disk,
                                .n_disks = 1,
                                .in_memory_bytes = in_memory_bytes,
                                .file_max_bytes = file_max_bytes,
                                MACHINE_PLAN_NO_FDS};
    struct machine *machine = NULL;

    if (spec && logs(core, vm, &plan, err))
        machine = launch(core, vm, &plan, err);
    closep(&plan.qemu_log_fd);
    closep(&plan.commit_fd);
    if (spec) {
        vm_spec_clear(spec);
        free(spec);
    }
    return machine;
}

static struct machine *start(struct core *core, struct vm *vm, const struct uuid *leaf,
                             uint64_t in_memory_bytes,
                             bool (*logs)(struct core *core, const struct vm *vm,
                                          struct machine_plan *plan, struct err *err),
                             struct err *err)
{
    struct plan_disk *disk = mem_alloc(sizeof *disk);
    struct machine *machine = NULL;

    if (disk_open_chain(core, leaf, disk, err))
        machine = start_on(core, vm, disk, in_memory_bytes, 0, logs, err);
    disks_close(disk, 1);
    return machine;
}

struct machine *helper_start(struct core *core, struct vm *vm, const struct uuid *leaf,
                             uint64_t in_memory_bytes, struct err *err)
{
    return start(core, vm, leaf, in_memory_bytes, open_logs, err);
}

struct machine *helper_start_reading(struct core *core, struct vm *vm, const struct uuid *leaf,
                                     struct err *err)
{
    return start(core, vm, leaf, 0, make_log, err);
}

struct machine *helper_start_on(struct core *core, struct vm *vm, struct plan_disk *disk,
                                uint64_t in_memory_bytes, uint64_t file_max_bytes, struct err *err)
{
    return start_on(core, vm, disk, in_memory_bytes, file_max_bytes, open_logs, err);
}

void helper_stop(struct core *core, struct vm *vm, struct machine *machine)
{
    const struct backend *backend = core_backend(vm->backend);
    struct err err = {0};

    if (!backend->kill(machine, &err))
        log_warn("a helper of %s did not end by request: %s", VM_NAME(core, vm), err.detail);
    backend->release(machine);
    vm_sweep_worker(vm);
    vm_sweep_run_dir(vm);
    give_slot_back(core, vm);
}

struct vm *helper_shadow(struct core *core, const struct uuid *id, int backend)
{
    struct vm *shadow = mem_alloc(sizeof *shadow);

    shadow->id = *id;
    shadow->backend = backend;
    shadow->slot = shadow->helper_slot = NO_SLOT;
    str_copy(shadow->name, sizeof shadow->name, "an export");
    lock_init(&shadow->writing);
    lock_take(&core->registry.lock);
    HASH_ADD(by_id, core->registry.shadows, id, sizeof shadow->id, shadow);
    lock_drop(&core->registry.lock);
    return shadow;
}

void helper_shadow_free(struct core *core, struct vm *shadow)
{
    lock_take(&core->registry.lock);
    HASH_DELETE(by_id, core->registry.shadows, shadow);
    lock_drop(&core->registry.lock);
    lock_clear(&shadow->writing);
    free(shadow);
}
