/* TLS settings: see tls.h. OpenSSL's own configuration file is not read: it is not ours. */
#include "vmmd/front/tls.h"

#include "core/base/fs.h"
#include "core/base/mem.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>
#include <unistd.h>

#define MAX_PEM (256u << 10)

static bool tls_failed(struct err *err, const char *what)
{
    char why[160] = "no reason given";
    unsigned long e = ERR_peek_last_error();

    if (e)
        ERR_error_string_n(e, why, sizeof why);
    ERR_clear_error();
    return err_set(err, ERR_INVALID, "%s: %s", what, why);
}

static BIO *read_pem(int fd, char **text, size_t *len, struct err *err)
{
    if (lseek(fd, 0, SEEK_SET) < 0) {
        err_errno(err, errno, "rewind");
        return NULL;
    }
    if (!fs_read_all(fd, MAX_PEM, text, len, err))
        return NULL;
    return BIO_new_mem_buf(*text, (int)*len);
}

/* A key with a passphrase is refused instead of asking a terminal. */
static int no_passphrase(char *out, int size, int writing, void *arg)
{
    return -1;
}

static bool use_chain(SSL_CTX *ctx, BIO *pem, struct err *err)
{
    X509 *cert = PEM_read_bio_X509(pem, NULL, no_passphrase, NULL);
    int ok = cert && SSL_CTX_use_certificate(ctx, cert) == 1;

    X509_free(cert);
    if (!ok)
        return tls_failed(err, "the certificate (tls_cert) cannot be used");
    while ((cert = PEM_read_bio_X509(pem, NULL, no_passphrase, NULL))) {
        if (SSL_CTX_add0_chain_cert(ctx, cert) != 1) {
            X509_free(cert);
            return tls_failed(err, "the certificate chain (tls_cert) cannot be used");
        }
    }
    ERR_clear_error(); /* the end of the file counts as one */
    return true;
}

static bool load_cert(SSL_CTX *ctx, int fd, struct err *err)
{
    CLEANUP(mem_freep) char *text = NULL;
    size_t len;
    BIO *pem = read_pem(fd, &text, &len, err);
    bool ok = pem && use_chain(ctx, pem, err);

    BIO_free(pem);
    return ok;
}

static bool load_key(SSL_CTX *ctx, int fd, struct err *err)
{
    char *text = NULL;
    size_t len = 0;
    BIO *pem = read_pem(fd, &text, &len, err);
    EVP_PKEY *key = pem ? PEM_read_bio_PrivateKey(pem, NULL, no_passphrase, NULL) : NULL;
    bool ok = key && SSL_CTX_use_PrivateKey(ctx, key) == 1 && SSL_CTX_check_private_key(ctx) == 1;

    EVP_PKEY_free(key);
    BIO_free(pem);
    mem_free_secret(text, len);
    return ok ||
           (pem &&
            tls_failed(
                err,
                "the private key (tls_key) cannot be used; PEM without passphrase is expected"));
}

/* One protocol is spoken. A client that names others only gets an alert (RFC 7301, 3.2). */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                           const unsigned char *in, unsigned in_len, void *arg)
{
    static const unsigned char ours[] = "\x08http/1.1";
    unsigned char *chosen;

    if (SSL_select_next_proto(&chosen, out_len, ours, sizeof ours - 1, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static bool set_up(SSL_CTX *ctx, struct err *err)
{
    static const unsigned char session_context[] = "vmmd";

    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ctx, 1); /* a record's head and body in one read(2) */
    SSL_CTX_sess_set_cache_size(ctx, 1024);
    SSL_CTX_set_num_tickets(ctx, 1);
    SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_session_id_context(ctx, session_context, sizeof session_context - 1) != 1)
        return tls_failed(err, "TLS cannot be set up");
    return true;
}

/* Certificates are known one by one, so who signed them says nothing; that the client has the key
 * is proved by the handshake itself. */
static int any_certificate(int good, X509_STORE_CTX *chain)
{
    return 1;
}

void tls_client(SSL *ssl, uint8_t sha256[32])
{
    X509 *shown = SSL_get0_peer_certificate(ssl);
    unsigned len = 32;

    memset(sha256, 0, 32);
    if (!shown || X509_cmp_current_time(X509_get0_notBefore(shown)) >= 0 ||
        X509_cmp_current_time(X509_get0_notAfter(shown)) <= 0 ||
        X509_digest(shown, EVP_sha256(), sha256, &len) != 1)
        memset(sha256, 0, 32);
}

SSL_CTX *tls_context(int cert, int key, bool ask, struct err *err)
{
    SSL_CTX *ctx;

    OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_LOAD_SSL_STRINGS, NULL);
    ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx) {
        tls_failed(err, "TLS cannot be set up");
        return NULL;
    }
    if (ask)
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, any_certificate);
    if (set_up(ctx, err) && load_cert(ctx, cert, err) && load_key(ctx, key, err))
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}
