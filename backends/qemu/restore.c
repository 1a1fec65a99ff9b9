/* Beginning with a memory image: see restore.h.
 *
 *   image    | the guest's memory          | state of devices … | trailer |
 *              QEMU maps it, privately       QEMU reads it, once
 *              PRELOAD_FD_MEMORY             a second open file, which stands there
 *
 * Two open files, since QEMU moves the position of the first. The state was written with
 * x-ignore-shared, which is noted in it: who reads it must say the same. It ends with the guest
 * standing still (-S). A QEMU of 7.2 that cannot read it says why and exits. */
#include "backends/qemu/restore.h"

#include "backends/qemu/ended.h"
#include "backends/qemu/machine.h"
#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/str.h"
#include "core/port/host.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATE_NAME "memory-state"
#define LOOK_MS    5
#define WORDS      300 /* bytes: the last ones say why */

bool restore_can(const struct machine_plan *plan, struct err *err)
{
    struct stat st;

    if (plan->memory_fd < 0)
        return true;
    if (fstat(plan->memory_fd, &st) < 0)
        return err_errno(err, errno, "look at the memory image");
    return (S_ISREG(st.st_mode) && (uint64_t)st.st_size > plan->spec->memory_bytes) ||
           err_set(err, ERR_INVALID,
                   "the memory image has %llu bytes, which is not more than the VM's memory: it is "
                   "not whole",
                   (unsigned long long)st.st_size);
}

/* The image once more, at its state. */
static int open_state(const struct machine_plan *plan, struct err *err)
{
    CLEANUP(closep) int fd = -1;
    char path[32];

    snprintf(path, sizeof path, "/proc/self/fd/%d", plan->memory_fd);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || lseek(fd, (off_t)plan->spec->memory_bytes, SEEK_SET) < 0) {
        err_errno(err, errno, "open the memory image");
        return -1;
    }
    return TAKE_FD(fd);
}

static bool begin(struct link *link, const struct machine_plan *plan, struct err *err)
{
    CLEANUP(closep) int state = open_state(plan, err);

    return state >= 0 &&
           link_qmp(link, "migrate-set-capabilities",
                    json_pack("{s:[{s:s,s:b},{s:s,s:b}]}", "capabilities", "capability",
                              "x-ignore-shared", "state", 1, "capability", "events", "state", 1),
                    NULL, 0, QMP_MS, NULL, err) &&
           link_qmp(link, "getfd", json_pack("{s:s}", "fdname", STATE_NAME), &state, 1, QMP_MS,
                    NULL, err) &&
           link_qmp(link, "migrate-incoming", json_pack("{s:s}", "uri", "fd:" STATE_NAME), NULL, 0,
                    QMP_MS, NULL, err);
}

/* One look; '*over' when it has been read. */
static bool look(struct link *link, bool *over, struct err *err)
{
    CLEANUP(json_decrefp) json_t *state = NULL;
    const char *status, *why;

    if (!link_qmp(link, "query-migrate", NULL, NULL, 0, STATE_MS, &state, err))
        return false;
    status = json_get_text(state, "status");
    why = json_get_text(state, "error-desc");
    *over = str_eq(status, "completed");
    return !str_eq(status, "failed") ||
           err_set(err, ERR_HYPERVISOR, "%s", why ? why : "it says no more");
}

/* From the answer on the worker says of it that it has read its memory, which decides what the next
 * daemon does with it (attach.c): the worker has asked the same at the event before "completed". */
static bool let_worker_know(struct link *link, struct err *err)
{
    return link_qmp(link, "query-status", NULL, NULL, 0, QMP_MS, NULL, err);
}

static bool await(struct link *link, struct err *err)
{
    int64_t deadline_ms = clock_mono_ms() + STATE_MS;
    bool over = false;

    while (look(link, &over, err)) {
        if (over)
            return let_worker_know(link, err);
        if (clock_left_ms(deadline_ms) == 0)
            return err_set(err, ERR_TIMEOUT, "it did not read it within %d s", STATE_MS / 1000);
        poll(NULL, 0, LOOK_MS);
    }
    return false;
}

/* A QEMU that has left: its last words are in the worker's record. */
static void let_it_explain(const struct uuid *vm, struct err *err)
{
    struct machine_event ended = {0};
    struct err ignored = {0};
    int dir = -1;

    if (err->code == ERR_TIMEOUT || !host_run_dir(vm, &dir, &ignored))
        return;
    if (ended_wait(dir, machine_last_breath_ms, NULL, NULL) && ended_read(dir, &ended)) {
        size_t len = strlen(ended.detail);
        err_set(err, ERR_HYPERVISOR, "%s", ended.detail + (len > WORDS ? len - WORDS : 0));
    }
    close(dir);
}

bool restore_state(struct link *link, const struct machine_plan *plan, struct err *err)
{
    if (plan->memory_fd < 0)
        return true;
    if (FAILPOINT_AROUND("qemu.restore", begin(link, plan, err) && await(link, err), err))
        return true;
    let_it_explain(&plan->vm, err);
    return err_prefix(err, "QEMU does not go on with the memory image");
}
