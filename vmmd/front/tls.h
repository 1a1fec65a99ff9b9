/* TLS settings of the front. */
#pragma once
#include "core/base/err.h"

#include <openssl/ssl.h>

/* A server context (TLS 1.2 and later, resumption, ALPN http/1.1) with certificate chain and key
 * read from these descriptors, whose offsets are not used. NULL with INVALID. The key's text is
 * wiped. */
SSL_CTX *tls_context(int cert, int key, struct err *err) MUST_USE;
