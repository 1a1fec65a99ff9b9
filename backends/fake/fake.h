/* The fake backend's knobs. */
#pragma once
#include "core/base/id.h"
#include "core/port/backend.h"

#include <stdbool.h>
#include <stdint.h>

/* How often a running fake machine prints a line: 1000. Tests have less patience. Set before
 * start(). */
extern int64_t fake_tick_ms;
/* What the plan of the last one that was started says of files in memory. */
extern _Atomic(uint64_t) fake_in_memory_bytes;
/* Called by start() with the machine that it is about to return; NULL: nothing. */
extern void (*fake_has_started)(const struct uuid *vm, const struct machine_owner *owner);
/* Copies that end by a pivot wait for space. */
extern _Atomic(bool) fake_full; /* ... and no memory image finds space */
/* Memory images that are being written get no further. */
extern _Atomic(bool) fake_memory_held;
/* The memory of one that began with an image can be copied while it runs; else it stands still. */
extern _Atomic(bool) fake_has_precopy;
/* What its copies and flushes do to the files, for tests whose files hold something; NULL: nothing.
 */
struct fake_files {
    void (*stream)(const struct uuid *top, const struct uuid *base);
    /* 'leaf_only': what lies below 'from' has a copy below 'to' already */
    void (*mirror)(const struct uuid *from, const struct uuid *to, bool leaf_only);
    void (*commit)(const struct uuid *top, const struct uuid *base, bool is_leaf);
    void (*flush)(const struct uuid *file);
};
extern const struct fake_files *fake_files;
