/* Histograms: see histogram.h. */
#include "core/base/histogram.h"

#define MS 1000ll
#define S  1000000ll

const struct histogram_bounds histogram_requests = {
    11,
    {1 * MS, 2500, 5 * MS, 10 * MS, 25 * MS, 50 * MS, 100 * MS, 250 * MS, 1 * S, 2500 * MS, 10 * S},
    {"0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "1.0", "2.5", "10.0",
     "+Inf"}};

const struct histogram_bounds histogram_operations = {
    10,
    {50 * MS, 100 * MS, 250 * MS, 500 * MS, 1 * S, 5 * S, 30 * S, 120 * S, 600 * S, 3600 * S},
    {"0.05", "0.1", "0.25", "0.5", "1.0", "5.0", "30.0", "120.0", "600.0", "3600.0", "+Inf"}};

const struct histogram_bounds histogram_flushes = {
    9,
    {100, 500, 1 * MS, 5 * MS, 10 * MS, 25 * MS, 100 * MS, 250 * MS, 1 * S},
    {"0.0001", "0.0005", "0.001", "0.005", "0.01", "0.025", "0.1", "0.25", "1.0", "+Inf"}};

void histogram_note(struct histogram *h, const struct histogram_bounds *bounds, int64_t us)
{
    unsigned i = 0;

    us = us < 0 ? 0 : us;
    while (i < bounds->n && us > bounds->us[i])
        i++;
    atomic_fetch_add_explicit(&h->counts[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->sum_us, (uint64_t)us, memory_order_relaxed);
}

void histogram_read(struct histogram *h, const struct histogram_bounds *bounds,
                    struct histogram_seen *out)
{
    uint64_t all = 0;

    for (unsigned i = 0; i <= bounds->n; i++) {
        all += atomic_load_explicit(&h->counts[i], memory_order_relaxed);
        out->upto[i] = all;
    }
    out->sum_us = atomic_load_explicit(&h->sum_us, memory_order_relaxed);
}
