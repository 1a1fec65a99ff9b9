/* Starting a VM (S-START in docs/durability.md):
 *
 *   1 state 'starting', desired 'running', uid slot, active configuration    one transaction
 *   2 worker, jail and QEMU, the guest stopped before its first instruction  backend->start
 *     its disks are limited                                                    backend->disk_limit
 *   3 * cont: from here the guest may have run                                the commit point
 *   4 state 'running'                                                          one transaction
 *
 * One that is saved goes on from its memory: resume.c has what differs. Entered again after a
 * restart: recovery has attached what lives. A machine in prelaunch goes on at 3, a running one at
 * 4, none at 1. A failure before 3 leaves nothing and the VM 'off'. */
#include "core/vm/vm.h"

#include "core/base/commitlog.h"
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/ringlog.h"
#include "core/base/str.h"
#include "core/disk/disks.h"
#include "core/disk/media.h"
#include "core/host/host.h"
#include "core/host/memory.h"
#include "core/ram/image.h"
#include "core/vm/kinds.h"
#include "core/vm/nvram.h"
#include "core/vm/registry.h"
#include "core/vm/restart.h"
#include "core/vm/resume.h"
#include "core/vm/save.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SERIAL_LOG_BYTES (4u << 20)

struct plan {
    struct machine_plan machine;
    struct vm_spec *spec; /* a copy, owned */
    char *made;           /* what is known of the memory it begins with, owned */
};

static void plan_clear(struct plan *p)
{
    closep(&p->machine.kernel_fd);
    closep(&p->machine.initrd_fd);
    for (unsigned i = 0; i < VM_SERIAL_PORTS_MAX; i++)
        closep(&p->machine.serial_log_fds[i]);
    for (unsigned i = 0; i < VM_CDROMS_MAX; i++)
        closep(&p->machine.media_fds[i]);
    closep(&p->machine.nvram_fd);
    closep(&p->machine.qemu_log_fd);
    closep(&p->machine.commit_fd);
    closep(&p->machine.memory_fd);
    free(p->made);
    disks_close(p->machine.disks, p->machine.n_disks);
    if (p->spec) {
        vm_spec_clear(p->spec);
        free(p->spec);
    }
}

/* start() has closed the descriptors, whatever came out; only the memory is ours. */
static void plan_handed_over(struct plan *p)
{
    const struct machine_plan none = {MACHINE_PLAN_NO_FDS};

    p->machine.kernel_fd = p->machine.initrd_fd = -1;
    p->machine.qemu_log_fd = p->machine.commit_fd = p->machine.nvram_fd = -1;
    p->machine.memory_fd = -1;
    memcpy(p->machine.serial_log_fds, none.serial_log_fds, sizeof none.serial_log_fds);
    memcpy(p->machine.media_fds, none.media_fds, sizeof none.media_fds);
    for (size_t i = 0; i < p->machine.n_disks; i++)
        p->machine.disks[i].n_fds = 0;
}

/* What the log held before is not this guest's. */
static bool begin_words(struct core *core, struct vm *vm, int log, struct err *err)
{
    uint64_t offset = UINT64_MAX, end = 0;
    char none[1];

    if (ringlog_read(log, &offset, none, 0, &end, err) < 0)
        return false;
    lock_take(&core->registry.lock);
    vm->serial_from = end;
    lock_drop(&core->registry.lock);
    return true;
}

static bool open_logs(struct core *core, struct vm *vm, struct machine_plan *m, struct err *err)
{
    CLEANUP(closep) int dir = vm_dir_open(core, vm, true, err);

    if (dir < 0)
        return false;
    for (unsigned i = 0; i < m->spec->serial_ports; i++) {
        int *fd = &m->serial_log_fds[i];
        *fd = fs_open(dir, vm_serial_log(i), O_RDWR | O_CREAT, 0600, err);
        if (*fd < 0 || !ringlog_open(*fd, SERIAL_LOG_BYTES, err) ||
            (i == 0 && !begin_words(core, vm, *fd, err)))
            return false;
    }
    m->qemu_log_fd = fs_open(dir, VM_QEMU_LOG, O_RDWR | O_CREAT | O_APPEND, 0600, err);
    if (m->qemu_log_fd < 0)
        return false;
    m->commit_fd = commitlog_open(dir, err);
    return m->commit_fd >= 0;
}

