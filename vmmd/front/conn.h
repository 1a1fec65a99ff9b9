/* One TCP connection, from accept to close, on a thread of its own. */
#pragma once
#include "core/base/err.h"

#include <openssl/ssl.h>
#include <sys/socket.h>

/* 'ctx' is borrowed for ever; 'on_end' is called by the ending connection's thread when its
 * descriptors are closed. */
void conn_init(SSL_CTX *ctx, void (*on_end)(void));
/* Takes over 'tcp' (non-blocking), also when it fails: too many connections, or no thread. */
bool conn_start(int tcp, const struct sockaddr_storage *peer, struct err *err) MUST_USE;
