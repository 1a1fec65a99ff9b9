/* Which TLS certificate is the service's: one that a trusted authority signed for its name, or the
 * very one whose SHA-256 fingerprint was accepted. Verification is never switched off. */
#pragma once
#include "cli/fault.h"

#include <curl/curl.h>
#include <stdbool.h>

struct trust {
    const char *pinned; /* 64 hex digits, or NULL; borrowed */
    char seen[65];      /* fingerprint of the certificate that was shown last, or "" */
    bool refused;       /* it was not trusted, for 'why' */
    char why[120];
};

/* Hooks into the transfer's TLS handshake; '*trust' must outlive the transfer. */
void trust_install(struct trust *trust, const char *pinned, CURL *curl);
/* When the certificate was refused: fills '*fault' with its fingerprint and the ways out, returns
 * true. */
bool trust_fault(const struct trust *trust, const char *where, struct fault *fault);
