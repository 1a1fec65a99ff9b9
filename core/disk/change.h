/* Changing the disks of VMs: what adding, removing, growing and limiting share. What the API sees
 * of it is in pool.h; steps, commit points and recovery are in docs/storage.md. For core's own
 * files. */
#pragma once
#include "core/core/parts.h"
#include "core/disk/file.h"

/* How long a guest has to let go of a disk: 30000. Tests have less patience. */
extern int64_t disk_unplug_ms;

/* The VM of a disk, with a reference, and a copy of the disk. NOT_FOUND. */
struct vm *disk_vm(struct core *core, const char *ref, struct disk *out, struct err *err) MUST_USE;
/* Copies of a configuration with one disk more, in place of the one with its id if there is one,
 * and with one less. */
struct vm_spec *spec_with_disk(const struct vm_spec *spec, const struct vm_disk *disk);
struct vm_spec *spec_without_disk(const struct vm_spec *spec, const struct uuid *disk);
/* The disk in a configuration; NULL. */
struct vm_disk *spec_disk(const struct vm_spec *spec, const struct uuid *disk);
/* The VM's row with another configuration; memory follows with disks_spec_set() once that is
 * committed. Under vm->writing. */
bool disks_spec_write(struct core *core, struct store_txn *txn, struct vm *vm,
                      const struct vm_spec *spec, struct err *err) MUST_USE;
void disks_spec_set(struct core *core, struct vm *vm, struct vm_spec **spec); /* takes it */
/* The active configuration says what the machine has of this disk now: what the configuration
 * says, or (when it is not there any more) nothing. */
void disk_active_set(struct core *core, struct vm *vm, const struct uuid *disk);
bool disk_row_write(struct store_txn *txn, const struct disk *disk, struct err *err) MUST_USE;

/* The VM's machine, waited for when it does not answer yet; NULL without a failure when there is
 * none and the VM is off. vm_machine_done() after use. */
bool disk_machine(struct core *core, struct vm *vm, const struct backend **backend,
                  struct machine **out, struct err *err) MUST_USE;
/* Plugs the disk into the machine, if there is one, with its limits. '*refused' when the machine
 * lives and does not have it after all. */
bool disk_plug(struct core *core, struct vm *vm, const struct uuid *disk, bool *refused,
               struct err *err) MUST_USE;
bool disk_never(const struct vm *vm, void *ctx); /* for vm_wait(): false */
