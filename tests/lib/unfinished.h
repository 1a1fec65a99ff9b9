/* Operations that a daemon left open. */
#pragma once
#include "tests/lib/harness.h"

#include "core/base/id.h"

/* As if somebody had asked all of them to end before the daemon died, and it had not looked any
 * more. For a state directory that nobody has open. How many there are; '*last', unless NULL: one
 * of them. */
unsigned unfinished_cancel(const char *state_dir, struct uuid *last);
