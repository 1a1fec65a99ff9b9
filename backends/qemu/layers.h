/* The files of running disks: new ones on top, copies between them. For this folder only; the
 * contracts are those of struct backend. */
#pragma once
#include "core/port/backend.h"

#include <jansson.h>

/* layers.c */
bool machine_snapshot(struct machine *m, const struct machine_overlay *overlays, size_t n,
                      struct err *err) MUST_USE;
bool machine_is_leaf(struct machine *m, unsigned disk, const struct uuid *file, bool *yes,
                     struct err *err) MUST_USE;
bool machine_flush(struct machine *m, const struct uuid *file, const struct uuid *base,
                   struct err *err) MUST_USE;
bool machine_drop_file(struct machine *m, const struct uuid *file, struct err *err) MUST_USE;

/* block_jobs.c */
bool machine_stream(struct machine *m, const struct machine_stream *stream,
                    struct err *err) MUST_USE;
bool machine_mirror(struct machine *m, const struct machine_mirror *mirror,
                    struct err *err) MUST_USE;
bool machine_commit(struct machine *m, const struct machine_commit *commit,
                    struct err *err) MUST_USE;
bool machine_block_job(struct machine *m, const struct uuid *top, struct machine_block_job *out,
                       struct err *err) MUST_USE;
bool machine_block_job_limit(struct machine *m, const struct uuid *name, uint64_t bytes_per_s,
                             struct err *err) MUST_USE;
bool machine_block_job_resume(struct machine *m, const struct uuid *name, struct err *err) MUST_USE;
bool machine_block_job_end(struct machine *m, const struct uuid *top, bool cancel,
                           struct err *err) MUST_USE;
bool machine_pivot(struct machine *m, const struct machine_pivot *pivot,
                   struct machine_pivoted *out, struct err *err) MUST_USE;

/* memory.c */
bool machine_memory_look(struct machine *m, struct machine_memory_ways *out,
                         struct err *err) MUST_USE;
bool machine_memory_save(struct machine *m, const struct machine_memory_save *save,
                         struct err *err) MUST_USE;
bool machine_memory_state(struct machine *m, const struct uuid *image,
                          struct machine_memory_state *out, struct err *err) MUST_USE;
bool machine_memory_end(struct machine *m, const struct uuid *image, bool cancel,
                        struct err *err) MUST_USE;

/* serve.c */
bool machine_serve(struct machine *m, unsigned disk, int listener, struct err *err) MUST_USE;

/* ---- of layers.c, for block_jobs.c, memory.c and serve.c ---- */

/* The node a disk writes to. */
struct top {
    char node[64], driver[16];
    bool direct; /* past the host's cache */
    bool alone;  /* it lies on nothing */
};

/* Takes 'arguments'. */
bool layers_qmp(struct machine *m, const char *command, json_t *arguments,
                struct err *err) MUST_USE;
bool layers_top(struct machine *m, unsigned disk, struct top *out, struct err *err) MUST_USE;
/* Makes an overlay a node that lies on nothing yet; '*top' is what its disk writes to. */
bool layers_plug(struct machine *m, const struct machine_overlay *overlay, struct top *top,
                 struct err *err) MUST_USE;
/* A node goes with what was lent for it, as far as QEMU lets it. */
void layers_drop(struct machine *m, const char *node);
/* The descriptor set through which QEMU has a file open. WRONG_STATE: it has not. */
bool layers_set_of(struct machine *m, const char *node, unsigned *set, struct err *err) MUST_USE;
/* Adds 'fd' (borrowed; -1: nothing to do) to it: QEMU opens the file for writing when it needs to.
 */
bool layers_make_writable(struct machine *m, const char *node, int fd, struct err *err) MUST_USE;
