/* A plan's descriptors: see plan.h. Called at the end of start() by the qemu and the fake backend.
 */
#include "backends/qemu/plan.h"

#include "core/base/fs.h"

#include <fcntl.h>
#include <unistd.h>

/* O_DIRECT is asked of the file system through the descriptor itself; QEMU sets the flag anew. */
static bool takes_direct(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_DIRECT) < 0)
        return false;
    return fcntl(fd, F_SETFL, flags) == 0;
}

bool plan_is_direct(const struct plan_disk *disk)
{
    bool direct = true;

    for (size_t k = 0; k < disk->n_fds; k++)
        direct = direct && takes_direct(disk->fds[k]);
    return direct;
}

bool plan_is_in_memory(const struct machine_plan *plan)
{
    for (size_t i = 0; i < plan->n_disks; i++)
        for (size_t k = plan->disks[i].leaf_stays_empty; k < plan->disks[i].n_fds; k++)
            if (fs_is_in_memory(plan->disks[i].fds[k]))
                return true;
    return false;
}

static void close_one(int fd)
{
    if (fd >= 0)
        close(fd);
}

void plan_close(const struct machine_plan *plan, bool but_kept)
{
    close_one(plan->kernel_fd);
    close_one(plan->initrd_fd);
    for (unsigned i = 0; !but_kept && i < VM_SERIAL_PORTS_MAX; i++)
        close_one(plan->serial_log_fds[i]);
    if (!but_kept)
        close_one(plan->commit_fd);
    close_one(plan->qemu_log_fd);
    close_one(plan->nvram_fd);
    close_one(plan->memory_fd);
    for (unsigned i = 0; i < VM_CDROMS_MAX; i++)
        close_one(plan->media_fds[i]);
    for (size_t i = 0; i < plan->n_disks; i++)
        plan_close_disk(&plan->disks[i]);
}

void plan_close_disk(const struct plan_disk *disk)
{
    for (size_t k = 0; k < disk->n_fds; k++) {
        close_one(disk->fds[k]);
        disk->fds[k] = -1;
    }
}
