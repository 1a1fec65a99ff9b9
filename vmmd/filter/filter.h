/* Which system calls a process of vmmd may still make. A filter stays until the process ends, goes
 * on to what it executes, and adds to those before it. What is refused gives EPERM.
 *
 * For all threads. UNSUPPORTED where the kernel has no filters. */
#pragma once
#include "core/base/err.h"

/* Refuses what neither vmmd nor anything that it starts has a use for, jails and QEMU included:
 * other code for the kernel, looking into processes, the host's clock and its end, key rings,
 * sockets but those of unix, IPv4, IPv6 and netlink. */
bool filter_refuse_rare(struct err *err) MUST_USE;
/* ... and what takes rights or makes namespaces: for vmmd-main, which has neither to do. */
bool filter_refuse_power(struct err *err) MUST_USE;
/* ... and says that the kernel has no audit, as it says itself where it has none: for vmmd-pam.
 * libpam takes a refusal there for a failure of the sign-in. */
bool filter_hide_audit(struct err *err) MUST_USE;
/* Only what moves bytes between sockets: for vmmd-front. */
bool filter_only_bytes(struct err *err) MUST_USE;
