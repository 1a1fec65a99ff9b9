/* One verb for many VMs: each gets an operation of its own, or the reason why not. */
#pragma once
#include "core/core/core.h"
#include "core/model/state.h"

#define VM_BULK_MAX 1000

/* Gives {"items":[{"vm":{"id","name"},"operation":id,"error":…}]}, in the order of 'refs', an array
 * of texts; 'operation' is null where there is an error, and on a dry run. The operations are
 * durable on return, all in one transaction with the Idempotency-Key. 'args' as for vm_act(), may
 * be NULL. INVALID with "/vms/N": a VM is named twice. Every other failure is of the whole, and
 * nothing was begun. */
json_t *vm_act_all(struct core *core, const json_t *refs, enum vm_verb verb, const json_t *args,
                   const struct origin *origin, struct err *err) MUST_USE;
