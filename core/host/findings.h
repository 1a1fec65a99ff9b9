/* What a doctor would say about this host: for host.c. */
#pragma once
#include "core/core/parts.h"
#include "core/inspect/cpu.h"

/* List of {id, severity, title, evidence, fix} in the order of their weight. */
json_t *findings_list(struct core *core, const struct cpu_facts *cpu);
