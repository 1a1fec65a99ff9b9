/* The version of the QEMU that is installed. */
#pragma once
#include <stddef.h>

/* "7.2.22 (Debian 1:7.2+dfsg-7)", or "" (and a word in the log) when there is none that says so.
 * Runs it. */
void qemu_version(char *out, size_t size);
