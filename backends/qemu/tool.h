/* Small programs of ours that do one piece of work for main in a room of their own (vmmd-pack,
 * vmmd-inspect). For the file of each. */
#pragma once
#include "core/base/err.h"

#include <stddef.h>
#include <sys/types.h>

#define TOOL_FDS_MAX 4

/* Starts 'program' (NULL: it is missing) with 'given' as its descriptors from 3 on, and behind them
 * the writing end of a pipe whose other end is '*report', the caller's; with no environment. */
bool tool_start(const char *program, char *const argv[], const int *given, size_t n, int *report,
                pid_t *pid, struct err *err) MUST_USE;
/* Waits for its end, which 'now' makes an immediate one. */
void tool_end(pid_t pid, bool now);
