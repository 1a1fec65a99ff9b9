/* Which QMP commands main may send. */
#pragma once
#include "core/base/err.h"

#include <jansson.h>

/* True when 'request' ({"execute":…,"arguments":{…}}) may go to QEMU; '*command' is its name then,
 * borrowed from it. INVALID when it is no such object, FORBIDDEN when the jail's rules exclude it.
 */
bool rules_check(const json_t *request, const char **command, struct err *err) MUST_USE;
