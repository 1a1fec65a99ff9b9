/* QEMU's process: from fork to exec. */
#pragma once
#include "vmmd/jail/request.h"

#include <sys/types.h>

struct jail_child {
    pid_t pid;
    int pidfd;
};

/* Starts the request's program with exactly its descriptors ('fds', in the order of the request)
 * and without any right. Returns when exec has happened: a failure before it, exec's included, is
 * in
 * '*err' and the process is gone. */
bool jail_child_start(const struct jail_request *request, const int *fds, struct jail_child *out,
                      struct err *err) MUST_USE;
