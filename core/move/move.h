/* Moving the storage of VMs to another pool, while they run or are off, with all their snapshots.
 * The words, steps and commit points are in docs/storage.md. */
#pragma once
#include "core/core/core.h"

struct move_request {
    const char *pool;         /* name or id */
    const char *const *disks; /* their ids, or positions as text ("0"); none: all */
    size_t n_disks;
    int format;           /* enum disk_format; -1: as they are */
    bool limited;         /* 'bytes_per_s' counts */
    uint64_t bytes_per_s; /* 0: as fast as it goes */
    bool keep_source;     /* the files that were moved stay, as nobody's */
};

/* Submits "vm.move-storage". With origin->dry_run nothing is submitted, and '*plan' (the caller's)
 * says what it would do: schema MovePlan, with "blockers" in the place of an error. NOT_FOUND,
 * WRONG_STATE, BUSY, IN_USE, NO_SPACE with the numbers. Looks at all files: blocks on the disk. */
bool vm_move_storage(struct core *core, const char *ref, const struct move_request *request,
                     const struct origin *origin, struct uuid *op, json_t **plan,
                     struct err *err) MUST_USE;
