/* A machine of the QEMU backend, for this folder only. */
#pragma once
#include "backends/qemu/link.h"
#include "core/base/thread.h"
#include "core/port/backend.h"

#include <stdatomic.h>
#include <sys/types.h>

/* The graphics card's name for QEMU: in argv.c and wherever a display is meant. */
#define VIDEO_DEVICE "vga0"

#define HELLO_MS  5000
#define QMP_MS    10000
#define KILL_MS   5000
#define SCREEN_MS 15000
#define THUMB_MS  1000 /* a QEMU that hangs shall not hold up what the picture is for */
#define LAUNCH_MS (WORKER_SEAL_MS + 5000) /* the worker's own limit comes first */
#define STATE_MS  60000                   /* reading the state of devices: some MiB at most */

struct machine {
    struct uuid vm;
    struct machine_owner owner;
    struct link *link;
    pid_t qemu_pid;                         /* 0: not known */
    atomic_uint_least64_t qemu_start_ticks; /* usage.c */

    struct lock changing; /* processors and media: several commands that belong together */

    atomic_bool pausing; /* a STOP that comes now is ours */
    atomic_bool killing; /* an end that comes now is ours */

    bool memory_limited;  /* more than it was given ends QEMU, and what it writes to files in memory
                           * counts; constant */
    bool can_pivot;       /* its worker has a commit log; constant */
    atomic_bool pivoting; /* until the worker says that it is over */

    /* of the watcher */
    enum vm_reason stop_reason; /* announced for the STOP that follows */
    bool powered_off;           /* the guest did; its STOP is not a pause */
    bool ended;                 /* EXITED was told */
};

/* From a worker's hang-up to its jail's end: 2000. Tests have less patience. */
extern int64_t machine_last_breath_ms;
uint32_t machine_epoch(void);
/* A machine that is watched, with what its worker's reply to HELLO or LAUNCH says. Takes 'link',
 * also when it fails. */
struct machine *machine_new(const struct uuid *vm, const struct machine_owner *owner,
                            struct link *link, const json_t *reply, bool can_pivot,
                            struct err *err) MUST_USE;
void machine_free(struct machine *machine);

/* The link's sink: link.h. */
void machine_on_event(void *ctx, uint64_t seq, const json_t *event);
void machine_on_serial(void *ctx, unsigned port, uint64_t end_bytes);
void machine_on_gone(void *ctx);

/* The backend's calls, each in the file of its name. */
bool machine_launch(const struct machine_plan *plan, const struct machine_owner *owner,
                    struct machine **out, struct err *err) MUST_USE;
bool machine_attach(const struct uuid *vm, const struct machine_owner *owner, struct machine **out,
                    struct machine_report *report, struct err *err) MUST_USE;
bool machine_disk_stats(struct machine *machine, struct machine_disk_stats *out,
                        struct err *err) MUST_USE;
bool machine_usage_read(struct machine *machine, struct machine_usage *out) MUST_USE;
bool machine_screenshot(struct machine *m, unsigned head, char **png, size_t *len,
                        struct err *err) MUST_USE;
bool machine_thumbnail(struct machine *m, unsigned max_px, char **png, size_t *len,
                       struct err *err) MUST_USE;

bool machine_input(struct machine *m, unsigned head, const struct machine_input *events, size_t n,
                   struct err *err) MUST_USE;
bool machine_nmi(struct machine *m, struct err *err) MUST_USE;
bool machine_limit(struct machine *m, const struct vm_spec *spec, struct err *err) MUST_USE;
bool machine_set_vcpus(struct machine *m, unsigned wanted, unsigned *now, struct err *err) MUST_USE;

/* How far QEMU says a copy is, within what can be: sums of it stay numbers. */
#define PROGRESS_MAX (UINT64_C(1) << 56)
static inline uint64_t progress_bound(uint64_t said, uint64_t most)
{
    return said < most ? said : most;
}

/* How many of what QEMU lists are worth a command each: more than there can be, and few enough for
 * a list that lies. */
#define TIDY_MAX 64

/* Turns QEMU's words about a display that is not there into those of the API. */
void screen_explain(unsigned head, struct err *err);
/* Hands 'fd' (the caller's) to QEMU, in the name of 'owner'; '*set' is the number of its descriptor
 * set. */
bool fdset_lend(struct machine *m, int fd, const char *owner, unsigned *set,
                struct err *err) MUST_USE;
/* Before a file is lent to be written to. UNSUPPORTED when it lies in memory and what the machine
 * may take is limited. */
bool machine_may_write(const struct machine *m, int fd, struct err *err) MUST_USE;
/* All that this owner lent. */
void fdset_take_back_all(struct machine *m, const char *owner);
void fdset_take_back(struct machine *m, unsigned set); /* as far as QEMU answers */
/* The same two for who does not wait long. What QEMU was told it does once it goes on. */
bool fdset_lend_within(struct machine *m, int64_t wait_ms, int fd, const char *owner, unsigned *set,
                       struct err *err) MUST_USE;
void fdset_take_back_within(struct machine *m, int64_t wait_ms, unsigned set);

/* Which events of a VM this process has delivered, across machines: seen.c. */
void seen_put(const struct uuid *vm, uint64_t seq);
bool seen_get(const struct uuid *vm, uint64_t *seq);
void seen_forget(const struct uuid *vm);
