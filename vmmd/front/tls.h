/* TLS settings of the front. */
#pragma once
#include "core/base/err.h"

#include <openssl/ssl.h>

/* A server context (TLS 1.2 and later, resumption, ALPN http/1.1) with certificate chain and key
 * read from these descriptors, whose offsets are not used; with 'ask' clients are asked for a
 * certificate. NULL with INVALID. The key's text is wiped. */
SSL_CTX *tls_context(int cert, int key, bool ask, struct err *err) MUST_USE;
/* The SHA-256 of the certificate whose key the client has proved to have, zero when it showed none
 * or one that is not valid today. Whose it is main knows: who signed it does not matter. */
void tls_client(SSL *ssl, uint8_t sha256[32]);
