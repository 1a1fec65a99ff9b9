/* passt from fork to exec. */
#pragma once
#include "core/base/err.h"

/* Starts it with these words (NULL-terminated, the program first), 'sock' as PASST_FD and its
 * messages to 'messages', both borrowed. The pidfd, the caller's; -1 on failure. That it could not
 * be executed shows as its end with the status 127. It ends with the calling thread. */
int net_child_start(const char *const *argv, int sock, int messages, struct err *err) MUST_USE;
