/* What vmmd-main sees of the host's files: its two directories, the system's programs and
 * configuration to read, and what the kernel tells. No home, no pool by its path (it holds their
 * directories open), no device but those that give bytes. */
#pragma once
#include "vmmd/priv/host.h"

/* In the child that becomes main, as root: gives it a mount namespace and a root of its own. */
bool view_enter(const struct host *h, struct err *err) MUST_USE;
