/* The room that vmmd-split locks itself into before it reads its first byte: no descriptor but its
 * three, and no system call but the five it lives by, each on the descriptor it is meant for.
 * Anything else ends the process with SIGSYS. */
#pragma once
#include "core/base/err.h"

bool room_lock(struct err *err) MUST_USE; /* never opens again */
