/* The audit trail's chain: see chain.h. */
#include "core/model/chain.h"

#include "core/base/mem.h"
#include "core/base/str.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

char *chain_body(const json_t *record)
{
    json_t *body = json_copy((json_t *)(uintptr_t)record);
    char *text;

    json_object_del(body, "seq");
    json_object_del(body, "prev");
    json_object_del(body, "hash");
    text = json_dumps(body, JSON_COMPACT | JSON_SORT_KEYS | JSON_SHORT_REALS);
    json_decref(body);
    return text ? text : str_dup("");
}

void chain_hash(const uint8_t prev[CHAIN_HASH], uint64_t seq, const char *body,
                uint8_t out[CHAIN_HASH])
{
    char before[CHAIN_TEXT];
    CLEANUP(mem_freep) char *text = NULL;

    chain_text(prev, before);
    text = str_format("%s\n%llu\n%s", before, (unsigned long long)seq, body);
    SHA256((const unsigned char *)text, strlen(text), out);
}

void chain_text(const uint8_t hash[CHAIN_HASH], char out[CHAIN_TEXT])
{
    for (size_t i = 0; i < CHAIN_HASH; i++)
        snprintf(out + 2 * i, 3, "%02x", hash[i]);
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool chain_parse(const char *text, uint8_t out[CHAIN_HASH])
{
    if (!text || strlen(text) != 2 * CHAIN_HASH)
        return false;
    for (size_t i = 0; i < CHAIN_HASH; i++) {
        int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool look(const struct chain_check *check, uint64_t seq, const uint8_t *prev,
                 struct err *err)
{
    if (check->n && seq != check->seq + 1)
        return err_set(err, ERR_INVALID, "record %llu follows record %llu: others are missing",
                       (unsigned long long)seq, (unsigned long long)check->seq);
    if (check->n && memcmp(prev, check->hash, CHAIN_HASH) != 0)
        return err_set(err, ERR_INVALID, "record %llu does not follow from record %llu",
                       (unsigned long long)seq, (unsigned long long)check->seq);
    return true;
}

bool chain_next(struct chain_check *check, const json_t *record, struct err *err)
{
    uint8_t prev[CHAIN_HASH], said[CHAIN_HASH], is[CHAIN_HASH];
    CLEANUP(mem_freep) char *body = NULL;
    uint64_t seq = json_get_u64(record, "seq", 0);

    if (!seq || !chain_parse(json_get_text(record, "prev"), prev) ||
        !chain_parse(json_get_text(record, "hash"), said))
        return err_set(err, ERR_INVALID, "what follows record %llu is no record",
                       (unsigned long long)check->seq);
    if (!look(check, seq, prev, err))
        return false;
    body = chain_body(record);
    chain_hash(prev, seq, body, is);
    if (memcmp(is, said, CHAIN_HASH) != 0)
        return err_set(err, ERR_INVALID, "record %llu was changed: its hash is another",
                       (unsigned long long)seq);
    if (check->n++ == 0)
        check->first = seq;
    check->seq = seq;
    memcpy(check->hash, is, CHAIN_HASH);
    return true;
}
