/* The fake backend's knobs. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* How often a running fake machine prints a line: 1000. Tests have less patience. Set before
 * start(). */
extern int64_t fake_tick_ms;
/* Copies that end by a pivot wait for space. */
extern _Atomic(bool) fake_full;
