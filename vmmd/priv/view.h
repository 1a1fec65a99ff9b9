/* What processes see of the host's files: little, and what they see they may only read. No home, no
 * pool by its path, no device but those that give bytes. */
#pragma once
#include "vmmd/priv/host.h"

/* In the child that becomes main, as root: gives it a mount namespace and a root of its own: its
 * two directories, the system's programs and configuration, and what the kernel tells. It holds the
 * pools' directories open. */
bool view_enter(const struct host *h, struct err *err) MUST_USE;
/* In the child that becomes vmmd-net, root of the host or of its user namespace, and pid 1: the
 * system's programs, the addresses of name servers, its own processes. */
bool view_enter_net(const struct host *h, struct err *err) MUST_USE;
/* In the child that becomes vmmd-pam, root and pid 1: the system's programs, /etc but for keys, the
 * sockets of services that know passwords; of vmmd nothing. Only what modules count failures in can
 * be written to. */
bool view_enter_pam(const struct host *h, struct err *err) MUST_USE;
