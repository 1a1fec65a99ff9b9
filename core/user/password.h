/* Passwords: the rules for new ones, and argon2id (RFC 9106) with 19 MiB and two passes, which is
 * what keeps a stolen database from being a list of passwords. Knows no users. */
#pragma once
#include "core/base/err.h"

#include <stdint.h>

#define PASSWORD_MIN_CHARS 10
#define PASSWORD_MAX_BYTES 1024
#define PASSWORD_PHC       128 /* "$argon2id$v=19$m=19456,t=2,p=1$…$…" */

/* INVALID with 'field': too short, too long, the user's name. There are no rules about kinds of
 * characters: they make passwords that people cannot remember. */
bool password_allowed(const char *password, const char *user, const char *field,
                      struct err *err) MUST_USE;
/* Both compute one hash: 30 ms and 19 MiB. Two run at a time and 16 may wait for their turn;
 * UNAVAILABLE when there are more, or after 10 s. */
bool password_hash(const char *password, char phc[PASSWORD_PHC], struct err *err) MUST_USE;
/* '*good' tells whether it is the one of 'phc'. NULL (no such user, no password) costs the same and
 * is never good. */
bool password_check(const char *phc_or_null, const char *password, bool *good,
                    struct err *err) MUST_USE;
/* Hashes that were computed since the start. */
uint64_t password_hashes(void);
