/* The terminal in raw mode, given back on every way out: return, exit() and fatal signals. */
#pragma once
#include "cli/fault.h"

bool tty_raw(int fd, struct fault *fault) MUST_USE;
void tty_restore(void); /* does nothing when the terminal is not raw */
