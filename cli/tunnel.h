/* A connection to the service that becomes one of another protocol. */
#pragma once
#include "cli/connection.h"
#include "cli/fault.h"

/* Asks for 'path' (from http_path()) with "Upgrade: <protocol>", and passes bytes between 'local'
 * (a stream socket, borrowed) and the service until either ends it, or 'stop_fd' can be read. A
 * refusal is a fault with the problem's words; so is a service that is not to be reached. */
bool tunnel_run(const struct connection *connection, const char *path, const char *protocol,
                int local, int stop_fd, struct fault *fault) MUST_USE;
