/* The files of running disks: new ones on top, copies between them. For this folder only; the
 * contracts are those of struct backend. */
#pragma once
#include "core/port/backend.h"

bool machine_snapshot(struct machine *m, const struct machine_overlay *overlays, size_t n,
                      struct err *err) MUST_USE;
bool machine_is_leaf(struct machine *m, unsigned disk, const struct uuid *file, bool *yes,
                     struct err *err) MUST_USE;
bool machine_stream(struct machine *m, const struct machine_stream *stream,
                    struct err *err) MUST_USE;
bool machine_block_job(struct machine *m, const struct uuid *top, struct machine_block_job *out,
                       struct err *err) MUST_USE;
bool machine_block_job_end(struct machine *m, const struct uuid *top, bool cancel,
                           struct err *err) MUST_USE;
bool machine_flush(struct machine *m, const struct uuid *file, const struct uuid *base,
                   struct err *err) MUST_USE;
bool machine_drop_file(struct machine *m, const struct uuid *file, struct err *err) MUST_USE;
