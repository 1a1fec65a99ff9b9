/* Applying an edit to a running VM (A-ATTACH in docs/durability.md):
 *
 *   1 * the configuration                       edit.c: the commit point
 *   2 the machine: processors plugged in, media of CD drives, limits of disks and guest changed
 *   3 the active configuration: what the machine now is
 *
 * What could not be done stays "pending", with the reason. A medium whose change failed may be in
 * its drive or not: MEDIA_UNKNOWN (media.h) differs from every medium, so it stays pending until a
 * change succeeds, also when the old medium is wanted again. The configuration is what is wanted,
 * the machine is what is: whoever calls brings the one to the other once more, so it does not
 * matter how often it is done. After a crash between 2 and 3, taking up the machine does it. */
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/str.h"
#include "core/disk/disks.h"
#include "core/disk/media.h"
#include "core/model/rules.h"
#include "core/vm/registry.h"

#include <stdlib.h>
#include <unistd.h>

/* What can be done now, taken under the lock. */
struct work {
    struct vm_spec *wanted, *active; /* copies; NULL: nothing to do */
    unsigned vcpus;                  /* 0: as many as there are */
    bool media;
    bool limits;
    bool guest;        /* what the guest may take of its host */
    bool changed;      /* 'active' is no longer what memory has */
    struct err failed; /* the first failure */
};

static void work_clear(struct work *w)
{
    vm_spec_freep(&w->wanted);
    vm_spec_freep(&w->active);
}

/* How many processors the machine is asked for; 0: it is not asked. */
static unsigned vcpus_wanted(const struct vm *vm)
{
    unsigned wanted = vm->spec.vcpus, now = vm->active->vcpus;
    unsigned room = vm_spec_max_vcpus(vm->active);

    if (wanted > now && wanted <= room)
        return wanted;
    return vm->look_again && room > 1 ? now : 0;
}

static bool media_differ(const struct vm *vm)
{
    if (vm->spec.n_cdroms != vm->active->n_cdroms)
        return false; /* drives themselves come and go at a start */
    for (size_t i = 0; i < vm->spec.n_cdroms; i++)
        if (!str_eq(vm->spec.cdroms[i].media, vm->active->cdroms[i].media))
            return true;
    return false;
}

/* The disk as the machine has it; NULL when it has not. */
static struct vm_disk *active_disk(struct vm_spec *active, const struct uuid *id)
{
    for (size_t i = 0; i < active->n_disks; i++)
        if (uuid_eq(&active->disks[i].id, id))
            return &active->disks[i];
    return NULL;
}

static bool limits_differ(const struct vm *vm)
{
    for (size_t i = 0; i < vm->spec.n_disks; i++) {
        const struct vm_disk *now = active_disk(vm->active, &vm->spec.disks[i].id);
        if (now && !disk_limits_eq(&now->limits, &vm->spec.disks[i].limits))
            return true;
    }
    return false;
}

static void plan(struct vm *vm, struct work *w)
{
    bool live = vm->machine && !vm->ending && (vm->run == VM_RUNNING || vm->run == VM_PAUSED);

    if (!live || !vm->active)
        return;
    w->vcpus = vcpus_wanted(vm);
    w->media = media_differ(vm);
    w->limits = limits_differ(vm);
    w->guest = !vm_limits_eq(&vm->spec.limits, &vm->active->limits);
    vm->look_again = false;
    if (!w->vcpus && !w->media && !w->limits && !w->guest) {
        vm->pending_reason[0] = 0; /* of an edit that was taken back, or is done by now */
        return;
    }
    w->wanted = vm_spec_copy(&vm->spec);
    w->active = vm_spec_copy(vm->active);
}

static void note(struct work *w, const struct err *err)
{
    if (!w->failed.code)
        w->failed = *err;
}

static void plug(struct work *w, const struct backend *backend, struct machine *machine)
{
    unsigned now = 0;
    struct err err = {0};
    bool ok = FAILPOINT("vm.live.plug", &err) && backend->set_vcpus(machine, w->vcpus, &now, &err);

    /* As many as are wanted: only the answer was lost. Fewer are wanted than there are: that waits
     * for the next start and is no failure. */
    if (!ok && now != w->vcpus && !(err.code == ERR_UNSUPPORTED && now > w->vcpus))
        note(w, &err);
    if (now && now != w->active->vcpus) {
        w->active->vcpus = now;
        w->changed = true;
    }
}

static void set_medium(char **medium, const char *name)
{
    free(*medium);
    *medium = str_dup(name);
}

static void change_medium(struct core *core, struct work *w, unsigned drive,
                          const struct backend *backend, struct machine *machine)
{
    const char *name = w->wanted->cdroms[drive].media;
    char **active = &w->active->cdroms[drive].media;
    struct err err = {0};
    int fd = name ? media_open(core, name, &err) : -1;

    if (name && fd < 0) {
        note(w, &err);
        return;
    }
    if (!FAILPOINT("vm.live.media", &err)) {
        closep(&fd);
        note(w, &err);
        return;
    }
    if (backend->media(machine, drive, fd, &err) && FAILPOINT("vm.live.media.done", &err)) {
        set_medium(active, name);
    } else {
        set_medium(active, MEDIA_UNKNOWN);
        note(w, &err);
    }
    w->changed = true;
}

