/* Looking at a rig as a person at a shell would. */
#pragma once
#include "tests/lib/rig.h"

/* Runs a line of a shell in the rig's directory, with nothing to read; its exit code. '*out', which
 * is freed first, is what it printed. */
int rig_shell(struct rig *r, const char *line, char **out);
/* How many files in the rig's directory match a shell's pattern (with one star for a pool). */
size_t rig_matches(struct rig *r, const char *pattern);
/* Image files in the pools of the root "main": what else there is has a directory of another name.
 */
size_t rig_files(struct rig *r);
