/* Taking up a machine that an earlier daemon started, or that was lost: asks the lock on "alive"
 * first, then the worker. Called by core when it opens, for all VMs at once, and after
 * MACHINE_LOST.
 *
 *   no run directory, or nobody holds "alive" ─► ended: the exit record, or worker-lost
 *   "alive" is held ─► worker.sock ─► HELLO ─► ready   ─► a machine and how it stands
 *                                           ├► exited  ─► ended: the record
 *                                           └► earlier ─► a start that was cut off: ended,
 *                                                        start-failed; so is one that was to read
 *                                                        a memory image and has not
 *   no answer within 5 s ─► UNAVAILABLE: it lives, and only its lock can prove otherwise
 */
#include "backends/qemu/machine.h"

#include "backends/qemu/ended.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/sock.h"
#include "core/base/str.h"
#include "core/port/host.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void sweep(const struct uuid *vm)
{
    struct err err = {0};

    if (!host_worker_kill(vm, &err))
        log_warn("sweeping after %s: %s", UUID_STR(vm), err.detail);
}

/* Nobody lives: what the record says, and nothing is left behind. Always true. */
static bool report_ended(const struct uuid *vm, int dir, struct machine_report *report)
{
    if (dir < 0 || !ended_read(dir, &report->ended))
        ended_set(&report->ended, VM_CRASHED, VM_REASON_WORKER_LOST,
                  "the VM's worker ended without leaving a record");
    seen_forget(vm);
    sweep(vm);
    return true;
}

/* A socket's path has room for 108 bytes, a run directory may be deeper: through the descriptor. */
static int worker_connect(int dir, struct err *err)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    CLEANUP(closep) int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool timed = sock >= 0 && sock_set_timeout_ms(sock, HELLO_MS, err);

    snprintf(to.sun_path, sizeof to.sun_path, "/proc/self/fd/%d/%s", dir, WORKER_SOCK);
    if (!timed || connect(sock, (struct sockaddr *)&to, sizeof to) < 0) {
        err_errno(err, errno, "reach the VM's worker");
        err->code = ERR_UNAVAILABLE;
        return -1;
    }
    return sock_set_timeout_ms(sock, 0, err) ? TAKE_FD(sock) : -1;
}

/* ---- how it stands ---- */

static enum vm_reason io_error_reason(struct link *link)
{
    CLEANUP(json_decrefp) json_t *disks = NULL;
    struct err err = {0};
    const json_t *disk;
    size_t i;

    if (!link_qmp(link, "query-block", NULL, NULL, 0, HELLO_MS, &disks, &err))
        log_warn("a VM does not say which disk failed: %s", err.detail);
    json_array_foreach (disks, i, disk)
        if (str_eq(json_get_text(disk, "io-status"), "nospace"))
            return VM_REASON_NO_SPACE;
    return VM_REASON_IO_ERROR;
}

/* QEMU's run states. Those that are not here are moments of a migration or a snapshot. */
static const struct {
    const char *status;
    enum machine_phase phase;
    enum vm_reason reason;
} states[] = {
    {"running", MACHINE_IS_RUNNING, VM_REASON_NONE},
    {"suspended", MACHINE_IS_RUNNING, VM_REASON_NONE}, /* asleep: any key wakes the guest */
    {"prelaunch", MACHINE_PRELAUNCH, VM_REASON_NONE},
    {"paused", MACHINE_IS_PAUSED, VM_REASON_USER},
    {"io-error", MACHINE_IS_PAUSED, VM_REASON_IO_ERROR},
    {"guest-panicked", MACHINE_IS_PAUSED, VM_REASON_GUEST_PANIC},
    {"shutdown", MACHINE_IS_PAUSED, VM_REASON_GUEST_SHUTDOWN},
    {"debug", MACHINE_IS_PAUSED, VM_REASON_DEBUG},
    {"internal-error", MACHINE_IS_PAUSED, VM_REASON_NONE},
    {"watchdog", MACHINE_IS_PAUSED, VM_REASON_WATCHDOG},
};

