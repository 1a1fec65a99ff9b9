/* What core/inspect finds out about the host, kept for a while: many clients may ask often. */
#pragma once
#include "core/core/parts.h"

struct survey *survey_new(void);
void survey_free(struct survey *survey); /* NULL is fine */

/* HostInventory, at most 5 s old. A new reference. */
json_t *survey_inventory(struct survey *survey);
