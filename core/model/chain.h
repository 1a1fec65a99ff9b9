/* The chain of hashes that goes through the audit trail: each record's hash covers the record and
 * the hash of the one before, so that nobody can change, drop or insert one without changing all
 * that follow. Pure; the daemon makes it, and vmmctl checks it without trusting the daemon.
 *
 *   hash = SHA-256( hash of the record before, in hex, or 64 zeroes · "\n" · seq · "\n" · body )
 *   body = the record as JSON without 'seq', 'prev' and 'hash': members sorted by name, no blanks
 */
#pragma once
#include "core/base/json.h"

#include <stdint.h>

#define CHAIN_HASH 32
#define CHAIN_TEXT (2 * CHAIN_HASH + 1)

/* The body of a record; owned by the caller. 'record' may have the members that do not count. */
char *chain_body(const json_t *record);
void chain_hash(const uint8_t prev[CHAIN_HASH], uint64_t seq, const char *body,
                uint8_t out[CHAIN_HASH]);
void chain_text(const uint8_t hash[CHAIN_HASH], char out[CHAIN_TEXT]);
/* False unless 'text' is 64 lower-case hexadecimal digits. */
bool chain_parse(const char *text, uint8_t out[CHAIN_HASH]);

/* Checks records one after the other, oldest first. */
struct chain_check {
    uint64_t seq; /* of the last good record, 0: none yet */
    uint8_t hash[CHAIN_HASH];
    uint64_t first; /* number of the first record: those before were trimmed */
    uint64_t n;
};
/* INVALID with what is wrong with it; the state stays as it was. */
bool chain_next(struct chain_check *check, const json_t *record, struct err *err) MUST_USE;
