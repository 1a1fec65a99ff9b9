/* Guesses at passwords: for each key (an account, an address) how many were wrong of late, and when
 * the next one is looked at. The delay grows with each and ends by itself; nothing is ever locked.
 * The table is bounded: when it is full, the key that was quiet longest makes room. Thread-safe. */
#pragma once
#include "core/base/thread.h"

#define GUESS_KEYS      4096
#define GUESS_KEY       96               /* bytes, the end included */
#define GUESS_MAX_S     60               /* the longest delay */
#define GUESS_FORGET_MS (15 * 60 * 1000) /* quiet for as long: as if never seen */

struct guess;

struct guesses {
    struct lock lock;
    struct guess *all GUARDED_BY(lock); /* by key */
};

enum guess_end { GUESS_GOOD, GUESS_WRONG, GUESS_UNKNOWN /* it was not looked at after all */ };

void guesses_init(struct guesses *guesses);
void guesses_clear(struct guesses *guesses);
/* 0: the guess may be looked at, and counts as wrong until guess_end() says otherwise, so that many
 * at once are no way around. Else seconds to wait. 'free': wrong ones without a delay. Times are
 * monotonic. */
unsigned guess_begin(struct guesses *guesses, const char *key, unsigned free, int64_t now_ms);
/* GOOD forgets the key when 'forgive', else takes this guess back only. */
void guess_end(struct guesses *guesses, const char *key, enum guess_end end, bool forgive);
