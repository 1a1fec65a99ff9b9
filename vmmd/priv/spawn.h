/* Starting a worker with its idle jail: the part of the helper that forks. */
#pragma once
#include "vmmd/priv/host.h"

#include "core/base/id.h"

/* Returns the first conversation's end (stream) of a new worker, close-on-exec, or -1: for a
 * WORKER_SPAWN whose fields are good. On return all its programs run. BUSY: see leaf_make();
 * UNSUPPORTED: no user namespaces, with the sysctl at fault. */
int spawn_worker(const struct host *h, const struct priv_request *req, struct err *err) MUST_USE;
/* Can the namespaces of a jail be made? Tries. */
bool spawn_userns_works(const struct host *h, struct err *err) MUST_USE;
