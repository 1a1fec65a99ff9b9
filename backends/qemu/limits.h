/* What a QEMU may take of its host: the VM's limits, and what it needs at most. */
#pragma once
#include "core/port/backend.h"
#include "core/port/host.h"

/* Of a machine of this configuration, but for the tables of its images. Pure. */
struct host_limits limits_of(const struct vm_spec *spec, enum vm_accel accel);
/* Memory that those take at most, however many layers the disks have. Pure. */
uint64_t limits_of_tables(const struct machine_plan *plan);
