/* The media of CD drives: their block nodes, and changing them in a running machine. For this
 * folder only. */
#pragma once
#include "core/base/json.h"
#include "core/port/backend.h"

/* A drive's block node over a descriptor set: "cd<drive>-<set>". */
json_t *media_node(unsigned drive, unsigned set);
/* The backend's call. */
bool machine_media(struct machine *m, unsigned drive, int fd, struct err *err) MUST_USE;
