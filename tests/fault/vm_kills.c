/* The fault walk's kills: see vm_walk.c. */
#define WALK_KILLS 1
#include "tests/fault/vm_walk.c"
