/* What a fake guest has said on its first serial port: it counts, from 1 after each boot. */
#pragma once
#include "tests/lib/world.h"

struct ticks {
    unsigned boots; /* times it has booted */
    uint64_t last;  /* its last number; 0: none since it booted */
};
/* Fails unless each number follows the one before, or 1 a boot: a guest that was brought back to
 * what it had said already would say it again. */
struct ticks ticks_read(struct world *w, const char *vm);
/* Waits until it has said 'n', or more, since it booted last. */
void ticks_await(struct world *w, const char *vm, uint64_t n);
