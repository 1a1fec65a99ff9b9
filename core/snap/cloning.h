/* What files of core/snap share about clones. */
#pragma once
#include "core/disk/pace.h"

/* Whether files may be put on those of the VM's snapshots: no operation removes or moves them.
 * Under the registry lock. WRONG_STATE, BUSY. */
bool clone_source_is_free(const struct vm *vm, struct err *err) MUST_USE;
/* Streams into every file of the VM that lies on another's all that is below; a failure leaves what
 * is done. CANCELLED when the job of 'pace' is asked to end. For clone_run.c and flatten.c. */
bool flatten_vm(struct core *core, struct vm *vm, struct pace *pace, struct err *err) MUST_USE;
