/* All checks of a host, and what they found. */
#pragma once
#include "core/base/json.h"
#include "core/inspect/check.h"

extern const struct check_topic *const findings_topics[]; /* ended by NULL */

/* List of Finding of openapi.yaml, the gravest first and within a severity in the order of the
 * tables. Reads some fifty small files. */
json_t *findings_read(const struct inspect_facts *facts);
