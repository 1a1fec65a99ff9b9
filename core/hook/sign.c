/* A delivery: its number, its signature, its pauses, and the request. Knows nothing of threads and
 * of the store. */
#include "core/hook/inside.h"

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct hook_timing hook_timing = {1000, 3600000, 24 * 3600000ll};

/* Made of what it stands for, so that it is the same after any crash: a UUID of version 8. */
struct uuid delivery_id(const struct uuid *hook, uint64_t seq, const char *type)
{
    CLEANUP(mem_freep) char *text = str_format("%s %" PRIu64 " %s", UUID_STR(hook), seq, type);
    uint8_t hash[32];
    struct uuid id;

    if (!EVP_Digest(text, strlen(text), hash, NULL, EVP_sha256(), NULL))
        abort(); /* no SHA-256: nothing here can be trusted */
    memcpy(id.b, hash, sizeof id.b);
    id.b[6] = (uint8_t)((id.b[6] & 0x0f) | 0x80);
    id.b[8] = (uint8_t)((id.b[8] & 0x3f) | 0x80);
    return id;
}

void delivery_sign(const char *secret, int64_t unix_s, const char *body, char out[100])
{
    CLEANUP(mem_freep) char *text = str_format("%" PRId64 ".%s", unix_s, body);
    uint8_t mac[32];
    char hex[65];

    if (!HMAC(EVP_sha256(), secret, (int)strlen(secret), (const uint8_t *)text, strlen(text), mac,
              NULL))
        abort();
    str_hex(mac, sizeof mac, hex);
    snprintf(out, 100, "t=%" PRId64 ",v1=%s", unix_s, hex);
}

bool delivery_send(const char *url, const char *secret, const struct delivery *d, unsigned attempt,
                   const atomic_bool *stop, struct post_result *out)
{
    char signature[100], lines[5][160];
    const char *headers[] = {
        "Content-Type: application/json", lines[0], lines[1], lines[2], lines[3], lines[4], NULL};
    const struct post post = {.url = url,
                              .headers = headers,
                              .body = d->body,
                              .len = strlen(d->body),
                              .limit_ms = HOOK_SEND_MS};

    delivery_sign(secret, clock_wall_ms() / 1000, d->body, signature);
    snprintf(lines[0], sizeof lines[0], "Vmmd-Signature: %s", signature);
    snprintf(lines[1], sizeof lines[1], "Vmmd-Delivery: %s", UUID_STR(&d->id));
    snprintf(lines[2], sizeof lines[2], "Vmmd-Event: %" PRIu64, d->seq);
    snprintf(lines[3], sizeof lines[3], "Vmmd-Event-Type: %s", d->type);
    snprintf(lines[4], sizeof lines[4], "Vmmd-Attempt: %u", attempt);
    return post_send(&post, stop, out);
}

int64_t delivery_pause_ms(unsigned attempts, int64_t retry_after_s)
{
    int64_t pause = hook_timing.first_ms, asked = retry_after_s * 1000;
    uint16_t dice;

    for (unsigned i = 1; i < attempts && pause < hook_timing.most_ms; i++)
        pause *= 2;
    if (pause > hook_timing.most_ms)
        pause = hook_timing.most_ms;
    if (asked > hook_timing.most_ms)
        asked = hook_timing.most_ms;
    random_bytes(&dice, sizeof dice);
    pause = pause / 2 + pause / 2 * dice / UINT16_MAX;
    return pause > asked ? pause : asked;
}
