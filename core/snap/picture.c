/* The picture that a snapshot of a running VM has: what the first display showed a moment before it
 * was taken, made small, as PNG beside the VM's firmware variables. Of VMs without graphics there
 * is none.
 *
 * A snapshot does not fail for it, and is hardly later: what QEMU needs for the picture the next
 * command would wait for anyway, since it does one after the other. Called by taking.c, remains.c
 * and view.c. */
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/snap/snap.h"
#include "core/snap/tree.h"
#include "core/vm/registry.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define SIDE_PX     320u       /* enough to tell one snapshot from another */
#define PICTURE_MAX (8u << 20) /* more is not kept: a picture is no reason to fill a disk */
#define NAME_BYTES  (UUID_TEXT + 32)

static void name_of(const struct uuid *snapshot, char out[NAME_BYTES])
{
    snprintf(out, NAME_BYTES, "snapshot-%s-screen.png", UUID_STR(snapshot));
}

/* NULL: there is no screen, or nobody says what is on it. */
static char *look(struct core *core, struct vm *vm, size_t *len)
{
    const struct backend *backend;
    struct err err = {0};
    struct machine *machine = vm_machine_use(core, vm, &backend, &err);
    char *png = NULL;

    if (!machine)
        return NULL;
    err_ignore(backend->thumbnail(machine, SIDE_PX, &png, len, &err), &err);
    vm_machine_done(core, vm);
    return png;
}

void picture_keep(struct core *core, struct vm *vm, const struct uuid *snapshot)
{
    CLEANUP(mem_freep) char *png = NULL;
    CLEANUP(closep) int dir = -1;
    char name[NAME_BYTES];
    struct err err = {0};
    size_t len = 0;

    png = look(core, vm, &len);
    if (!png || len > PICTURE_MAX)
        return;
    name_of(snapshot, name);
    dir = vm_dir_open(core, vm, true, &err);
    if (dir < 0 || !FAILPOINT("snapshot.picture", &err) ||
        !fs_publish(dir, name, png, len, 0600, &err))
        log_warn("a snapshot of %s has no picture: %s", VM_NAME(core, vm), err.detail);
}

bool picture_forget(int dir, const struct uuid *snapshot, struct err *err)
{
    char name[NAME_BYTES];

    name_of(snapshot, name);
    return fs_remove(dir, name, err);
}

bool picture_is_there(struct core *core, const struct vm *vm, const struct uuid *snapshot)
{
    char path[UUID_TEXT + NAME_BYTES], name[NAME_BYTES];

    name_of(snapshot, name);
    snprintf(path, sizeof path, "%s/%s", UUID_STR(&vm->id), name);
    return faccessat(core->vms_fd, path, R_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

bool snapshot_picture(struct core *core, const char *ref, const char *snapshot, char **png,
                      size_t *len, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get(core, ref, err)};
    CLEANUP(closep) int dir = -1;
    CLEANUP(closep) int fd = -1;
    struct err missing = {0};
    char name[NAME_BYTES];
    struct snapshot *s;

    if (!hold.vm)
        return false;
    lock_take(&core->registry.lock);
    s = snapshot_need(core, hold.vm, snapshot, err);
    if (s)
        name_of(&s->id, name);
    lock_drop(&core->registry.lock);
    dir = s ? vm_dir_open(core, hold.vm, true, err) : -1;
    if (dir < 0)
        return false;
    fd = fs_open(dir, name, O_RDONLY, 0, &missing);
    if (fd >= 0)
        return fs_read_all(fd, PICTURE_MAX, png, len, err);
    if (missing.code != ERR_NOT_FOUND)
        *err = missing;
    return missing.code != ERR_NOT_FOUND
               ? false
               : err_set(
                     err, ERR_NOT_FOUND,
                     "the snapshot has no picture: the VM was off then, or has no graphics card");
}