static void report_status(struct link *link, const char *status, struct machine_report *report)
{
    report->phase = MACHINE_IS_PAUSED;
    report->reason = VM_REASON_MIGRATION;
    for (size_t i = 0; i < ARRAY_LEN(states); i++)
        if (str_eq(states[i].status, status)) {
            report->phase = states[i].phase;
            report->reason = states[i].reason;
        }
    if (report->reason == VM_REASON_IO_ERROR)
        report->reason = io_error_reason(link);
}

/* ---- attach ---- */

/* The worker was reached but ends: its lock says when. UNAVAILABLE is in '*err' already. */
static bool ended_after_all(const struct uuid *vm, int dir, struct machine_report *report)
{
    return ended_wait(dir, machine_last_breath_ms, NULL, NULL) && report_ended(vm, dir, report);
}

static bool cut_off_start(const struct uuid *vm, struct machine_report *report, struct err *err)
{
    ended_set(&report->ended, VM_CRASHED, VM_REASON_START_FAILED,
              "the daemon ended while the VM was being started");
    return host_worker_kill(vm, err);
}

/* Takes 'link'. */
static bool take_up(struct link *link, const json_t *hello, const struct uuid *vm,
                    const struct machine_owner *owner, struct machine **out,
                    struct machine_report *report, struct err *err)
{
    struct uuid named;

    if (!uuid_parse(json_get_text(hello, "vm"), &named) || !uuid_eq(&named, vm)) {
        link_free(link);
        return err_set(err, ERR_UNAVAILABLE, "the worker answers for another VM");
    }
    report_status(link, json_get_text(hello, "status"), report);
    *out = machine_new(vm, owner, link, hello, json_get_bool(hello, "commit_log", false), err);
    return *out != NULL;
}

/* Nobody is left who would have it read its memory image, and without that its guest never runs. */
static bool waits_for_memory(const json_t *hello)
{
    return str_eq(json_get_text(hello, "status"), "inmigrate");
}

static bool greet(int sock, int dir, const struct uuid *vm, const struct machine_owner *owner,
                  struct machine **out, struct machine_report *report, struct err *err)
{
    struct link *link = link_new(sock, machine_epoch());
    uint64_t seen;
    CLEANUP(json_decrefp)
    json_t *hello = link_hello(link, seen_get(vm, &seen) ? &seen : NULL, HELLO_MS, err);
    const char *phase = json_get_text(hello, "phase");

    if (str_eq(phase, "ready") && !waits_for_memory(hello))
        return take_up(link, hello, vm, owner, out, report, err);
    link_free(link);
    if (!hello)
        err->code = ERR_UNAVAILABLE; /* TIMEOUT and BUSY (a newer daemon) too: it lives */
    if (phase && !str_eq(phase, "exited"))
        return cut_off_start(vm, report, err);
    return ended_after_all(vm, dir, report) ||
           (hello && err_set(err, ERR_UNAVAILABLE, "the VM's worker has ended but does not leave"));
}

bool machine_attach(const struct uuid *vm, const struct machine_owner *owner, struct machine **out,
                    struct machine_report *report, struct err *err)
{
    struct err failed = {0};
    int fd = -1, sock;
    bool found = host_run_dir(vm, &fd, &failed);
    CLEANUP(closep) int dir = found ? fd : -1;

    *out = NULL;
    *report = (struct machine_report){0};
    if (!found && failed.code != ERR_NOT_FOUND) {
        *err = failed;
        err->code = ERR_UNAVAILABLE;
        return false;
    }
    if (!found || ended_is_dead(dir))
        return report_ended(vm, dir, report);
    sock = worker_connect(dir, &failed);
    if (sock >= 0 ? greet(sock, dir, vm, owner, out, report, &failed)
                  : ended_after_all(vm, dir, report))
        return true;
    *err = failed;
    return false;
}
