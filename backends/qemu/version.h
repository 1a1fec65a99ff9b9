/* The version of the QEMU that is installed. */
#pragma once
#include "core/base/capture.h"

#include <stdbool.h>
#include <stddef.h>

/* "7.2.22 (Debian 1:7.2+dfsg-7)", or "" (and a word in the log) when there is none that says so.
 * Runs it. False when there is no QEMU; one that took too long to say, on a host that is busy, is
 * there all the same. */
bool qemu_version(char *out, size_t size);
/* The same, of what it said. */
bool qemu_version_read(const struct capture *run, char *out, size_t size);
