/* What the store keeps of the audit trail: its records in one chain (core/model/chain.h), numbered
 * from 1 without gaps. Part of store.h, which has the rules for all families. */
#pragma once
#include "core/base/err.h"

#include <stdint.h>

struct store;
struct store_txn;

struct audit_row {
    uint64_t seq;
    const char *body; /* JSON: what the hash covers */
    uint8_t prev[32], hash[32];
};
/* The newest record's number and hash, as this transaction has it; 0 and zeroes: there is none. */
bool store_audit_last(struct store_txn *txn, uint64_t *seq, uint8_t hash[32],
                      struct err *err) MUST_USE;
bool store_audit_add(struct store_txn *txn, const struct audit_row *row, struct err *err) MUST_USE;
/* Those behind 'after' in the direction asked for; from the end on when 'after' is 0. Until the
 * callback returns false. */
bool store_audit_each(struct store *store, uint64_t after, bool newest_first,
                      bool (*each)(void *ctx, const struct audit_row *), void *ctx,
                      struct err *err) MUST_USE;
/* Drops some of the oldest beyond 'keep'; '*more' when there are others. */
bool store_audit_trim(struct store_txn *txn, unsigned keep, bool *more, struct err *err) MUST_USE;
