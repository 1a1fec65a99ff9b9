/* Histograms of durations with fixed buckets: noting one is two atomic additions, no lock and no
 * memory. What is read while others note may miss their last notes, but count and sum never go
 * back. */
#pragma once
#include <stdatomic.h>
#include <stdint.h>

#define HISTOGRAM_MAX 16 /* buckets, the one without a bound included */

struct histogram_bounds {
    unsigned n;                    /* bounds, so there are n + 1 buckets */
    int64_t us[HISTOGRAM_MAX - 1]; /* upper bounds, inclusive, ascending */
    const char *le[HISTOGRAM_MAX]; /* the same as text in seconds: "0.005"; the last is "+Inf" */
};

struct histogram {
    _Atomic uint64_t counts[HISTOGRAM_MAX]; /* not cumulative */
    _Atomic uint64_t sum_us;
};

struct histogram_seen {
    uint64_t upto[HISTOGRAM_MAX]; /* cumulative; upto[bounds->n] counts all */
    uint64_t sum_us;
};

extern const struct histogram_bounds histogram_requests;   /* 1 ms … 10 s */
extern const struct histogram_bounds histogram_operations; /* 50 ms … 1 h */
extern const struct histogram_bounds histogram_flushes;    /* 0.1 ms … 1 s */

void histogram_note(struct histogram *h, const struct histogram_bounds *bounds, int64_t us);
void histogram_read(struct histogram *h, const struct histogram_bounds *bounds,
                    struct histogram_seen *out);
