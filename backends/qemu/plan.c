/* A plan's descriptors: see plan.h. Called at the end of start() by the qemu and the fake backend.
 */
#include "backends/qemu/plan.h"

#include <unistd.h>

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
    for (unsigned i = 0; i < VM_CDROMS_MAX; i++)
        close_one(plan->media_fds[i]);
    for (size_t i = 0; i < plan->n_disks; i++)
        for (size_t k = 0; k < plan->disks[i].n_fds; k++) {
            close_one(plan->disks[i].fds[k]);
            plan->disks[i].fds[k] = -1;
        }
}
