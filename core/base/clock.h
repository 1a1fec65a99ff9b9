/* Clocks: the monotonic one for deadlines, the wall clock only to be shown. Milliseconds. */
#pragma once
#include <stdint.h>

#define CLOCK_TEXT 32

int64_t clock_mono_ms(void);
int64_t clock_mono_us(void);                            /* for what is too short for ms */
int64_t clock_wall_ms(void);                            /* since 1970, UTC */
void clock_text(int64_t wall_ms, char out[CLOCK_TEXT]); /* RFC 3339, "2026-11-21T01:02:03.456Z" */
/* Milliseconds left until 'deadline' (monotonic), never negative. */
int64_t clock_left_ms(int64_t deadline_mono_ms);
