/* What a pivot writes into the VM's commit log (docs/storage.md, "Records"), as JSON. */
#pragma once
#include "core/port/backend.h"

#include <jansson.h>

/* {"job":…, "leaves":[{"disk":…, "file":…}]}; owned by the caller. */
json_t *record_of_pivot(const struct machine_pivot *pivot) MUST_USE;
/* {"job":…, "undone":true}: the one before it does not count. */
json_t *record_of_undone(const struct uuid *job) MUST_USE;
