/* The terminal in raw mode, given back on every way out: return, exit() and fatal signals. */
#pragma once
#include "cli/fault.h"

bool tty_raw(int fd, struct fault *fault) MUST_USE;
/* One line without showing what is typed; ends at Return. INTERRUPTED, FAILED. */
bool tty_ask_secret(int fd, FILE *to, const char *question, char *out, size_t size,
                    struct fault *fault) MUST_USE;
void tty_restore(void); /* does nothing when the terminal is not raw */
