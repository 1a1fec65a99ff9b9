/* The inside of a fake machine, for this folder only. */
#pragma once
#include "core/base/thread.h"
#include "core/port/backend.h"

#define TYPED_MAX 256

struct queued {
    struct queued *next;
    struct machine_event event;
};

/* A copy under way, or one that has ended and was not dismissed. */
struct fake_job {
    struct fake_job *next;
    struct uuid name;
    int disk; /* the one a pivot will switch; -1: the job ends by itself */
    bool looked, cancelled;
    bool crawls; /* its limit is so low that it does not end */
};

/* A memory image that is being written, or the end of one. */
struct fake_memory {
    struct uuid image;
    int fd; /* -1 when it has ended */
    enum memory_way way;
    struct machine_overlay *overlays; /* without their descriptors */
    size_t n;
    char *captured; /* what it shows */
    unsigned steps; /* how often it was looked at */
    bool ran, goes_on, switched, ended, no_space;
    char error[256];
};

struct machine {
    struct uuid vm;
    struct machine_owner owner;
    pthread_t thread;

    struct lock lock;
    struct cond changed;
    int logs[VM_SERIAL_PORTS_MAX] GUARDED_BY(lock); /* ring logs; -1: no such port */
    bool booted GUARDED_BY(lock);
    bool running GUARDED_BY(lock);
    bool ended GUARDED_BY(lock);    /* EXITED is queued or told */
    bool released GUARDED_BY(lock); /* nothing is told any more */
    unsigned vcpus GUARDED_BY(lock);
    unsigned max_vcpus, heads, drives; /* constant; no heads: no graphics card */
    struct fake_disk {
        bool there;
        bool nvme;
        struct uuid leaf; /* the file it writes to */
        uint64_t size_bytes;
    } disks[VM_DISKS_MAX] GUARDED_BY(lock); /* by position */
    struct fake_job *jobs GUARDED_BY(lock);
    struct fake_memory *memory GUARDED_BY(lock); /* NULL: none */
    uint64_t memory_bytes;                       /* constant */
    bool from_image GUARDED_BY(lock);            /* it began with one */
    int commit_fd;                               /* constant; -1: no commit log */
    uint64_t ticks GUARDED_BY(lock);
    int64_t next_tick_ms GUARDED_BY(lock);
    char line[TYPED_MAX] GUARDED_BY(lock); /* what was typed so far */
    size_t line_len GUARDED_BY(lock);
    struct queued *queue GUARDED_BY(lock);
};

/* UNAVAILABLE once it has ended. */
bool fake_is_there(const struct machine *m, struct err *err) MUST_USE REQUIRES(m->lock);

/* Its thread tells the owner. */
void fake_enqueue(struct machine *m, enum machine_event_kind kind, enum vm_reason reason)
    REQUIRES(m->lock);
void fake_forget_jobs(struct machine *m) REQUIRES(m->lock);

/* layers.c: the backend's calls about the files of disks. */
bool fake_snapshot(struct machine *m, const struct machine_overlay *overlays, size_t n,
                   struct err *err) MUST_USE;
bool fake_is_leaf(struct machine *m, unsigned disk, const struct uuid *file, bool *yes,
                  struct err *err) MUST_USE;
bool fake_stream(struct machine *m, const struct machine_stream *stream, struct err *err) MUST_USE;
bool fake_block_job(struct machine *m, const struct uuid *top, struct machine_block_job *out,
                    struct err *err) MUST_USE;
bool fake_mirror(struct machine *m, const struct machine_mirror *mirror, struct err *err) MUST_USE;
bool fake_commit(struct machine *m, const struct machine_commit *commit, struct err *err) MUST_USE;
bool fake_block_job_limit(struct machine *m, const struct uuid *name, uint64_t bytes_per_s,
                          struct err *err) MUST_USE;
bool fake_block_job_resume(struct machine *m, const struct uuid *name, struct err *err) MUST_USE;
bool fake_pivot(struct machine *m, const struct machine_pivot *pivot, struct machine_pivoted *out,
                struct err *err) MUST_USE;
bool fake_block_job_end(struct machine *m, const struct uuid *top, bool cancel,
                        struct err *err) MUST_USE;
bool fake_flush(struct machine *m, const struct uuid *file, const struct uuid *base,
                struct err *err) MUST_USE;
bool fake_drop_file(struct machine *m, const struct uuid *file, struct err *err) MUST_USE;

bool fake_serve(struct machine *m, unsigned disk, int listener, struct err *err) MUST_USE;

/* disks.c: the backend's calls about disks that come and go. */
void fake_disk_put(struct machine *m, const struct plan_disk *disk) REQUIRES(m->lock);
bool fake_disk_add(struct machine *m, const struct plan_disk *disk, struct err *err) MUST_USE;
bool fake_disk_unplug(struct machine *m, unsigned disk, struct err *err) MUST_USE;
bool fake_disk_is_there(struct machine *m, unsigned disk, bool *yes, struct err *err) MUST_USE;
bool fake_disk_grow(struct machine *m, unsigned disk, uint64_t size_bytes, uint64_t *now,
                    struct err *err) MUST_USE;
bool fake_disk_limit(struct machine *m, unsigned disk, const struct disk_limits *limits,
                     struct err *err) MUST_USE;

/* memory.c: its memory in an image. */
/* Goes on with the image, unless 'fd' is -1. The descriptor stays the caller's. */
bool fake_memory_begin(struct machine *m, int fd, struct err *err) MUST_USE;
void fake_memory_forget(struct machine *m) REQUIRES(m->lock);
bool fake_memory_look(struct machine *m, struct machine_memory_ways *out, struct err *err) MUST_USE;
bool fake_memory_save(struct machine *m, const struct machine_memory_save *save,
                      struct err *err) MUST_USE;
bool fake_memory_state(struct machine *m, const struct uuid *image,
                       struct machine_memory_state *out, struct err *err) MUST_USE;
bool fake_memory_end(struct machine *m, const struct uuid *image, bool cancel,
                     struct err *err) MUST_USE;
bool fake_memory_made(struct machine *m, char **made, struct err *err) MUST_USE;
bool fake_memory_fits(const char *made, const struct vm_spec *spec, enum vm_accel accel,
                      struct err *err) MUST_USE;
