/* What a disaster copy is made of: memory for a VM, the database for what is no VM's. For core's
 * own files. */
#pragma once
#include "core/core/parts.h"
#include "core/rebuild/document.h"

/* Its configuration, disks, snapshots, memories, all files that those need, and the pools they lie
 * in; the generation is left to the caller. Under vm->writing; takes the registry lock. */
void vm_copy_fill(struct core *core, const struct vm *vm, struct vm_copy *out);
bool host_copy_fill(struct core *core, struct host_copy *out, struct err *err) MUST_USE;