static bool open_nvram(struct core *core, struct vm *vm, struct machine_plan *m, struct err *err)
{
    if (m->spec->firmware.type != FIRMWARE_UEFI || m->spec->backend != VM_BACKEND_QEMU)
        return true;
    m->nvram_fd = vm_nvram_open(core, vm, m->spec, err);
    return m->nvram_fd >= 0;
}

static bool open_media(struct core *core, struct machine_plan *m, struct err *err)
{
    for (size_t i = 0; i < m->spec->n_cdroms; i++) {
        if (!m->spec->cdroms[i].media)
            continue;
        m->media_fds[i] = media_open(core, m->spec->cdroms[i].media, err);
        if (m->media_fds[i] < 0) {
            snprintf(err->field, sizeof err->field, "/cdroms/%zu/media", i);
            return false;
        }
    }
    return true;
}

static bool open_boot(const struct vm_spec *spec, struct machine_plan *m, struct err *err)
{
    struct err none = {0};

    if (!spec->boot.kernel)
        return true;
    for (unsigned i = 0; i < host_boots(); i++) {
        if (strcmp(host_boot_id(i), spec->boot.kernel) != 0)
            continue;
        if (!host_boot_open(i, false, &m->kernel_fd, err))
            return false;
        if (host_boot_open(i, true, &m->initrd_fd, &none) || none.code == ERR_NOT_FOUND)
            return true;
        *err = none;
        return false;
    }
    return err_field(err, ERR_NOT_FOUND, "/boot/kernel",
                     "the boot entry '%s' is no longer in vmmd.conf", spec->boot.kernel);
}

/* One that is saved goes on as what it was. */
static struct vm_spec *take_spec(struct core *core, struct vm *vm, struct err *err)
{
    CLEANUP(json_decrefp) json_t *json = NULL;
    const struct uuid image = resume_image(core, vm);
    struct vm_spec *spec;

    if (!uuid_is_zero(&image))
        return ram_image_spec(core, vm, &image, err);
    spec = mem_alloc(sizeof *spec);

    lock_take(&core->registry.lock);
    json = model_encode(&vm_model, &vm->spec);
    lock_drop(&core->registry.lock);
    if (model_decode(&vm_model, json, MODEL_STORED, spec, err))
        return spec;
    free(spec);
    return NULL;
}

/* The lowest uid slot that no VM has. */
static bool choose_slot(struct core *core, uint32_t *slot, struct err *err)
{
    uint32_t most = core->facts.slots ? core->facts.slots : UINT32_MAX - 1;
    CLEANUP(mem_freep) char *used = NULL;
    uint32_t n;

    lock_take(&core->registry.lock);
    n = 2 * HASH_CNT(by_id, core->registry.vms_by_id) + HASH_CNT(by_id, core->registry.shadows) + 1;
    used = mem_alloc(n + 1);
    for (struct vm *vm = core->registry.vms_by_id; vm; vm = vm->by_id.next)
        used[vm->slot < n ? vm->slot : n] = used[vm->helper_slot < n ? vm->helper_slot : n] = 1;
    for (struct vm *vm = core->registry.shadows; vm; vm = vm->by_id.next)
        used[vm->helper_slot < n ? vm->helper_slot : n] = 1;
    lock_drop(&core->registry.lock);
    for (*slot = 0; *slot < n && used[*slot]; (*slot)++)
        ;
    return *slot < most || err_set(err, ERR_UNAVAILABLE,
                                   "all %u user ids for VMs are in use: raise uid_count in "
                                   "vmmd.conf or stop a VM",
                                   most);
}

