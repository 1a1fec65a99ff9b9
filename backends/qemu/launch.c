/* Starting a machine: a worker from the helper, HELLO, LAUNCH. Called by core's start job through
 * backend_qemu.
 *
 *   remains of an earlier run swept ─► host_worker_spawn ─► HELLO ─► LAUNCH ─► (the state in a
 *   memory image is read: restore.h) ─► watched, guest stopped
 *
 * Whatever fails from the spawn on ends with host_worker_kill() and without a run directory:
 * nothing is left, even when the worker was made and only the answer was lost. The plan's
 * descriptors are closed on every path: a copy kept here would hold QEMU's image locks after QEMU.
 */
#include "backends/qemu/machine.h"

#include "backends/qemu/argv.h"
#include "backends/qemu/ended.h"
#include "backends/qemu/limits.h"
#include "backends/qemu/plan.h"
#include "backends/qemu/preload.h"
#include "backends/qemu/restore.h"
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/port/host.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PASST     "/usr/bin/passt"
#define BOOT_ROMS "/usr/lib/ipxe/qemu" /* of the package ipxe-qemu */

/* An earlier run of this VM may still be leaving; its run directory must not be mistaken for ours.
 */
static bool sweep_remains(const struct uuid *vm, struct err *err)
{
    struct err missing = {0};
    int dir = -1;
    bool dead;

    if (!host_run_dir(vm, &dir, &missing)) {
        if (missing.code == ERR_NOT_FOUND)
            return true;
        *err = missing;
        return false;
    }
    dead = ended_wait(dir, machine_last_breath_ms, NULL, NULL);
    close(dir);
    if (!dead)
        return err_set(err, ERR_BUSY, "a worker of this VM still lives; force the VM off first");
    return host_worker_kill(vm, err) && host_run_dir_remove(vm, err);
}

static bool *disks_direct(const struct machine_plan *plan)
{
    bool *direct = mem_array(plan->n_disks, sizeof *direct);

    for (size_t i = 0; i < plan->n_disks; i++)
        direct[i] = plan_is_direct(&plan->disks[i]);
    return direct;
}

static bool say_hello(struct link *link, struct err *err)
{
    static const uint64_t from_the_first = 0;
    CLEANUP(json_decrefp) json_t *reply = NULL;

    return FAILPOINT_AROUND(
        "qemu.hello", (reply = link_hello(link, &from_the_first, HELLO_MS, err)) != NULL, err);
}

/* The host's time of day; NULL when the clock cannot be read. */
static const char *local_time(char *out, size_t size)
{
    time_t now = time(NULL);
    struct tm tm;

    return localtime_r(&now, &tm) && strftime(out, size, "%Y-%m-%dT%H:%M:%S", &tm) ? out : NULL;
}

/* So that its memory can be written down while it runs, whenever somebody wants that. A host
 * without one says why when it is wanted. */
static int uffd_to_lend(void)
{
    struct err none = {0};
    int fd = -1;

    if (!host_uffd_open(&fd, &none))
        log_debug("no userfaultfd for QEMU: %s", none.detail);
    return fd;
}

static bool passt_is_there(void)
{
    return access(PASST, X_OK) == 0;
}

static bool send_launch(struct link *link, const struct machine_plan *plan, json_t **reply,
                        struct err *err)
{
    CLEANUP(mem_freep) bool *direct = disks_direct(plan);
    CLEANUP(mem_freep) char *text = NULL;
    CLEANUP(launch_clear) struct launch launch = {0};
    CLEANUP(closep) int uffd = uffd_to_lend();
    char now[32];
    struct argv_facts facts = {.qemu = host_qemu_path(),
                               .passt = passt_is_there(),
                               .direct = direct,
                               .boot_roms = access(BOOT_ROMS, R_OK) == 0,
                               .local_time = local_time(now, sizeof now)};

    if (!launch_build(plan, &facts, &launch, err))
        return false;
    if (plan->memory_fd >= 0)
        launch_lend(&launch, PRELOAD_FD_MEMORY, plan->memory_fd);
    if (uffd >= 0)
        launch_lend(&launch, PRELOAD_FD_UFFD, uffd);
    if (plan->file_max_bytes)
        json_put_u64(launch.json, "file_max_bytes", plan->file_max_bytes);
    text = json_write(launch.json);
    return FAILPOINT_AROUND("qemu.launch",
                            link_call(link, WORKER_LAUNCH, text, strlen(text), launch.fds,
                                      launch.n_fds, LAUNCH_MS, reply, err),
                            err);
}

static struct machine *launch_in(int sock, const struct machine_plan *plan,
                                 const struct machine_owner *owner, struct err *err)
{
    struct link *link = link_new(sock, machine_epoch());
    CLEANUP(json_decrefp) json_t *reply = NULL;

    seen_forget(&plan->vm);
    if (restore_can(plan, err) && say_hello(link, err) && send_launch(link, plan, &reply, err) &&
        restore_state(link, plan, err)) {
        if (plan->in_memory_bytes) /* there is room for it */
            json_put_bool(reply, "memory_limited", false);
        return machine_new(&plan->vm, owner, link, reply, plan->commit_fd >= 0, err);
    }
    link_free(link);
    return NULL;
}

/* What is written to a file in memory counts as QEMU's, and nobody can tell how much that will be.
 */
static bool choose_limits(const struct machine_plan *plan, struct host_limits *limits,
                          struct err *err)
{
    *limits = limits_of(plan->spec, plan->accel);
    limits->memory_bytes += limits_of_tables(plan) + plan->in_memory_bytes;
    if (!plan_is_in_memory(plan))
        return true;
    limits->memory_bytes = 0;
    return !plan->spec->require_limits ||
           err_field(err, ERR_UNSUPPORTED, "/require_limits",
                     "a disk lies in memory (tmpfs), so that the VM's memory cannot be limited: "
                     "move it to another pool, or set require_limits to false");
}

static bool launch(const struct machine_plan *plan, const struct machine_owner *owner,
                   struct machine **out, struct err *err)
{
    struct host_limits limits;
    const struct host_wants wants = {.kvm = plan->accel == VM_ACCEL_KVM,
                                     .net = plan->spec->n_nics && passt_is_there()};
    CLEANUP(closep) int sock = -1;
    struct err swept = {0};

    *out = NULL;
    if (!choose_limits(plan, &limits, err) || !sweep_remains(&plan->vm, err))
        return false;
    if (FAILPOINT_AROUND("qemu.spawn",
                         host_worker_spawn(&plan->vm, plan->slot, wants, &limits, &sock, err), err))
        *out = launch_in(TAKE_FD(sock), plan, owner, err);
    if (*out)
        return true;
    if (!host_worker_kill(&plan->vm, &swept) || !host_run_dir_remove(&plan->vm, &swept))
        log_error("the failed start of %s left something behind: %s", UUID_STR(&plan->vm),
                  swept.detail);
    return false;
}

bool machine_launch(const struct machine_plan *plan, const struct machine_owner *owner,
                    struct machine **out, struct err *err)
{
    bool ok = launch(plan, owner, out, err);

    plan_close(plan, false);
    return ok;
}
