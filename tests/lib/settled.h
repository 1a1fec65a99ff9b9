/* What must be true some seconds after any process was killed, whoever it was and whatever was
 * under way. Each check is a sentence, and is what the failure says. */
#pragma once
#include "tests/lib/rig.h"

/* Waits until all of it holds:
 *   every operation has ended                   no claim is left
 *   a VM is whole or absent                     a VM that runs has a worker and a QEMU
 *   no worker and no QEMU without a VM that runs
 *   no image without a VM, no VM without its image, no directory without a VM
 *   a cgroup leaf for each VM that runs and no other, where there are cgroups
 * Every VM of the rig has one disk. Fails after 'ms' with the sentence that is not true. */
void settled_await(struct rig *r, int ms);
/* Waits until the daemon answers. */
void settled_service(struct rig *r, int ms);
/* A file that could not be removed stays until the next start: begins main anew if there is one. */
void settled_clear_away(struct rig *r);
