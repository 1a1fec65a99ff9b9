/* Clones of VMs with what is on their disks, for the API. A copy of the configuration alone, with
 * empty disks, is made by POST /vms (core/vm/recipe.c). Steps and records are in docs/storage.md.
 */
#pragma once
#include "core/core/core.h"

struct clone_ask {
    const char *name;     /* of the new VM */
    const char *snapshot; /* id, or name within the VM; NULL: one is taken of the VM as it is */
    const char *pool;     /* id or name, for the new files; NULL: where those of the VM are */
    bool full;            /* share no file with it at the end */
    bool start;           /* and start it */
    bool limited;         /* 'bytes_per_s' counts; for a full one only */
    uint64_t bytes_per_s; /* 0: as fast as it goes */
};

/* What stands in the way of that: schema ClonePlan, owned by the caller. NOT_FOUND, INVALID. */
json_t *vm_clone_plan(struct core *core, const char *ref, const struct clone_ask *ask,
                      struct err *err) MUST_USE;
/* Submits "vm.clone" or "vm.clone-full", whose object is the new VM, '*vm'. EXISTS for a name that
 * is taken, NOT_FOUND, WRONG_STATE, BUSY while an operation on the VM removes files, NO_SPACE. With
 * origin->dry_run nothing is submitted and '*op' is zero. */
bool vm_clone(struct core *core, const char *ref, const struct clone_ask *ask,
              const struct origin *origin, struct uuid *op, struct uuid *vm,
              struct err *err) MUST_USE;
