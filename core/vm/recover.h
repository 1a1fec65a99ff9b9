/* Taking up after a restart: VMs from the store, machines that still run, remains of those that do
 * not. For core/core. */
#pragma once
#include "core/core/parts.h"

bool vms_load(struct core *core, struct err *err) MUST_USE;
/* Attaches all machines that may live, in parallel; on return every VM's state is true or 'unknown'
 * (then a thread goes on asking). 'host_reset': the host was rebooted, and what does not
 * live ended with it. One that lives has been started since by a daemon that did not come to note
 * the boot. */
void vms_take_up(struct core *core, bool host_reset);
/* Workers of VMs that no row knows end; half-made and half-deleted VMs without a job get one. */
void vms_sweep(struct core *core);
/* A machine was lost: settle it as at a restart. Runs on a thread of its own; takes a reference. */
void vm_take_up_later(struct core *core, struct vm *vm, bool host_reset);
