/* Opening and closing the core: the order in which the services come up and go down. */
#include "core/core/core.h"

#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/bundle/bundle.h"
#include "core/core/janitor.h"
#include "core/core/parts.h"
#include "core/disk/disks.h"
#include "core/host/survey.h"
#include "core/snap/tree.h"
#include "core/vm/autostart.h"
#include "core/vm/recover.h"
#include "core/vm/registry.h"
#include "core/vm/restart.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct backend *core_backend(int vm_backend)
{
    return vm_backend == VM_BACKEND_FAKE ? &backend_fake : &backend_qemu;
}

static bool open_dirs(struct core *core, struct err *err)
{
    core->state_fd = open(core->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (core->state_fd < 0)
        return err_set(err, ERR_INTERNAL, "the state directory %s cannot be opened",
                       core->state_dir);
    core->vms_fd = fs_dir(core->state_fd, "vm", 0700, err);
    return core->vms_fd >= 0;
}

/* Without the database the daemon would begin with nothing, and end the guests that still run. */
static bool has_database(struct core *core, struct err *err)
{
    unsigned n = store_is_there(core->state_dir) ? 0 : copies_count(core);

    return !n ||
           err_set(err, ERR_WRONG_STATE,
                   "the database is gone, but there are copies of %u VMs: 'vmmctl recover --scan' "
                   "says what they hold, and with --apply makes a new database of them "
                   "(docs/recovery.md); to begin with nothing, move %s/vm and the folders "
                   "vmmd-copies in the pool roots away",
                   n, core->state_dir);
}

static bool open_services(struct core *core, const struct core_config *config, struct err *err)
{
    if (!has_database(core, err))
        return false;
    core->store = store_open(core->state_dir, err);
    if (!core->store)
        return false;
    core->events = events_new(core, err);
    core->jobs = core->events ? jobs_new(core, err) : NULL;
    core->users = core->jobs ? users_new(core, config, err) : NULL;
    core->tokens = core->users ? tokens_new(core, err) : NULL;
    return core->tokens && host_facts(&core->facts, err);
}

static bool load(struct core *core, struct err *err)
{
    return disks_load(core, err) && templates_load(core, err) && vms_load(core, err) &&
           snapshots_load(core, err) && jobs_load(core, err);
}

/* What goes on by itself from now on. */
static bool start_threads(struct core *core, bool host_reset, bool autostart, struct err *err)
{
    core->janitor = janitor_start(core, err);
    if (!core->janitor || !restarter_start(core->restarter, host_reset, err))
        return false;
    core->autostart = autostart ? autostart_start(core, err) : NULL;
    return !autostart || core->autostart;
}

struct core *core_open(const struct core_config *config, struct err *err)
{
    struct core *core = mem_alloc(sizeof *core);
    bool reset, autostart;

    core->state_dir = str_dup(config->state_dir);
    core->state_fd = core->vms_fd = -1;
    registry_init(core);
    core->restarter = restarter_new(core);
    core->survey = survey_new();
    if (!open_dirs(core, err) || !open_services(core, config, err) || !load(core, err)) {
        core_close(core);
        return NULL;
    }
    if (config->on_epoch)
        config->on_epoch(store_epoch(core->store));
    if (!backend_probe_host(&core->probe, err)) {
        core_close(core);
        return NULL;
    }
    autostart_look(core, &reset, &autostart);
    vms_take_up(core, reset);
    vms_sweep(core);
    files_settle(core);
    disks_sweep(core);
    bundles_sweep(core);
    core->copies = copies_start(core, err);
    if (!core->copies) {
        core_close(core);
        return NULL;
    }
    jobs_resume(core);
    if (!start_threads(core, reset, autostart, err) || !hooks_start(core, err)) {
        core_close(core);
        return NULL;
    }
    autostart_seen(core);
    return core;
}

void core_interrupt(struct core *core)
{
    atomic_store(&core->closing, true);
    hooks_interrupt(core); /* before the events: a woken thread must see why */
    events_interrupt(core->events);
    lock_take(&core->serial.lock);
    cond_wake_all(&core->serial.rung);
    lock_drop(&core->serial.lock);
    lock_take(&core->registry.lock);
    cond_wake_all(&core->registry.changed);
    lock_drop(&core->registry.lock);
    jobs_wake(core->jobs);
}

bool core_is_broken(struct core *core)
{
    return store_is_poisoned(core->store);
}

/* Waits for the exits that are being settled, then ends watching the machines that go on. */
static void release_machines(struct core *core)
{
    struct vm **vms;
    size_t n;

    lock_take(&core->registry.lock);
    while (core->registry.exits)
        cond_wait(&core->registry.changed, &core->registry.lock);
    lock_drop(&core->registry.lock);
    vms = vm_get_all(core, &n);
    for (size_t i = 0; i < n; i++) {
        struct machine *machine;
        lock_take(&core->registry.lock);
        machine = vms[i]->machine;
        vms[i]->machine = NULL;
        lock_drop(&core->registry.lock);
        if (machine)
            core_backend(vms[i]->backend)->release(machine);
    }
    lock_take(&core->registry.lock);
    while (core->registry.exits)
        cond_wait(&core->registry.changed, &core->registry.lock);
    lock_drop(&core->registry.lock);
    vm_put_all(core, vms);
}

void core_close(struct core *core)
{
    if (core->tokens) {
        core_interrupt(core);
        autostart_stop(core->autostart);
        restarter_stop(core->restarter);
        hooks_stop(core);
        jobs_stop(core->jobs);
        janitor_stop(core->janitor);
        copies_stop(core->copies);
        release_machines(core);
        tokens_free(core->tokens);
    }
    users_free(core->users);
    if (core->jobs)
        jobs_free(core->jobs);
    if (core->events)
        events_free(core->events);
    registry_clear(core);
    restarter_free(core->restarter);
    templates_free(core->templates);
    survey_free(core->survey);
    disks_clear(core);
    if (core->store)
        store_close(core->store);
    closep(&core->vms_fd);
    closep(&core->state_fd);
    free(core->state_dir);
    free(core);
}
