/* Certificates, against a real TLS server: who is trusted, and that nobody else sees the token. */
#include "tests/lib/harness.h"

#include "cli/cli.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/thread.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct server {
    SSL_CTX *context;
    int listener;
    char url[64], fingerprint[65];
    char *dir, *pem;
    pthread_t thread;
    struct lock lock;
    struct cond changed;
    unsigned answered; /* connections that have ended */
    char got[2048];    /* what the last client sent over TLS */
};

static struct server server;
static char *err_text;

/* A self-signed certificate for 'name', as a subject alternative name. */
static X509 *make_certificate(EVP_PKEY *key, const char *name)
{
    X509 *x = X509_new();
    X509_NAME *subject = X509_get_subject_name(x);
    X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, name);

    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1,
                               0);
    X509_set_issuer_name(x, subject);
    X509_set_pubkey(x, key);
    X509_add_ext(x, san, -1);
    X509_EXTENSION_free(san);
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    return x;
}

static void save_certificate(X509 *x)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n;
    FILE *f;

    server.dir = tmp_dir_make();
    server.pem = str_format("%s/cert.pem", server.dir);
    f = fopen(server.pem, "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_X509(f, x), 1);
    fclose(f);
    assert_int_equal(X509_digest(x, EVP_sha256(), digest, &n), 1);
    str_hex(digest, n, server.fingerprint);
}

static void listen_on_loopback(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;

    server.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server.listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(getsockname(server.listener, (struct sockaddr *)&address, &len), 0);
    assert_int_equal(listen(server.listener, 8), 0);
    snprintf(server.url, sizeof server.url, "https://127.0.0.1:%u", ntohs(address.sin_port));
}

static void answer(SSL *ssl)
{
    static const char reply[] =
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
    int n = SSL_accept(ssl) == 1 ? SSL_read(ssl, server.got, sizeof server.got - 1) : 0;

    if (n > 0 && SSL_write(ssl, reply, sizeof reply - 1) > 0)
        SSL_shutdown(ssl);
    lock_take(&server.lock);
    server.answered++;
    cond_wake_all(&server.changed);
    lock_drop(&server.lock);
}

static void *serve(void *arg)
{
    int sock;

    while ((sock = accept4(server.listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        SSL *ssl = SSL_new(server.context);

        SSL_set_fd(ssl, sock);
        answer(ssl);
        SSL_free(ssl);
        close(sock);
    }
    return NULL;
}

static void start(const char *name)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = make_certificate(key, name);
    struct err err;

    memset(&server, 0, sizeof server);
    lock_init(&server.lock);
    cond_init(&server.changed);
    server.context = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate(server.context, certificate), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(server.context, key), 1);
    save_certificate(certificate);
    listen_on_loopback();
    assert_true(thread_start(&server.thread, "tls", serve, NULL, &err));
    X509_free(certificate);
    EVP_PKEY_free(key);
    setenv("XDG_CONFIG_HOME", server.dir, 1);
    setenv("VMMD_TOKEN", "vmmd_1_secret", 1);
}

static void end(void)
{
    shutdown(server.listener, SHUT_RDWR);
    pthread_join(server.thread, NULL);
    close(server.listener);
    SSL_CTX_free(server.context);
    cond_clear(&server.changed);
    lock_clear(&server.lock);
    tmp_dir_remove(server.dir);
    free(server.pem);
}

/* Only when the server is through with the client it is certain what it saw. */
static void wait_until_answered(void)
{
    lock_take(&server.lock);
    while (!server.answered)
        cond_wait(&server.changed, &server.lock);
    server.answered = 0;
    lock_drop(&server.lock);
}

/* 'vmmctl host' with one more flag; afterwards 'got' is what the server saw of it. */
static int ask(const char *flag, const char *value)
{
    char *argv[] = {"vmmctl", "host", "--url", server.url, (char *)flag, (char *)value};
    size_t len;
    FILE *out = fopen("/dev/null", "w"), *err;
    int code;

    free(err_text);
    err = open_memstream(&err_text, &len);
    memset(server.got, 0, sizeof server.got);
    code = cli_main(flag ? 6 : 4, argv, out, err, -1);
    wait_until_answered();
    fclose(out);
    fclose(err);
    return code;
}

static int with_good_name(void **state)
{
    start("IP:127.0.0.1");
    return 0;
}

static int with_other_name(void **state)
{
    start("DNS:elsewhere.example");
    return 0;
}

static int tear_down(void **state)
{
    end();
    mem_freep(&err_text);
    return 0;
}

static void an_unknown_certificate_is_refused_with_its_fingerprint(void **state)
{
    assert_int_equal(ask(NULL, NULL), CLI_UNREACHABLE);
    assert_non_null(strstr(err_text, server.fingerprint));
    assert_non_null(strstr(err_text, "--accept-fingerprint"));
    assert_string_equal(server.got, "");
}

static void the_accepted_fingerprint_is_trusted_whatever_its_name(void **state)
{
    assert_int_equal(ask("--accept-fingerprint", server.fingerprint), CLI_OK);
    assert_non_null(strstr(server.got, "Bearer vmmd_1_secret"));
}

static void another_fingerprint_gets_nothing_sent(void **state)
{
    char other[65];

    str_copy(other, sizeof other, server.fingerprint);
    other[0] = other[0] == '0' ? '1' : '0';
    assert_int_equal(ask("--accept-fingerprint", other), CLI_UNREACHABLE);
    assert_string_equal(server.got, "");
}

static void a_named_authority_is_trusted(void **state)
{
    assert_int_equal(ask("--cacert", server.pem), CLI_OK);
}

static void a_trusted_certificate_for_another_name_is_refused(void **state)
{
    assert_int_equal(ask("--cacert", server.pem), CLI_UNREACHABLE);
    assert_string_equal(server.got, "");
}

#define AT(setup, test) cmocka_unit_test_setup_teardown(test, setup, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        AT(with_good_name, an_unknown_certificate_is_refused_with_its_fingerprint),
        AT(with_other_name, the_accepted_fingerprint_is_trusted_whatever_its_name),
        AT(with_good_name, another_fingerprint_gets_nothing_sent),
        AT(with_good_name, a_named_authority_is_trusted),
        AT(with_other_name, a_trusted_certificate_for_another_name_is_refused),
    };

    unsetenv("VMMD_CONFIG");
    unsetenv("VMMD_FINGERPRINT");
    unsetenv("VMMD_CACERT");
    return cmocka_run_group_tests_name("cli/trust", tests, NULL, NULL);
}
