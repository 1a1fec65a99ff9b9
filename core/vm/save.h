/* Saving a VM, for its kind and for what asks for it: see save.c. For core's own files. */
#pragma once
#include "core/disk/file.h"

/* What a request settles: the image that the operation makes. 'args' is the caller's, and has what
 * the operation has to remember. */
struct save_plan {
    struct layer image;
    const struct uuid *job;
    json_t *args;
};
/* Looks whether it can be done, before anything is made: WRONG_STATE with what prevents it,
 * NO_SPACE, UNAVAILABLE. Blocks on the machine and on the pool. */
bool save_plan(struct core *core, struct vm *vm, struct save_plan *out, struct err *err) MUST_USE;
void save_plan_clear(struct save_plan *plan);
/* The rows, in the transaction of the job: 'ctx' is the plan. */
bool save_plan_rows(struct store_txn *txn, void *ctx, struct err *err) MUST_USE;

/* Submits "vm.save"; with 'by_host' the VM goes on after the host's next boot, if it runs now.
 * Errors of save_plan() and of a claim. */
bool vm_save(struct core *core, struct vm *vm, bool by_host, const struct origin *origin,
             struct uuid *op, struct err *err) MUST_USE;

/* QEMU of a VM that is saved goes, if it is still there; returns when nothing of it is left. It
 * must never run its guest again. */
bool save_end_machine(struct core *core, struct vm *vm, struct err *err) MUST_USE;
