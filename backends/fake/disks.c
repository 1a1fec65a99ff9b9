/* Disks of a fake machine that come and go: what is where is remembered, and that is all. The
 * guest, such as it is, lets go of a disk at once while it runs, and never while it is paused. */
#include "backends/fake/inside.h"

#include "backends/qemu/plan.h"
#include "core/base/failpoint.h"

void fake_disk_put(struct machine *m, const struct plan_disk *disk)
{
    struct fake_disk *d = disk->position < VM_DISKS_MAX ? &m->disks[disk->position] : NULL;

    if (!d)
        return;
    *d = (struct fake_disk){
        .there = true, .size_bytes = disk->size_bytes, .nvme = disk->bus == DISK_BUS_NVME};
    if (disk->files)
        d->leaf = disk->files[0];
}

static bool has_place(unsigned disk, struct err *err)
{
    return disk < VM_DISKS_MAX || err_set(err, ERR_INVALID, "there is no disk %u", disk);
}

bool fake_disk_add(struct machine *m, const struct plan_disk *disk, struct err *err)
{
    bool ok = FAILPOINT("fake.disk.add", err) && has_place(disk->position, err);

    plan_close_disk(disk);
    lock_take(&m->lock);
    ok = ok && fake_is_there(m, err) &&
         (disk->bus != DISK_BUS_IDE ||
          err_set(err, ERR_UNSUPPORTED, "IDE disks cannot be plugged in while the VM runs"));
    if (ok && !m->disks[disk->position].there)
        fake_disk_put(m, disk);
    lock_drop(&m->lock);
    return ok && FAILPOINT("fake.disk.add.done", err);
}

bool fake_disk_unplug(struct machine *m, unsigned disk, struct err *err)
{
    struct err deaf = {0};
    bool ok = FAILPOINT("fake.disk.unplug", err) && has_place(disk, err);
    bool hears = FAILPOINT("fake.disk.unplug.guest", &deaf);

    lock_take(&m->lock);
    ok = ok && fake_is_there(m, err);
    if (ok && m->running && hears)
        m->disks[disk].there = false;
    lock_drop(&m->lock);
    return ok;
}

bool fake_disk_is_there(struct machine *m, unsigned disk, bool *yes, struct err *err)
{
    bool ok;

    lock_take(&m->lock);
    ok = fake_is_there(m, err) && has_place(disk, err);
    *yes = ok && m->disks[disk].there;
    lock_drop(&m->lock);
    return ok;
}

bool fake_disk_grow(struct machine *m, unsigned disk, uint64_t size_bytes, uint64_t *now,
                    struct err *err)
{
    bool ok = FAILPOINT("fake.disk.grow", err) && has_place(disk, err);

    lock_take(&m->lock);
    ok = ok && fake_is_there(m, err) &&
         (m->disks[disk].there || err_set(err, ERR_WRONG_STATE, "there is no disk %u", disk));
    if (ok && m->disks[disk].size_bytes < size_bytes)
        m->disks[disk].size_bytes = size_bytes;
    *now = ok ? m->disks[disk].size_bytes : 0;
    lock_drop(&m->lock);
    return ok && FAILPOINT("fake.disk.grow.done", err);
}

bool fake_disk_limit(struct machine *m, unsigned disk, const struct disk_limits *limits,
                     struct err *err)
{
    bool ok = FAILPOINT("fake.disk.limit", err) && has_place(disk, err);

    lock_take(&m->lock);
    ok = ok && fake_is_there(m, err) &&
         (m->disks[disk].there || err_set(err, ERR_WRONG_STATE, "there is no disk %u", disk));
    lock_drop(&m->lock);
    return ok;
}
