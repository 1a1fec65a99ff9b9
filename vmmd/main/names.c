/* The names that this host is asked by: see names.h. */
#include "vmmd/main/names.h"

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_PEM   (256u << 10)
#define MAX_NAMES 128

struct names {
    char **list; /* room for MAX_NAMES and a NULL */
    size_t n;
};

static void add(struct names *names, const char *text, size_t len)
{
    if (len && len < 256 && names->n < MAX_NAMES && !memchr(text, 0, len))
        names->list[names->n++] = str_format("%.*s", (int)len, text);
}

/* A wildcard is no name that anybody asks by; 'hostnames' names those that are. */
static void add_alternatives(struct names *names, X509 *cert)
{
    GENERAL_NAMES *all = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);

    for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(all, i);
        if (name->type == GEN_DNS)
            add(names, (const char *)ASN1_STRING_get0_data(name->d.dNSName),
                (size_t)ASN1_STRING_length(name->d.dNSName));
    }
    GENERAL_NAMES_free(all);
}

static void add_common_name(struct names *names, X509 *cert)
{
    char text[256] = "";

    X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, text, sizeof text);
    add(names, text, strlen(text));
}

static void add_certificate(struct names *names, int fd)
{
    CLEANUP(mem_freep) char *text = mem_alloc(MAX_PEM);
    ssize_t len = pread(fd, text, MAX_PEM, 0);
    BIO *pem = len > 0 ? BIO_new_mem_buf(text, (int)len) : NULL;
    X509 *cert = pem ? PEM_read_bio_X509(pem, NULL, NULL, NULL) : NULL;

    if (cert) {
        add_alternatives(names, cert);
        add_common_name(names, cert);
    } else {
        log_warn("the names of the certificate cannot be read: 'hostnames' has to have them");
    }
    X509_free(cert);
    BIO_free(pem);
}

static void add_own(struct names *names)
{
    char text[256] = "";

    if (gethostname(text, sizeof text - 1) == 0)
        add(names, text, strlen(text));
}

const char *const *names_collect(int cert, const char *more, size_t *n)
{
    struct names names = {.list = mem_array(MAX_NAMES + 1, sizeof(char *))};

    add_certificate(&names, cert);
    add_own(&names);
    for (const char *p = more; p && *p; p += strcspn(p, " \t")) {
        p += strspn(p, " \t");
        add(&names, p, strcspn(p, " \t"));
    }
    *n = names.n;
    return (const char *const *)names.list;
}

static bool is_everything(const struct sockaddr *listen)
{
    if (listen->sa_family == AF_INET6)
        return IN6_IS_ADDR_UNSPECIFIED(
            &((const struct sockaddr_in6 *)(const void *)listen)->sin6_addr);
    return ((const struct sockaddr_in *)(const void *)listen)->sin_addr.s_addr == 0;
}

char *names_page(const struct sockaddr *listen, const char *text)
{
    char own[256] = "";

    if (is_everything(listen) && gethostname(own, sizeof own - 1) == 0)
        return str_format("https://%s%s", own, strrchr(text, ':'));
    return str_format("https://%s", text);
}

void names_free(const char *const *names)
{
    for (const char *const *p = names; p && *p; p++)
        free((char *)*p);
    free((char **)names);
}
