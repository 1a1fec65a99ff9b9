/* The room that a small program locks itself into before it reads its first byte of what others
 * have made (vmmd-split, vmmd-pack): no descriptor but those it was given, and no system call but
 * those it lives by, each on the descriptor it is meant for. Anything else ends the process with
 * SIGSYS. What is allocated has to be so before. */
#pragma once
#include "core/base/err.h"

#include <stddef.h>
#include <stdint.h>

#define ROOM_ANY_FD    UINT32_MAX
#define ROOM_CALLS_MAX 32

struct room_call {
    uint32_t call, fd; /* SYS_…, its first argument */
};

/* Descriptors after 'last_fd' are closed. It never opens again. */
bool room_lock(const struct room_call *allowed, size_t n, int last_fd, struct err *err) MUST_USE;
