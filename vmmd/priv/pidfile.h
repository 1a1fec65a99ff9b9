/* Ending a worker where there are no cgroups: by the pid file that it wrote into its run directory.
 */
#pragma once
#include "vmmd/priv/host.h"

#include "core/base/id.h"

/* Kills the worker; its jail follows, since its lifeline ends. Waits (5 s, then TIMEOUT) until the
 * lock that both share is free. Nothing there is success. The file is written by vmmd's user and is
 * believed only so far: boot, start time and owner of the process must match. */
bool pidfile_kill(const struct host *h, const struct uuid *vm, struct err *err) MUST_USE;
