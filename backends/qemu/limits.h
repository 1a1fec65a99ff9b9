/* What a QEMU may take of its host: the VM's limits, and what it needs at most. */
#pragma once
#include "core/model/vm.h"
#include "core/port/host.h"

/* Of a machine of this configuration. Pure. */
struct host_limits limits_of(const struct vm_spec *spec, enum vm_accel accel);