static bool has_firmware(const struct core *core, const struct vm_firmware *firmware,
                         struct err *err)
{
    if (firmware->type != FIRMWARE_UEFI)
        return true;
    if (firmware->secure_boot && !core->probe.secure_boot_found)
        return err_field(err, ERR_UNSUPPORTED, "/firmware/secure_boot",
                         "the UEFI firmware with Secure Boot is not installed: install the package "
                         "ovmf and restart vmmd");
    return core->probe.uefi_found ||
           err_field(err, ERR_UNSUPPORTED, "/firmware/type",
                     "the UEFI firmware is not installed: install the package ovmf and restart "
                     "vmmd, or set firmware.type to bios");
}

/* What the host lacks for this VM, said before anything begins. */
static bool host_has_all(struct core *core, const struct vm_spec *spec, struct err *err)
{
    if (spec->require_limits && !host_enforces(core, spec, NULL, err))
        return false;
    if (spec->backend != VM_BACKEND_QEMU)
        return true;
    if (!core->probe.qemu_found)
        return err_set(err, ERR_UNSUPPORTED,
                       "QEMU is missing (%s): install the package qemu-system-x86 and restart vmmd",
                       host_qemu_path());
    if (!core->facts.userns)
        return err_set(err, ERR_UNSUPPORTED,
                       "this host does not allow user namespaces, which the jail needs: see "
                       "'vmmctl doctor'");
    if (!has_firmware(core, &spec->firmware, err))
        return false;
    if (spec->n_nics && !core->probe.passt_found)
        return err_field(err, ERR_UNSUPPORTED, "/nics/0",
                         "a network card of the kind 'user' needs passt: install the package passt "
                         "and restart vmmd, or remove the card");
    return true;
}

static bool open_plan(struct core *core, struct vm *vm, struct plan *p, struct err *err)
{
    struct machine_plan *m = &p->machine;
    char reason[256];

    *m = (struct machine_plan){.vm = vm->id, MACHINE_PLAN_NO_FDS};
    p->spec = take_spec(core, vm, err);
    if (!p->spec)
        return false;
    m->spec = p->spec;
    if (!host_has_all(core, p->spec, err) ||
        !host_choose_accel(core, (enum vm_accel)p->spec->accel, &m->accel, reason, err))
        return false;
    lock_take(&core->registry.lock);
    str_copy(vm->accel_reason, sizeof vm->accel_reason, reason);
    lock_drop(&core->registry.lock);
    if (!resume_open(core, vm, p->spec, m->accel, &m->memory_fd, &p->made, err))
        return false;
    m->memory_made = p->made;
    return open_logs(core, vm, m, err) && open_nvram(core, vm, m, err) &&
           open_media(core, m, err) && open_boot(p->spec, m, err) &&
           disks_open(core, &vm->id, &m->disks, &m->n_disks, err);
}

static struct lock choosing = {PTHREAD_MUTEX_INITIALIZER};

bool vm_slot_take(struct core *core, struct vm *vm, uint32_t *slot, struct err *err)
{
    bool ok;

    lock_take(&choosing);
    ok = choose_slot(core, slot, err);
    if (ok) {
        lock_take(&core->registry.lock);
        vm->helper_slot = *slot;
        lock_drop(&core->registry.lock);
    }
    lock_drop(&choosing);
    return ok;
}

/* Limits that the VM has and the host cannot enforce: an event of the same transaction. */
struct unenforced {
    const struct vm *vm;
    char limits[64];
};

static bool tell_unenforced(struct store_txn *txn, void *ctx, struct err *err)
{
    const struct unenforced *u = ctx;

    return !u->limits[0] ||
           event_add(txn, "vm.not-limited", "vm", &u->vm->id,
                     json_pack("{s:s,s:s}", "name", u->vm->name, "limits", u->limits), err);
}

