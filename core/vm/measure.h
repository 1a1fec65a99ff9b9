/* Facts about all VMs for core/core/measure.c. */
#pragma once
#include "core/core/measure.h"

void vms_measure(struct core *core, struct core_measures *out);
