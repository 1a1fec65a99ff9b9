/* How a machine ended: see ended.h.
 *
 * A worker publishes its exit record before it leaves. No record and no lock on "alive" means that
 * it was killed, and its guest with it. */
#include "backends/qemu/ended.h"

#include "backends/qemu/worker_wire.h"
#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RECORD_MAX (64u << 10)
#define LOOK_MS    10

void ended_set(struct machine_event *out, enum vm_run run, enum vm_reason reason,
               const char *detail)
{
    *out = (struct machine_event){.kind = MACHINE_EXITED, .run = run, .reason = reason};
    if (detail)
        str_copy(out->detail, sizeof out->detail, detail);
}

static void by_signal(int number, const char *last_words, struct machine_event *out)
{
    char text[sizeof out->detail];
    const char *name = sigabbrev_np(number);
    const char *hint = number == SIGKILL  ? ", not by vmmd; was the host out of memory?"
                       : number == SIGSYS ? ": it called what its sandbox forbids"
                                          : "";

    snprintf(text, sizeof text, "QEMU was ended by SIG%s%s%s%s", name ? name : "?", hint,
             *last_words ? ". Its last words: " : "", last_words);
    ended_set(out, VM_CRASHED, number == SIGSYS ? VM_REASON_SECCOMP : VM_REASON_SIGNAL, text);
}

static void by_exit(int wstatus, const char *last_words, struct machine_event *out)
{
    char text[sizeof out->detail];

    if (WIFSIGNALED(wstatus)) {
        by_signal(WTERMSIG(wstatus), last_words, out);
        return;
    }
    snprintf(text, sizeof text, "QEMU ended by itself with status %d%s%s", WEXITSTATUS(wstatus),
             *last_words ? ". Its last words: " : "", last_words);
    ended_set(out, VM_CRASHED, VM_REASON_EXIT, text);
}

static void by_worker(const char *why, struct machine_event *out)
{
    char text[sizeof out->detail];

    snprintf(text, sizeof text, "%s; vmmd ended it", why ? why : "QEMU could not be believed");
    str_scrub(text);
    ended_set(out, VM_CRASHED, VM_REASON_SIGNAL, text);
}

/* Indexed like WORKER_CAUSES. */
enum cause {
#define X(name, text) CAUSE_##name,
    WORKER_CAUSES(X)
#undef X
        CAUSE_COUNT
};
static const char *const cause_texts[] = {
#define X(name, text) text,
    WORKER_CAUSES(X)
#undef X
};

static enum cause cause_parse(const char *text)
{
    enum cause cause = 0;

    while (cause < CAUSE_COUNT && !str_eq(cause_texts[cause], text))
        cause++;
    return cause;
}

void ended_map(const json_t *record, const char *boot_id, struct machine_event *out)
{
    const char *words = json_get_text(record, "qemu_log");
    const char *record_boot = json_get_text(record, "boot_id");
    int wstatus = (int)json_get_u64(record, "wstatus", 0);

    words = words ? words : "";
    if (!record || !json_get_text(record, "cause")) {
        ended_set(out, VM_CRASHED, VM_REASON_WORKER_LOST, "the exit record cannot be read");
        return;
    }
    if (record_boot && *boot_id && !str_eq(record_boot, boot_id)) {
        ended_set(out, VM_CRASHED, VM_REASON_HOST_RESET, "the host was restarted");
        return;
    }
    switch (cause_parse(json_get_text(record, "cause"))) {
    case CAUSE_guest_shutdown:
        ended_set(out, VM_OFF, VM_REASON_GUEST_SHUTDOWN, NULL);
        break;
    case CAUSE_killed:
    case CAUSE_host_quit:
        ended_set(out, VM_OFF, VM_REASON_USER, NULL);
        break;
    case CAUSE_guest_panic:
        ended_set(out, VM_CRASHED, VM_REASON_GUEST_PANIC, "the guest's kernel panicked");
        break;
    case CAUSE_launch_failed:
        ended_set(out, VM_CRASHED, VM_REASON_START_FAILED, words);
        break;
    case CAUSE_distrusted:
        by_worker(json_get_text(record, "detail"), out);
        break;
    case CAUSE_oom:
        ended_set(
            out, VM_CRASHED, VM_REASON_OOM,
            "the host had no memory left, or what all VMs together may have of it (vmm.slice), and "
            "its "
            "kernel ended QEMU: give the VM less memory, run fewer VMs, or give the host more");
        break;
    case CAUSE_memory_limit:
        ended_set(out, VM_CRASHED, VM_REASON_OOM,
                  "QEMU reached the VM's limit of memory, which is its memory and what QEMU needs "
                  "besides, and the kernel ended it: raise limits.memory_extra_bytes");
        break;
    case CAUSE_signal:
    case CAUSE_exit:
    case CAUSE_COUNT: /* a newer worker's word: the status still tells */
        by_exit(wstatus, words, out);
        break;
    }
}

bool ended_read(int run_dir, struct machine_event *out)
{
    CLEANUP(mem_freep) char *text = NULL;
    CLEANUP(json_decrefp) json_t *record = NULL;
    char boot_id[BOOT_ID_TEXT];
    struct err err = {0};
    size_t len = 0;
    CLEANUP(closep) int fd = fs_open(run_dir, WORKER_EXIT, O_RDONLY, 0, &err);

    if (fd < 0)
        return false;
    if (fs_read_all(fd, RECORD_MAX, &text, &len, &err))
        record = json_read(text, len, &err);
    if (!record)
        log_warn("an exit record cannot be read: %s", err.detail);
    boot_id_read(boot_id);
    ended_map(record, boot_id, out);
    return true;
}

bool ended_is_dead(int run_dir)
{
    struct err err = {0};
    CLEANUP(closep) int fd = fs_open(run_dir, WORKER_ALIVE, O_RDONLY, 0, &err);

    if (fd < 0)
        return err.code == ERR_NOT_FOUND;
    /* A shared lock, so that two who look do not take each other for the worker. */
    return flock(fd, LOCK_SH | LOCK_NB) == 0;
}

bool ended_wait(int run_dir, int64_t wait_ms, bool (*stop)(const void *ctx), const void *ctx)
{
    const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000};
    int64_t deadline_ms = clock_mono_ms() + wait_ms;

    while (!ended_is_dead(run_dir)) {
        if (clock_left_ms(deadline_ms) == 0 || (stop && stop(ctx)))
            return false;
        nanosleep(&pause, NULL);
    }
    return true;
}

void boot_id_read(char out[BOOT_ID_TEXT])
{
    CLEANUP(closep) int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, out, BOOT_ID_TEXT - 1) : 0;

    out[n > 0 ? n : 0] = 0;
    out[strcspn(out, "\n")] = 0;
}
