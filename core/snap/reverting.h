/* What a revert and its dry run both ask: see revert.c. */
#pragma once
#include "core/snap/tree.h"

/* What would refuse it: NOT_FOUND; UNSUPPORTED, NO_MEMORY and others when the guest's memory cannot
 * be gone on with. Asks the backend and looks at files: no lock may be held. */
bool revert_check(struct core *core, struct vm *vm, const char *snapshot, bool start,
                  struct err *err) MUST_USE;
/* WRONG_STATE when a disk of it is another VM's: asked again before anything is changed. */
bool revert_takes_own(struct core *core, const struct vm *vm, const struct snapshot *s,
                      struct err *err) MUST_USE REQUIRES(core->registry.lock);
