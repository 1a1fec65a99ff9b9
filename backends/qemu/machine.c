/* backend_qemu: the table of calls, and those that are one command to QEMU. A machine here is the
 * conversation with its worker; the guest itself lives in the worker's jail and survives this
 * process. Core calls it through core/port/backend.h. */
#include "backends/qemu/machine.h"

#include "backends/qemu/disks.h"
#include "backends/qemu/layers.h"
#include "backends/qemu/media.h"
#include "backends/qemu/memory_fit.h"
#include "backends/qemu/qemu.h"
#include "core/base/failpoint.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/port/host.h"

#include <stdlib.h>
#include <string.h>

int64_t machine_last_breath_ms = 2000;
static atomic_uint epoch;

void backend_qemu_init(uint32_t number)
{
    atomic_store(&epoch, number);
}

uint32_t machine_epoch(void)
{
    return atomic_load(&epoch);
}

/* QEMU's process as a worker's reply names it; 0 when it does not. */
static pid_t pid_of(const json_t *reply)
{
    uint64_t pid = json_get_u64(reply, "qemu_pid", 0);

    return pid <= INT32_MAX ? (pid_t)pid : 0;
}

struct machine *machine_new(const struct uuid *vm, const struct machine_owner *owner,
                            struct link *link, const json_t *reply, bool can_pivot, struct err *err)
{
    struct machine *m = mem_alloc(sizeof *m);
    struct link_sink sink = {machine_on_event, machine_on_serial, machine_on_gone, m};

    m->vm = *vm;
    m->owner = *owner;
    m->link = link;
    m->qemu_pid = pid_of(reply);
    m->can_pivot = can_pivot;
    m->memory_limited = json_get_bool(reply, "memory_limited", false);
    atomic_store(&m->pivoting, json_get_bool(reply, "pivoting", false));
    lock_init(&m->changing);
    if (link_watch(link, &sink, err))
        return m;
    machine_free(m);
    return NULL;
}

void machine_free(struct machine *m)
{
    link_free(m->link);
    lock_clear(&m->changing);
    free(m);
}

static bool machine_cont(struct machine *m, struct err *err)
{
    return FAILPOINT_AROUND("qemu.cont",
                            link_qmp(m->link, "cont", NULL, NULL, 0, QMP_MS, NULL, err), err);
}

static bool machine_pause(struct machine *m, struct err *err)
{
    atomic_store(&m->pausing, true);
    if (link_qmp(m->link, "stop", NULL, NULL, 0, QMP_MS, NULL, err))
        return true;
    if (err->code == ERR_HYPERVISOR) /* else it may have happened, and is still ours */
        atomic_store(&m->pausing, false);
    return false;
}

static bool machine_reset(struct machine *m, struct err *err)
{
    return link_qmp(m->link, "system_reset", NULL, NULL, 0, QMP_MS, NULL, err);
}

static bool machine_powerdown(struct machine *m, struct err *err)
{
    return link_qmp(m->link, "system_powerdown", NULL, NULL, 0, QMP_MS, NULL, err);
}

/* The worker first, since it leaves a record; whatever it does not manage, the helper does. */
static bool machine_kill(struct machine *m, struct err *err)
{
    struct err refused = {0};

    atomic_store(&m->killing, true);
    if (link_call(m->link, WORKER_KILL, "{}", 2, NULL, 0, KILL_MS, NULL, &refused))
        return true;
    log_info("the worker of %s does not end it (%s): the helper does", UUID_STR(&m->vm),
             refused.detail);
    return host_worker_kill(&m->vm, err);
}

static bool machine_serial_write(struct machine *m, unsigned port, const void *data, size_t len,
                                 struct err *err)
{
    CLEANUP(mem_freep) char *framed = NULL;
    const uint32_t number = port;

    if (port == 0) /* as the workers of earlier releases know it */
        return link_call(m->link, WORKER_INPUT, data, len, NULL, 0, QMP_MS, NULL, err);
    framed = mem_alloc(sizeof number + len);
    memcpy(framed, &number, sizeof number);
    memcpy(framed + sizeof number, data, len);
    return link_call(m->link, WORKER_INPUT_PORT, framed, sizeof number + len, NULL, 0, QMP_MS, NULL,
                     err);
}

const struct backend backend_qemu = {
    .name = "qemu",
    .start = machine_launch,
    .attach = machine_attach,
    .release = machine_free,
    .cont = machine_cont,
    .pause = machine_pause,
    .reset = machine_reset,
    .powerdown = machine_powerdown,
    .kill = machine_kill,
    .serve = machine_serve,
    .screenshot = machine_screenshot,
    .thumbnail = machine_thumbnail,
    .serial_write = machine_serial_write,
    .usage = machine_usage_read,
    .input = machine_input,
    .nmi = machine_nmi,
    .set_vcpus = machine_set_vcpus,
    .limit = machine_limit,
    .media = machine_media,
    .snapshot = machine_snapshot,
    .is_leaf = machine_is_leaf,
    .stream = machine_stream,
    .block_job = machine_block_job,
    .mirror = machine_mirror,
    .commit = machine_commit,
    .block_job_limit = machine_block_job_limit,
    .block_job_resume = machine_block_job_resume,
    .pivot = machine_pivot,
    .block_job_end = machine_block_job_end,
    .flush = machine_flush,
    .drop_file = machine_drop_file,
    .disk_add = machine_disk_add,
    .disk_unplug = machine_disk_unplug,
    .disk_is_there = machine_disk_is_there,
    .disk_grow = machine_disk_grow,
    .disk_limit = machine_disk_limit,
    .disk_stats = machine_disk_stats,
    .memory_look = machine_memory_look,
    .memory_save = machine_memory_save,
    .memory_state = machine_memory_state,
    .memory_end = machine_memory_end,
    .memory_made = machine_memory_made,
    .memory_fits = machine_memory_fits,
};
