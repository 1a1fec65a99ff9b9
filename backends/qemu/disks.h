/* Disks that are plugged into a machine, taken away, grown and limited while it lives. For this
 * folder only; the contracts are those of struct backend. */
#pragma once
#include "core/port/backend.h"

bool machine_disk_add(struct machine *m, const struct plan_disk *disk, struct err *err) MUST_USE;
bool machine_disk_unplug(struct machine *m, unsigned disk, struct err *err) MUST_USE;
bool machine_disk_is_there(struct machine *m, unsigned disk, bool *yes, struct err *err) MUST_USE;
bool machine_disk_grow(struct machine *m, unsigned disk, uint64_t size_bytes, uint64_t *now,
                       struct err *err) MUST_USE;
bool machine_disk_limit(struct machine *m, unsigned disk, const struct disk_limits *limits,
                        struct err *err) MUST_USE;
