/* The fake backend's one knob. */
#pragma once
#include <stdint.h>

/* How often a running fake machine prints a line: 1000. Tests have less patience. Set before
 * start(). */
extern int64_t fake_tick_ms;
