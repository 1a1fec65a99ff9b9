/* Random texts that let somebody in: see secret.h. */
#include "core/user/secret.h"

#include "core/base/str.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECRET_BYTES 32

static void sha256_of(const char *text, uint8_t out[32])
{
    unsigned len = 32;

    if (!EVP_Digest(text, strlen(text), out, &len, EVP_sha256(), NULL))
        abort(); /* no SHA-256: nothing here can be trusted */
}

void secret_make(const char *prefix, const struct uuid *id, char text[SECRET_TEXT],
                 uint8_t sha256[32])
{
    char secret[2 * SECRET_BYTES + 1], hex[33];
    uint8_t raw[SECRET_BYTES];

    random_bytes(raw, sizeof raw);
    str_hex(raw, sizeof raw, secret);
    str_hex(id->b, sizeof id->b, hex);
    sha256_of(secret, sha256);
    snprintf(text, SECRET_TEXT, "%s%s_%s", prefix, hex, secret);
    explicit_bzero(raw, sizeof raw);
    explicit_bzero(secret, sizeof secret);
}

static bool split(const char *prefix, const char *text, struct uuid *id, const char **secret)
{
    size_t n = strlen(prefix);
    char hex[33];

    if (strlen(text) != n + 32 + 1 + 2 * SECRET_BYTES || !str_starts(text, prefix))
        return false;
    str_copy(hex, sizeof hex, text + n);
    *secret = text + n + 33;
    return (*secret)[-1] == '_' && str_unhex(hex, id->b, sizeof id->b);
}

bool secret_read(const char *prefix, const char *text, struct uuid *id, uint8_t sha256[32])
{
    static const char nobody[] = "0000000000000000000000000000000000000000000000000000000000000000";
    const char *secret = nobody;
    bool ok = split(prefix, text, id, &secret);

    sha256_of(ok ? secret : nobody, sha256);
    return ok;
}

bool secret_is(const uint8_t given[32], const uint8_t kept[32])
{
    return CRYPTO_memcmp(given, kept, 32) == 0;
}

void secret_derive(const char *label, const char *text, char out[65])
{
    char whole[2 * SECRET_TEXT];
    uint8_t sum[32];

    snprintf(whole, sizeof whole, "%s:%s", label, text);
    sha256_of(whole, sum);
    str_hex(sum, sizeof sum, out);
    explicit_bzero(whole, sizeof whole);
}
