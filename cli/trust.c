/* Certificates: see trust.h. libcurl pins public keys only; what people compare is the
 * certificate's fingerprint, so the comparison is made here, inside OpenSSL's verification, before
 * any byte of the request is sent. */
#include "cli/trust.h"

#include "core/base/str.h"

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <string.h>

static void note_certificate(struct trust *trust, X509 *certificate)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    trust->seen[0] = 0;
    if (certificate && X509_digest(certificate, EVP_sha256(), digest, &n) == 1 && n == 32)
        str_hex(digest, n, trust->seen);
}

/* OpenSSL asks: is this chain good? 1 yes, 0 no. */
static int verify(X509_STORE_CTX *context, void *arg)
{
    struct trust *trust = arg;
    int good;

    note_certificate(trust, X509_STORE_CTX_get0_cert(context));
    if (trust->pinned) {
        good = trust->seen[0] && strcmp(trust->seen, trust->pinned) == 0;
        X509_STORE_CTX_set_error(context, good ? X509_V_OK : X509_V_ERR_APPLICATION_VERIFICATION);
        str_copy(trust->why, sizeof trust->why, "another fingerprint was accepted");
    } else {
        good = X509_verify_cert(context) == 1;
        str_copy(trust->why, sizeof trust->why,
                 X509_verify_cert_error_string(X509_STORE_CTX_get_error(context)));
    }
    trust->refused = !good;
    return good;
}

static CURLcode on_context(CURL *curl, void *ssl_context, void *arg)
{
    SSL_CTX_set_cert_verify_callback(ssl_context, verify, arg);
    return CURLE_OK;
}

void trust_install(struct trust *trust, const char *pinned, CURL *curl)
{
    *trust = (struct trust){.pinned = pinned};
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
    /* the fingerprint names one certificate: whatever host name stands in it */
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, pinned ? 0L : 2L);
    curl_easy_setopt(curl, CURLOPT_SSL_CTX_FUNCTION, on_context);
    curl_easy_setopt(curl, CURLOPT_SSL_CTX_DATA, trust);
}

bool trust_fault(const struct trust *trust, const char *where, struct fault *fault)
{
    if (!trust->refused)
        return false;
    fault_set(fault, CLI_UNREACHABLE,
              "the certificate of %.200s is not trusted (%s); its SHA-256 fingerprint is %s", where,
              trust->why, trust->seen);
    if (trust->pinned)
        fault_hint(fault, "if the service got a new certificate, compare and accept that one");
    else
        fault_hint(fault, "name its authority by --cacert, or compare the fingerprint on the host "
                          "and give it to --accept-fingerprint");
    return true;
}
