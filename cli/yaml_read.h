/* YAML text as JSON values. yaml.h writes. */
#pragma once
#include "core/base/err.h"

#include <jansson.h>

/* The documents as an array, owned by the caller; empty ones are left out. Scalars are typed by
 * YAML 1.2's core schema: "yes" and 012 are no booleans or octal numbers. What could surprise is
 * refused: aliases, anchors, tags, a key twice, keys that are no texts; so are more nesting and
 * values than json_read() allows. MALFORMED with line and column. */
json_t *yaml_read(const char *text, size_t len, struct err *err) MUST_USE;
