/* What the field tables cannot say: which members of a VM's configuration go together. Pure; what
 * depends on the host is in core/vm/create.c. */
#pragma once
#include "core/model/vm.h"

/* INVALID with err->field at the member that has to change. */
bool vm_spec_rules(const struct vm_spec *spec, struct err *err) MUST_USE;
/* Processors the board has room for: cpu.max_vcpus, at least vcpus. */
unsigned vm_spec_max_vcpus(const struct vm_spec *spec);
/* IDE devices (disks and CD drives) a board takes: 6 (q35) or 4. */
unsigned vm_spec_ide_room(const struct vm_spec *spec);