/* Step 1. The slot is chosen and written while no other start can choose: one at a time. */
static bool mark_starting(struct core *core, struct vm *vm, const struct vm_spec *spec,
                          uint32_t *slot, struct err *err)
{
    const enum vm_desired desired = VM_DESIRED_RUNNING;
    struct unenforced unenforced = {.vm = vm};
    const struct vm_change change = {.run = VM_STARTING,
                                     .desired = &desired,
                                     .slot = slot,
                                     .active = spec,
                                     .also = tell_unenforced,
                                     .ctx = &unenforced};
    struct err why = {0};
    bool ok;

    err_ignore(host_enforces(core, spec, unenforced.limits, &why), &why);
    lock_take(&choosing);
    ok = choose_slot(core, slot, err);
    if (ok) {
        lock_take(&core->registry.lock);
        vm->slot = *slot;
        lock_drop(&core->registry.lock);
    }
    lock_drop(&choosing);
    return ok && FAILPOINT("vm.start.mark", err) && vm_change_state(core, vm, &change, err);
}

/* Step 2. */
static bool launch(struct core *core, struct vm *vm, struct plan *p, struct err *err)
{
    const struct machine_owner owner = {vm_machine_event, core};
    struct machine *machine = NULL;
    bool ok = FAILPOINT("vm.start.launch", err);

    if (!ok)
        return false;
    vm_arrives(core, vm);
    ok = core_backend(vm->backend)->start(&p->machine, &owner, &machine, err);
    plan_handed_over(p);
    if (ok) {
        lock_take(&core->registry.lock);
        vm->machine = machine;
        vm->buttons = 0;
        vm->accel = p->machine.accel;
        lock_drop(&core->registry.lock);
    }
    vm_has_arrived(core, vm);
    return ok && FAILPOINT("vm.start.launched", err);
}

static bool start_anew(struct core *core, struct vm *vm, struct err *err)
{
    CLEANUP(plan_clear) struct plan p = {0};
    uint64_t promised = 0;
    bool ok;

    if (!open_plan(core, vm, &p, err) || !mark_starting(core, vm, p.spec, &p.machine.slot, err))
        return false;
    ok = memory_promise(core, p.spec, &promised, err) && launch(core, vm, &p, err);
    memory_release(core, promised);
    return ok;
}

/* Of a machine that has them already as well: nobody knows who set them. */
static bool set_limits(struct core *core, struct vm *vm, struct machine *machine,
                       const struct backend *backend, struct err *err)
{
    CLEANUP(vm_spec_freep) struct vm_spec *active = NULL;

    lock_take(&core->registry.lock);
    active = vm->active ? vm_spec_copy(vm->active) : NULL;
    lock_drop(&core->registry.lock);
    return FAILPOINT("vm.start.limits", err) &&
           (!active || disks_limit(core, machine, backend, active, err));
}

static bool goes_on(const struct vm *vm, void *ctx)
{
    return vm->run == VM_RUNNING || vm->run == VM_PAUSED;
}

/* A guest that an earlier daemon let run is not taken back: it may have done anything by now. */
static bool is_called_off(struct core *core, struct job *job, struct vm *vm, struct err *err)
{
    return job_cancelled(job) && !vm_is(core, vm, goes_on, NULL) &&
           !err_set(err, ERR_CANCELLED, "stopped while it was starting");
}

/* Steps 3 and 4. */
static bool let_run(struct core *core, struct job *job, struct vm *vm, struct err *err)
{
    const struct vm_change running = {.run = VM_RUNNING, .only_from = 1u << VM_STARTING};
    const struct backend *backend;
    struct machine *machine;
    bool ok;

    if (is_called_off(core, job, vm, err))
        return false;
    machine = vm_machine_use(core, vm, &backend, err);
    if (!machine)
        return false;
    ok = set_limits(core, vm, machine, backend, err) && resume_commit(core, job, vm, err) &&
         FAILPOINT_AROUND("vm.start.cont", backend->cont(machine, err), err);
    vm_machine_done(core, vm);
    return ok && FAILPOINT("vm.start.running", err) && vm_change_state(core, vm, &running, err);
}

static bool has_machine(const struct vm *vm, void *ctx)
{
    return vm->machine != NULL;
}

static bool is_saved(const struct vm *vm, void *ctx)
{
    return vm->run == VM_SAVED;
}

