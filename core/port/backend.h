/* What core needs of a hypervisor: a table of functions, since there are several (qemu, fake). A
 * machine is the running thing of one VM. All calls block; each is safe from any thread. None is
 * made with a lock held. */
#pragma once
#include "core/base/err.h"
#include "core/model/state.h"
#include "core/model/vm.h"
#include "core/port/backend_files.h"
#include "core/port/backend_memory.h"

struct machine; /* opaque, one per live VM */

enum machine_event_kind {
    MACHINE_RUNNING, /* the guest runs (resumed) */
    MACHINE_PAUSED,  /* reason says why */
    MACHINE_RESET,
    MACHINE_EXITED, /* gone: run and reason say what is true now, detail its last words */
    MACHINE_LOST,   /* the worker does not answer; core calls attach() again */
    MACHINE_SERIAL  /* serial_end: the log of serial_port grew */
};

struct machine_event {
    enum machine_event_kind kind;
    enum vm_run run; /* EXITED: VM_OFF or VM_CRASHED */
    enum vm_reason reason;
    char detail[1024]; /* EXITED after a failure: last lines of QEMU's log */
    unsigned serial_port;
    uint64_t serial_end;
};

/* Events come on the machine's watcher thread, one at a time, in order; after EXITED or LOST none
 * follow. The function may take core's locks but must not call back into the machine. */
struct machine_owner {
    void (*event)(void *ctx, const struct uuid *vm, const struct machine_event *event);
    void *ctx;
};

/* Everything a backend needs to start a VM. start() takes the descriptors: it closes them all,
 * whatever comes out (decisions: our copy must not outlive QEMU's). */
struct machine_plan {
    struct uuid vm;
    uint32_t slot;
    const struct vm_spec *spec;
    enum vm_accel accel;                     /* KVM or TCG, decided */
    int kernel_fd, initrd_fd;                /* -1 when none */
    int serial_log_fds[VM_SERIAL_PORTS_MAX]; /* ring logs (core/base/ringlog.h), O_RDWR */
    int qemu_log_fd;                         /* O_RDWR, appended */
    int commit_fd; /* the commit log (core/base/commitlog.h), O_RDWR; -1: the machine cannot pivot
                    */
    int nvram_fd;  /* the firmware's variables, O_RDWR; -1 with BIOS */
    int media_fds[VM_CDROMS_MAX]; /* O_RDONLY; -1: empty tray */
    struct plan_disk *disks;
    size_t n_disks;
    /* Begins with this memory image: the guest stands still where it was. -1: a cold start */
    int memory_fd; /* O_RDONLY, at no position in particular */
    /* ... which memory_made() said this of; NULL: the devices are where a cold start puts them */
    const char *memory_made;
    /* So much may be written to files in memory (tmpfs) that the machine is given later: its limit
     * of memory has room for it. 0: nothing */
    uint64_t in_memory_bytes;
    uint64_t file_max_bytes; /* no file grows further by its writing; 0: they may */
};

/* Members of a plan that has no descriptors yet. */
#define MACHINE_PLAN_NO_FDS                                                                        \
    .kernel_fd = -1, .initrd_fd = -1, .qemu_log_fd = -1, .commit_fd = -1, .nvram_fd = -1,          \
    .serial_log_fds = {-1, -1, -1, -1}, .media_fds = {-1, -1, -1, -1}, .memory_fd = -1
_Static_assert(VM_SERIAL_PORTS_MAX == 4 && VM_CDROMS_MAX == 4, "as many as above");

enum machine_phase { MACHINE_PRELAUNCH, MACHINE_IS_RUNNING, MACHINE_IS_PAUSED };

struct machine_report {
    enum machine_phase phase;
    enum vm_reason reason;      /* when paused */
    struct machine_event ended; /* attach() found the exit record: MACHINE_EXITED */
};

/* One thing a keyboard or a pointer did. */
struct machine_input {
    enum { INPUT_KEY, INPUT_BUTTON, INPUT_ABSOLUTE, INPUT_RELATIVE } kind;
    const char
        *name; /* KEY: QEMU's qcode ("a", "ctrl"); BUTTON: left, middle, right, wheel-up, … */
    bool down; /* KEY, BUTTON */
    char axis; /* 'x' or 'y' */
    int value; /* ABSOLUTE: 0..32767 over the display; RELATIVE: pixels */
};

/* What a machine has taken of its host. */
struct machine_usage {
    uint64_t cpu_ms;    /* of all its threads, since it began */
    uint64_t rss_bytes; /* resident: what of the guest's memory was touched, and QEMU's own */
    uint64_t uptime_ms; /* since QEMU began: reboots of the guest do not count, pauses do */
};

