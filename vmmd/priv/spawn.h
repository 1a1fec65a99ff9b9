/* Starting a worker with its idle jail: the part of the helper that forks. */
#pragma once
#include "vmmd/priv/host.h"

#include "core/base/id.h"

/* Returns the first conversation's end (stream) of a new worker, close-on-exec, or -1. On return
 * both programs run. BUSY: see leaf_make(); UNSUPPORTED: no user namespaces, with the sysctl at
 * fault. */
int spawn_worker(const struct host *h, const struct uuid *vm, uint32_t slot, bool kvm,
                 struct err *err) MUST_USE;
/* Can the namespaces of a jail be made? Tries. */
bool spawn_userns_works(const struct host *h, struct err *err) MUST_USE;
