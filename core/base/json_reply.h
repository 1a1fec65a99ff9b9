/* Reading what QEMU says of files that lie on each other: more than core/base/json.h lets in. */
#pragma once
#include "core/base/json.h"

/* As json_read(), for replies of a machine with up to 200 files: nested a level deeper for each,
 * with two nodes of some forty values. Up to 512 levels and 100,000 values; how long it is is the
 * frame's business. */
json_t *json_read_reply(const char *text, size_t len, struct err *err) MUST_USE;