bool vm_start_now(struct core *core, struct job *job, struct vm *vm, struct err *err)
{
    if (is_called_off(core, job, vm, err) || !resume_is_possible(core, job, vm, err) ||
        (vm_is(core, vm, is_saved, NULL) && !save_end_machine(core, vm, err)))
        return false;
    if (!vm_is(core, vm, has_machine, NULL) && !start_anew(core, vm, err))
        return false;
    if (!let_run(core, job, vm, err))
        return false;
    vm_apply_live(core, vm); /* what was edited while it was starting */
    return true;
}

static bool run(struct core *core, struct job *job, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), err)};

    return hold.vm && vm_start_now(core, job, hold.vm, err);
}

static bool is_not_ending(const struct vm *vm, void *ctx)
{
    return !vm->ending;
}

static bool is_not_starting(const struct vm *vm, void *ctx)
{
    return !vm->ending && !vm->machine && vm->run != VM_STARTING;
}

void vm_start_undo(struct core *core, struct vm *vm)
{
    const enum vm_desired off = VM_DESIRED_OFF;
    const uint32_t no_slot = NO_SLOT;
    const struct vm_change change = {.run = VM_OFF,
                                     .reason = VM_REASON_START_FAILED,
                                     .desired = &off,
                                     .slot = &no_slot,
                                     .clear_active = true,
                                     .regardless = true,
                                     .ended = true,
                                     .only_from = 1u << VM_STARTING};
    const struct backend *backend;
    struct machine *machine;
    struct err err = {0};

    /* One that has ended by itself is recorded before the next start may begin, not in it. */
    (void)vm_wait(core, vm, is_not_ending, NULL, INT64_MAX / 4);
    machine = vm_machine_use(core, vm, &backend, &err);
    if (machine) {
        bool killed = backend->kill(machine, &err);
        vm_machine_done(core, vm);
        err_ignore(killed, &err);
        (void)vm_wait(core, vm, is_not_starting, NULL, INT64_MAX / 4);
    }
    if (!vm_change_state(core, vm, &change, &err))
        log_error("the failed start of %s could not be recorded: %s", VM_NAME(core, vm),
                  err.detail);
    lock_take(&core->registry.lock);
    if (vm->run == VM_OFF || vm->run == VM_CRASHED)
        vm->slot = NO_SLOT;
    lock_drop(&core->registry.lock);
}

static void settle(struct core *core, struct job *job, bool ok)
{
    struct err err = {0};
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), &err)};

    if (!hold.vm)
        return;
    if (!ok)
        vm_start_undo(core, hold.vm);
    vm_unclaim(core, hold.vm, job_id(job));
}

const struct job_kind vm_start_kind = {.name = "vm.start",
                                       .lane = JOB_LANE_LIFECYCLE,
                                       .cancellable = true,
                                       .run = run,
                                       .settle = settle,
                                       .adopt = vm_adopt};

/* ---- starting again by the restart policy ---- */

/* What a guest that panicked left standing goes first. */
static bool clear_the_way(struct core *core, struct job *job, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), err)};

    if (!hold.vm)
        return false;
    return !vm_is(core, hold.vm, has_machine, NULL) ||
           vm_force_off(core, hold.vm, job_id(job), err);
}

/* The step says that what lives from here on is the new machine. */
static bool run_restart(struct core *core, struct job *job, struct err *err)
{
    if (!job_step_reached(job) && job_cancelled(job))
        return err_set(err, ERR_CANCELLED, "stopped before it was started again");
    if (!job_step_reached(job) &&
        (!clear_the_way(core, job, err) || !FAILPOINT("vm.restart.step", err) ||
         !job_step(job, "start", err)))
        return false;
    return run(core, job, err);
}

static void settle_restart(struct core *core, struct job *job, bool ok)
{
    struct err err = {0};
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), &err)};
    bool given_up = job_cancelled(job); /* by a stop */

    if (hold.vm && !ok && !given_up)
        restart_again(core, hold.vm);
    settle(core, job, ok);
}

const struct job_kind vm_restart_kind = {.name = "vm.restart",
                                         .lane = JOB_LANE_LIFECYCLE,
                                         .cancellable = true,
                                         .run = run_restart,
                                         .settle = settle_restart,
                                         .adopt = vm_adopt};
