/* Moves bytes between a TLS connection and a stream socket until one side is done. */
#pragma once
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

/* 'ssl' lies on the non-blocking socket 'tcp'; 'stream' is one end of a socketpair. Blocks for the
 * life of the connection: there is no time limit here, main has them and ends 'stream'. Everything
 * that main wrote before it closed is sent; then the client gets close_notify and FIN, and 2 s to
 * do the same, so that a reset does not overtake the last reply. */
void relay_run(SSL *ssl, int tcp, int stream);
/* Sends a short text and ends the connection in the same manner; 5 s at most. */
void relay_reject(SSL *ssl, int tcp, const char *text);
/* Runs the handshake of 'ssl' until 'deadline' (monotonic ms). False: failed or late. */
bool relay_handshake(SSL *ssl, int tcp, int64_t deadline);
