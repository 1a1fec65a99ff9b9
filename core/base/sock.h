/* Unix sockets that carry descriptors. */
#pragma once
#include "core/base/err.h"

#include <stddef.h>
#include <sys/types.h>

#define SOCK_MAX_FDS 240

/* socketpair(AF_UNIX, type | SOCK_CLOEXEC). */
bool sock_pair(int type, int out[2], struct err *err) MUST_USE;
/* One sendmsg with all of 'fds'; on a stream the descriptors go with the first byte and the rest is
 * written until done (blocking socket). UNAVAILABLE when the peer is gone. */
bool sock_send(int sock, const void *data, size_t len, const int *fds, unsigned n_fds,
               struct err *err) MUST_USE;
/* One recvmsg. Returns the bytes read, 0 at end of stream, -1 on failure (UNAVAILABLE; TIMEOUT when
 * the socket has a receive timeout or is non-blocking and empty). Received descriptors are
 * close-on-exec; more than 'cap_fds' closes them all and fails. */
ssize_t sock_recv(int sock, void *data, size_t cap, int *fds, unsigned cap_fds, unsigned *n_fds,
                  struct err *err) MUST_USE;
bool sock_set_timeout_ms(int sock, int ms, struct err *err) MUST_USE; /* both ways; 0 = none */
