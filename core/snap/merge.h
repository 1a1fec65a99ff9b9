/* Copying what a file has into one that lies on it, by QEMU: the VM's own when it runs, one that
 * never runs a guest when the VM is off. For deleting snapshots. */
#pragma once
#include "core/core/parts.h"
#include "core/disk/file.h"

/* Blocks until 'child' has everything of 'from' that it shows and the copy is on the disk; 'child'
 * does not need 'from' any more then. Progress goes to the job; CANCELLED when it is asked to end.
 * WRONG_STATE when the running VM cannot do it, with what to do. May be repeated. */
bool merge_stream(struct core *core, struct vm *vm, struct job *job, const struct layer *from,
                  const struct layer *child, struct err *err) MUST_USE;
/* A running QEMU lets go of a file that its disks do not need any more, as far as it answers. */
void merge_forget(struct core *core, struct vm *vm, const struct layer *file);
