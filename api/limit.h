/* Rates: a token bucket for each key (a principal, an address). The table is bounded: when it is
 * full, the fuller buckets make room, whose keys have been the quietest. Thread-safe. */
#pragma once
#include "core/base/thread.h"

#define LIMIT_KEYS 4096
#define LIMIT_KEY  80 /* bytes, the end included */

struct limit_bucket;

struct limit {
    double per_s, burst; /* 0 per second: no limit */
    struct lock lock;
    struct limit_bucket *buckets GUARDED_BY(lock); /* by key */
};

void limit_init(struct limit *limit, double per_s, double burst);
void limit_clear(struct limit *limit);
/* Takes one from the bucket of 'key' at 'now_ms' (monotonic). 0: there was one. Else seconds until
 * there will be, at least 1. */
unsigned limit_take(struct limit *limit, const char *key, int64_t now_ms);
/* Takes 'n' more, whether they are there or not: who has had more than its share waits the longer
 * afterwards. */
void limit_owe(struct limit *limit, const char *key, unsigned n, int64_t now_ms);
