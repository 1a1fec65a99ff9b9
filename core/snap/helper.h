/* A QEMU that holds the disk of a VM that is off and never runs its guest. For core/snap only. */
#pragma once
#include "core/core/parts.h"

/* How much a helper writes at most to a copy of a disk of this size, when what lies in 'dir' lies
 * in memory; else 0. */
uint64_t helper_in_memory(int dir, uint64_t size_bytes);
/* 'leaf' is opened for writing, what it lies on for reading. In a jail of the VM's own, as when it
 * runs; should this daemon die, the next one ends it. The VM is claimed by the caller's operation.
 * It has room in its memory for 'in_memory_bytes' of the files that it is given later. */
struct machine *helper_start(struct core *core, struct vm *vm, const struct uuid *leaf,
                             uint64_t in_memory_bytes, struct err *err) MUST_USE;
/* The same for a stand-in (below), with no directory of its own: what QEMU says is in memory only.
 */
struct machine *helper_start_reading(struct core *core, struct vm *vm, const struct uuid *leaf,
                                     struct err *err) MUST_USE;
/* For a stand-in as well, with a disk of files that are open already and of which core knows
 * nothing: leaf first. Its descriptors are taken, the rest stays the caller's. No file, of these or
 * of those that it is given later, grows beyond 'file_max_bytes'. */
struct machine *helper_start_on(struct core *core, struct vm *vm, struct plan_disk *disk,
                                uint64_t in_memory_bytes, uint64_t file_max_bytes,
                                struct err *err) MUST_USE;
void helper_stop(struct core *core, struct vm *vm, struct machine *machine);
/* A stand-in for a VM, for a helper that belongs to an operation ('id') and not to a VM; nobody
 * finds it, but its uid slot is its own. 'backend' is an enum vm_backend. */
struct vm *helper_shadow(struct core *core, const struct uuid *id, int backend);
void helper_shadow_free(struct core *core, struct vm *shadow);
