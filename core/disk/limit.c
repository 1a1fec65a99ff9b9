/* Limits of a machine's disks: see disks.h. The configuration has them, the machine is told. */
#include "core/base/str.h"
#include "core/disk/disks.h"
#include "core/model/rules.h"

bool disk_limit_set(struct core *core, struct machine *machine, const struct backend *backend,
                    const struct vm_disk *disk, struct err *err)
{
    struct disk *found;
    unsigned position = 0;

    lock_take(&core->registry.lock);
    found = disk_find(core, &disk->id);
    if (found)
        position = found->position;
    lock_drop(&core->registry.lock);
    if (!found)
        return err_set(err, ERR_NOT_FOUND, "the disk is gone");
    return backend->disk_limit(machine, position, &disk->limits, err) ||
           err_prefix(err, "the limits of disk %u", position);
}

bool disks_limit(struct core *core, struct machine *machine, const struct backend *backend,
                 const struct vm_spec *spec, struct err *err)
{
    static const struct disk_limits none = {.burst_s = 1};

    for (size_t i = 0; i < spec->n_disks; i++)
        if (!disk_limits_eq(&spec->disks[i].limits, &none) &&
            !disk_limit_set(core, machine, backend, &spec->disks[i], err))
            return false;
    return true;
}
