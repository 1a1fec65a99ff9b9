/* Starting VMs again by their restart policy: see docs/autostart.md. */
#pragma once
#include "core/core/parts.h"
#include "core/model/restarts.h"
#include "core/vm/registry.h"

/* How the policy changes what is written with a state: 'next' becomes what is to be kept.
 * RESTART_NOT with a 'next' that is due no more, when the change ends the waiting. */
enum restart_verdict restart_judge(const struct vm *vm, const struct vm_change *change,
                                   struct restarts *next);
/* The event "vm.restart" of a verdict; NULL for none. */
json_t *restart_event(const struct vm *vm, const struct vm_change *change,
                      enum restart_verdict verdict, const struct restarts *next);
/* Under the registry lock: what the VM keeps. */
void restart_keep(struct vm *vm, const struct restarts *next);
bool restart_is_due(const struct vm *vm);

/* The thread that waits for what is due. It begins with what an earlier daemon had planned; after a
 * reboot of the host that is nothing: autostart says what runs then. */
struct restarter *restarter_new(struct core *core);
bool restarter_start(struct restarter *restarter, bool host_reset, struct err *err) MUST_USE;
void restarter_stop(struct restarter *restarter); /* NULL is fine, here and below */
void restarter_free(struct restarter *restarter);
/* Wakes the thread at 'due_ms' (wall clock) for this VM. Any thread, no lock needed. */
void restart_arm(struct core *core, const struct uuid *vm, int64_t due_ms);
/* Whatever restart is due is so no more, and the VM is to be off. */
void restart_forget(struct core *core, struct vm *vm);
/* The job of a restart failed: it counts as one more crash. Before its remains are cleared away, so
 * that no daemon sees the one without the other. */
void restart_again(struct core *core, struct vm *vm);
