/* A plan's descriptors: see plan.h. Called at the end of start() by the qemu and the fake backend.
 */
#include "backends/qemu/plan.h"

#include <unistd.h>

static void close_but(int fd, int keep)
{
    if (fd >= 0 && fd != keep)
        close(fd);
}

void plan_close(const struct machine_plan *plan, int keep)
{
    close_but(plan->kernel_fd, keep);
    close_but(plan->initrd_fd, keep);
    for (unsigned i = 0; i < VM_SERIAL_PORTS_MAX; i++)
        close_but(plan->serial_log_fds[i], keep);
    close_but(plan->qemu_log_fd, keep);
    close_but(plan->nvram_fd, keep);
    for (unsigned i = 0; i < VM_CDROMS_MAX; i++)
        close_but(plan->media_fds[i], keep);
    for (size_t i = 0; i < plan->n_disks; i++)
        for (size_t k = 0; k < plan->disks[i].n_fds; k++) {
            close_but(plan->disks[i].fds[k], keep);
            plan->disks[i].fds[k] = -1;
        }
}
