/* What is told about every VM to who watches: see core/core/measure.h. The table is copied under
 * the registry's lock; the machines are asked afterwards, without it. */
#include "core/vm/measure.h"

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/vm/registry.h"

static void fill(const struct vm *vm, struct measured_vm *out)
{
    const struct vm_spec *spec = vm->active ? vm->active : &vm->spec;

    out->id = vm->id;
    str_copy(out->name, sizeof out->name, vm->spec.name);
    out->state = vm_derived_state(vm);
    out->backend = vm_backend_names[vm->backend];
    out->accel = vm_run_is_live(vm->run) && vm->accel_reason[0] ? vm_accel_names[vm->accel] : "";
    out->vcpus = spec->vcpus;
    out->memory_bytes = spec->memory_bytes;
}

static void ask_machine(struct core *core, struct vm *vm, struct measured_vm *out)
{
    const struct backend *backend;
    struct err err = {0};
    struct machine *machine = vm_machine_use(core, vm, &backend, &err);

    if (!machine)
        return;
    out->has_usage = backend->usage && backend->usage(machine, &out->usage);
    vm_machine_done(core, vm);
}

void vms_measure(struct core *core, struct core_measures *out)
{
    struct vm **vms = vm_get_all(core, &out->n_vms);

    out->vms = mem_array(out->n_vms + 1, sizeof *out->vms);
    lock_take(&core->registry.lock);
    for (size_t i = 0; i < out->n_vms; i++)
        fill(vms[i], &out->vms[i]);
    lock_drop(&core->registry.lock);
    for (size_t i = 0; i < out->n_vms; i++)
        ask_machine(core, vms[i], &out->vms[i]);
    vm_put_all(core, vms);
}