struct backend {
    const char *name;
    /* Starts with the guest stopped before its first instruction. HYPERVISOR with QEMU's words;
     * UNSUPPORTED when something of the host is missing. After a failure nothing is left. */
    bool (*start)(const struct machine_plan *plan, const struct machine_owner *owner,
                  struct machine **out, struct err *err) MUST_USE;
    /* Takes up a machine that an earlier daemon started. On success either *out is it and 'report'
     * says how it stands, or *out is NULL and report->ended says how it ended (WORKER_LOST when it
     * left no record). UNAVAILABLE: it lives but does not answer. */
    bool (*attach)(const struct uuid *vm, const struct machine_owner *owner, struct machine **out,
                   struct machine_report *report, struct err *err) MUST_USE;
    /* Ends watching and frees; the guest goes on. No event comes after it returned. */
    void (*release)(struct machine *machine);
    bool (*cont)(struct machine *machine, struct err *err) MUST_USE;
    bool (*pause)(struct machine *machine, struct err *err) MUST_USE;
    bool (*reset)(struct machine *machine, struct err *err) MUST_USE;
    bool (*powerdown)(struct machine *machine, struct err *err) MUST_USE; /* ACPI button */
    bool (*kill)(struct machine *machine, struct err *err) MUST_USE; /* gone when it returns true */
    /* PNG of a display of the graphics card; owned by the caller. INVALID: no such head.
     * UNSUPPORTED: the VM has no graphics card. */
    bool (*screenshot)(struct machine *machine, unsigned head, char **png, size_t *len,
                       struct err *err) MUST_USE;
    /* The same of the first display, of at most 'max_px' pixels in each direction. */
    bool (*thumbnail)(struct machine *machine, unsigned max_px, char **png, size_t *len,
                      struct err *err) MUST_USE;
    bool (*serial_write)(struct machine *machine, unsigned port, const void *data, size_t len,
                         struct err *err) MUST_USE;
    /* All in one, in this order; positions are those of 'head'. */
    bool (*input)(struct machine *machine, unsigned head, const struct machine_input *events,
                  size_t n, struct err *err) MUST_USE;
    bool (*nmi)(struct machine *machine, struct err *err) MUST_USE;
    /* Plugs processors in until there are 'wanted'; '*now' says how many there are, after a failure
     * too. UNSUPPORTED: fewer are wanted than there are, or more than the VM has room for. */
    bool (*set_vcpus)(struct machine *machine, unsigned wanted, unsigned *now,
                      struct err *err) MUST_USE;
    /* The limits of 'spec' from now on; what memory it may take stays. */
    bool (*limit)(struct machine *machine, const struct vm_spec *spec, struct err *err) MUST_USE;
    /* Puts a medium into a CD drive, or takes it out (fd -1); 'fd' is taken. */
    bool (*media)(struct machine *machine, unsigned drive, int fd, struct err *err) MUST_USE;
    /* All disks write to their overlays from one moment on, or none does. The guest goes on.
     * UNSUPPORTED, here and wherever a file to write to is given: it lies in memory, and what the
     * machine may take of that is limited. */
    bool (*snapshot)(struct machine *machine, const struct machine_overlay *overlays, size_t n,
                     struct err *err) MUST_USE;
    /* Whether the disk writes to this file. */
    bool (*is_leaf)(struct machine *machine, unsigned disk, const struct uuid *file, bool *yes,
                    struct err *err) MUST_USE;
    /* Begins; block_job() says how it stands. WRONG_STATE: the machine does not use the file. */
    bool (*stream)(struct machine *machine, const struct machine_stream *stream,
                   struct err *err) MUST_USE;
    bool (*block_job)(struct machine *machine, const struct uuid *top,
                      struct machine_block_job *out, struct err *err) MUST_USE;
    /* Both begin; block_job() says how it stands. WRONG_STATE as for stream; UNSUPPORTED without a
     * commit log. */
    bool (*mirror)(struct machine *machine, const struct machine_mirror *mirror,
                   struct err *err) MUST_USE;
    bool (*commit)(struct machine *machine, const struct machine_commit *commit,
                   struct err *err) MUST_USE;
    /* 0: no limit. */
    bool (*block_job_limit)(struct machine *machine, const struct uuid *name, uint64_t bytes_per_s,
                            struct err *err) MUST_USE;
    /* One that waits for space goes on. */
    bool (*block_job_resume)(struct machine *machine, const struct uuid *name,
                             struct err *err) MUST_USE;
    /* All block jobs are READY. Done by the machine's worker alone, so that neither a dead nor a
     * slow daemon stalls the guest. False when nobody answered: then block_job() says when it is
     * over, and the commit log what came out (of one that was refused, nothing did). The block jobs
     * are forgotten when it is over. */
    bool (*pivot)(struct machine *machine, const struct machine_pivot *pivot,
                  struct machine_pivoted *out, struct err *err) MUST_USE;
    /* NULL: it never tells. */
    bool (*disk_stats)(struct machine *machine, struct machine_disk_stats *out,
                       struct err *err) MUST_USE;
    /* Asks a running job to end ('cancel'), or has one forgotten that has ended. */
    bool (*block_job_end)(struct machine *machine, const struct uuid *top, bool cancel,
                          struct err *err) MUST_USE;
    /* What the machine has in its caches of this file, which lies on 'base' (zero: on nothing), is
     * on the disk when it returns. */
    bool (*flush)(struct machine *machine, const struct uuid *file, const struct uuid *base,
                  struct err *err) MUST_USE;
    /* Closes a file that no disk needs any more. */
    bool (*drop_file)(struct machine *machine, const struct uuid *file, struct err *err) MUST_USE;
    /* Plugs a disk into a machine, whose guest may run; descriptors are taken. True as well when it
     * has the disk already. UNSUPPORTED with what to do: a bus without hot-plugging, no room. */
    bool (*disk_add)(struct machine *machine, const struct plan_disk *disk,
                     struct err *err) MUST_USE;
    /* Asks the guest to let a disk go; disk_is_there() says whether it has. Its files are dropped
     * by drop_file(). True as well when the machine has no such disk. */
    bool (*disk_unplug)(struct machine *machine, unsigned disk, struct err *err) MUST_USE;
    bool (*disk_is_there)(struct machine *machine, unsigned disk, bool *yes,
                          struct err *err) MUST_USE;
    /* The disk's leaf, and what the guest sees, has 'size_bytes' at least; '*now' is what it has.
     */
    bool (*disk_grow)(struct machine *machine, unsigned disk, uint64_t size_bytes, uint64_t *now,
                      struct err *err) MUST_USE;
    /* Serves the disk by NBD, for reading only and under the empty name, to the one who has
     * connected to 'listener' (a listening unix socket, taken). For machines that run no guest.
     * NULL: it cannot.
     */
    bool (*serve)(struct machine *machine, unsigned disk, int listener, struct err *err) MUST_USE;
    /* From now on; they stay whatever file the disk goes on in. */
    bool (*disk_limit)(struct machine *machine, unsigned disk, const struct disk_limits *limits,
                       struct err *err) MUST_USE;
    /* ---- memory: NULL, all of them, when the backend cannot ---- */
    /* What could be done with the machine's memory now. */
    bool (*memory_look)(struct machine *machine, struct machine_memory_ways *out,
                        struct err *err) MUST_USE;
    /* Begins; memory_state() says how it stands. Done by the machine's worker, so that a dead
     * daemon never leaves the guest standing. BUSY: another one is being written. WRONG_STATE: the
     * guest sleeps, or has stopped for a reason of its own. One that has ended without switching
     * leaves the overlays open: drop_file(). */
    bool (*memory_save)(struct machine *machine, const struct machine_memory_save *save,
                        struct err *err) MUST_USE;
    bool (*memory_state)(struct machine *machine, const struct uuid *image,
                         struct machine_memory_state *out, struct err *err) MUST_USE;
    /* Asks for its end ('cancel'), or has one forgotten that has ended. 'cancel' of one that has
     * worked lets the guest go on that stands still since, and has failed from then on. */
    bool (*memory_end)(struct machine *machine, const struct uuid *image, bool cancel,
                       struct err *err) MUST_USE;
    /* What it takes to go on with what this machine's memory is: JSON, owned by the caller. */
    bool (*memory_made)(struct machine *machine, char **made, struct err *err) MUST_USE;
    /* Whether a machine of this configuration goes on with what 'made' says, on this host and with
     * what is installed now. UNSUPPORTED with the reason. */
    bool (*memory_fits)(const char *made, const struct vm_spec *spec, enum vm_accel accel,
                        struct err *err) MUST_USE;
    /* False when the host does not tell. NULL: it never does. Does not block on the machine. */
    bool (*usage)(struct machine *machine, struct machine_usage *out) MUST_USE;
};

extern const struct backend backend_qemu;
extern const struct backend backend_fake;

/* What the host's hypervisor can do: probed once at start and kept. */
struct backend_probe {
    bool qemu_found;
    char qemu_version[64]; /* "": it took too long to say, or is not there */
    bool kvm_healthy;      /* the self-test passed */
    char kvm_verdict[200]; /* one sentence: why KVM is used or not */
    char kvm_fix[200];     /* what to do about it, "" when nothing */
    char kvm_state[32];    /* ok, missing, no-access, software, broken */
    uint64_t kvm_minsn_s;  /* million instructions a second measured */
    bool passt_found;
    bool uefi_found, secure_boot_found; /* OVMF, and its variant with the usual keys */
};
bool backend_probe_host(struct backend_probe *out, struct err *err) MUST_USE;

/* What the firmware's variables are before a VM's first start; '*data' is the caller's. NOT_FOUND
 * when the firmware is not installed. */
bool backend_nvram_template(bool secure_boot, char **data, size_t *len, struct err *err) MUST_USE;
