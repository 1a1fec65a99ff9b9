/* What core/inspect finds out about the host, kept for a while: many clients may ask often. */
#pragma once
#include "core/core/parts.h"

struct survey *survey_new(void);
void survey_free(struct survey *survey); /* NULL is fine */

/* HostInventory, at most 5 s old. A new reference. */
json_t *survey_inventory(struct core *core);
/* List of Finding, at most 10 s old; the first call, and the first after QEMU was replaced, runs
 * QEMU and takes some 150 ms. A new reference. */
json_t *survey_findings(struct core *core);
/* {cpu, memory, io}: how long tasks wait, now. */
json_t *survey_pressure(struct core *core);
/* The processor as GET /host shows it. */
json_t *survey_cpu(struct core *core);