static void change_media(struct core *core, struct work *w, const struct backend *backend,
                         struct machine *machine)
{
    for (unsigned i = 0; i < w->wanted->n_cdroms; i++)
        if (!str_eq(w->wanted->cdroms[i].media, w->active->cdroms[i].media))
            change_medium(core, w, i, backend, machine);
}

/* A limit that could not be set differs from the active one still, and is set with the next edit or
 * start. */
static void change_limits(struct core *core, struct work *w, const struct backend *backend,
                          struct machine *machine)
{
    for (size_t i = 0; i < w->wanted->n_disks; i++) {
        const struct vm_disk *disk = &w->wanted->disks[i];
        struct vm_disk *now = active_disk(w->active, &disk->id);
        struct err err = {0};
        if (!now || disk_limits_eq(&now->limits, &disk->limits))
            continue;
        if (FAILPOINT("vm.live.limits", &err) &&
            disk_limit_set(core, machine, backend, disk, &err)) {
            now->limits = disk->limits;
            w->changed = true;
        } else {
            note(w, &err);
        }
    }
}

/* What memory it may take waits for the next start, and all of it where the machine that runs has
 * more processors than so few threads are for. What was written in part is taken back. */
static void limit_guest(struct work *w, const struct backend *backend, struct machine *machine)
{
    struct vm_limits was = w->active->limits;
    struct err err = {0};

    w->active->limits = w->wanted->limits;
    w->active->limits.memory_extra_bytes = was.memory_extra_bytes;
    if (!vm_limits_suffice(w->active, &err)) {
        w->active->limits = was;
        note(w, &err);
        return;
    }
    if (FAILPOINT("vm.live.guest", &err) && backend->limit(machine, w->active, &err)) {
        w->changed = true;
        return;
    }
    note(w, &err);
    w->active->limits = was;
    err_ignore(backend->limit(machine, w->active, &err), &err);
}

/* The row is old: memory tells how many processors there are, and of the media that were changed
 * nothing, so that they are pending until the row is written. */
static void keep_without_row(struct vm *vm, const struct work *w)
{
    vm->look_again = true;
    if (vm->active)
        vm->active->vcpus = w->active->vcpus;
    for (size_t i = 0; vm->active && i < w->active->n_cdroms && i < vm->active->n_cdroms; i++)
        if (!str_eq(w->active->cdroms[i].media, vm->active->cdroms[i].media))
            set_medium(&vm->active->cdroms[i].media, MEDIA_UNKNOWN);
}

/* Step 3. Without it the machine is looked at again. */
static void record(struct core *core, struct vm *vm, const struct work *w)
{
    const struct vm_change change = {
        .keep_run = true,
        .active = w->active,
        .only_from = 1u << VM_RUNNING | 1u << VM_PAUSED,
    };
    struct err err = {0};

    if (FAILPOINT("vm.live.active", &err) && vm_change_state(core, vm, &change, &err))
        return;
    log_error("what %s is now could not be recorded: %s", VM_NAME(core, vm), err.detail);
    lock_take(&core->registry.lock);
    keep_without_row(vm, w);
    lock_drop(&core->registry.lock);
}

static void tell(struct core *core, struct vm *vm, const struct err *failed)
{
    if (failed->code)
        log_warn("an edit of %s waits for its next start: %s", VM_NAME(core, vm), failed->detail);
    lock_take(&core->registry.lock);
    str_copy(vm->pending_reason, sizeof vm->pending_reason, failed->code ? failed->detail : "");
    shown_drop(&core->registry, vm);
    lock_drop(&core->registry.lock);
}

/* The machine is held until the row is written: it cannot end and begin anew in between. */
static void work(struct core *core, struct vm *vm, struct work *w)
{
    const struct backend *backend;
    struct err gone = {0};
    struct machine *machine = vm_machine_use(core, vm, &backend, &gone);

    if (!machine)
        return;
    if (w->vcpus)
        plug(w, backend, machine);
    if (w->media)
        change_media(core, w, backend, machine);
    if (w->limits)
        change_limits(core, w, backend, machine);
    if (w->guest)
        limit_guest(w, backend, machine);
    if (w->changed || w->failed.code)
        record(core, vm, w);
    tell(core, vm, &w->failed);
    vm_machine_done(core, vm);
}

void vm_apply_live(struct core *core, struct vm *vm)
{
    struct registry *r = &core->registry;
    CLEANUP(work_clear) struct work w = {0};

    lock_take(&r->lock);
    while (vm->applying)
        cond_wait(&r->changed, &r->lock);
    plan(vm, &w);
    vm->applying = w.wanted != NULL;
    lock_drop(&r->lock);
    if (!w.wanted)
        return;
    work(core, vm, &w);
    lock_take(&r->lock);
    vm->applying = false;
    cond_wake_all(&r->changed);
    lock_drop(&r->lock);
}
