/* Token buckets: see limit.h. */
#include "api/limit.h"

#include "core/base/mem.h"
#include "core/base/str.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

struct limit_bucket {
    char key[LIMIT_KEY];
    double level; /* at 'since_ms' */
    int64_t since_ms;
    UT_hash_handle hh;
};

void limit_init(struct limit *limit, double per_s, double burst)
{
    limit->per_s = per_s;
    limit->burst = burst > per_s ? burst : per_s;
    limit->buckets = NULL;
    lock_init(&limit->lock);
}

NO_TSA void limit_clear(struct limit *limit)
{
    struct limit_bucket *b, *next;

    HASH_ITER (hh, limit->buckets, b, next) {
        HASH_DELETE(hh, limit->buckets, b);
        free(b);
    }
    lock_clear(&limit->lock);
}

static double level_at(const struct limit *limit, const struct limit_bucket *b, int64_t now_ms)
{
    double level = b->level + (double)(now_ms - b->since_ms) * limit->per_s / 1000;

    return level < limit->burst ? level : limit->burst;
}

static double mean_level(const struct limit *limit, int64_t now_ms) REQUIRES(limit->lock);
static double mean_level(const struct limit *limit, int64_t now_ms)
{
    double sum = 0;

    for (const struct limit_bucket *b = limit->buckets; b; b = b->hh.next)
        sum += level_at(limit, b, now_ms);
    return sum / HASH_COUNT(limit->buckets);
}

/* Forgets those that are as full as the others or fuller: full ones are as good as none, and the
 * emptiest, who are to be kept waiting, stay. Many at once, so that a flood of keys does not walk
 * the table for each. */
static void make_room(struct limit *limit, int64_t now_ms) REQUIRES(limit->lock);
static void make_room(struct limit *limit, int64_t now_ms)
{
    double mean = mean_level(limit, now_ms) - 1e-6; /* sums are not exact */
    struct limit_bucket *b, *next;

    HASH_ITER (hh, limit->buckets, b, next)
        if (level_at(limit, b, now_ms) >= mean) {
            HASH_DELETE(hh, limit->buckets, b);
            free(b);
        }
}

static struct limit_bucket *add(struct limit *limit, const char *key, int64_t now_ms)
    REQUIRES(limit->lock);
static struct limit_bucket *add(struct limit *limit, const char *key, int64_t now_ms)
{
    struct limit_bucket *b = mem_alloc(sizeof *b);

    if (HASH_COUNT(limit->buckets) >= LIMIT_KEYS)
        make_room(limit, now_ms);
    str_copy(b->key, sizeof b->key, key);
    b->level = limit->burst;
    b->since_ms = now_ms;
    HASH_ADD_STR(limit->buckets, key, b);
    return b;
}

static unsigned wait_s(const struct limit *limit, double level)
{
    return level >= 1 ? 0 : (unsigned)((1 - level) / limit->per_s) + 1;
}

/* The bucket of 'key' with its level as it is now. */
static struct limit_bucket *find(struct limit *limit, const char *key, int64_t now_ms)
    REQUIRES(limit->lock);
static struct limit_bucket *find(struct limit *limit, const char *key, int64_t now_ms)
{
    struct limit_bucket *b;

    HASH_FIND_STR(limit->buckets, key, b);
    if (!b)
        b = add(limit, key, now_ms);
    b->level = level_at(limit, b, now_ms);
    b->since_ms = now_ms;
    return b;
}

unsigned limit_take(struct limit *limit, const char *key, int64_t now_ms)
{
    struct limit_bucket *b;
    unsigned wait;

    if (limit->per_s <= 0)
        return 0;
    lock_take(&limit->lock);
    b = find(limit, key, now_ms);
    wait = wait_s(limit, b->level);
    if (!wait)
        b->level -= 1;
    lock_drop(&limit->lock);
    return wait;
}

void limit_owe(struct limit *limit, const char *key, unsigned n, int64_t now_ms)
{
    if (limit->per_s <= 0)
        return;
    lock_take(&limit->lock);
    find(limit, key, now_ms)->level -= n;
    lock_drop(&limit->lock);
}
