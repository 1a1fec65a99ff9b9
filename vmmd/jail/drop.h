/* Giving up rights for good. Each returns false with the reason; a caller that cannot give up a
 * right must not go on. */
#pragma once
#include "core/base/err.h"

#include <stdint.h>

/* Nobody in this user namespace makes another one, in which he would have every capability again.
 * Needs the host's /proc. Where that is read-only (containers) only a warning is logged: QEMU's own
 * filter stands behind it. */
void drop_nesting(void);
/* No program executed from here on gains a capability: root is nobody special, the bounding and
 * ambient sets are empty. Before a change of uid: it needs CAP_SETPCAP. */
bool drop_gains(struct err *err) MUST_USE;
/* Effective and permitted capabilities become exactly those of the mask 'keep' (0: none), and
 * no_new_privs is set. */
bool drop_capabilities(uint64_t keep, struct err *err) MUST_USE;
/* Landlock, where the kernel has it. With 'for_qemu': read and execute below /usr, read below /in
 * and below /preload if there is one, read and write below /dev; otherwise no file, no TCP port, no
 * abstract socket at all. */
bool drop_files(bool for_qemu, struct err *err) MUST_USE;
