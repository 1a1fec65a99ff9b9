/* Writes the OpenMetrics text format 1.0 into a buffer. Pure. The caller keeps the order of the
 * format: a family, then its samples, each combination of labels once; openmetrics_end() last. */
#pragma once
#include "core/base/histogram.h"
#include "core/base/str.h"

/* Begins the family 'name' of 'type' ("gauge", "counter", "histogram", "info"); 'unit' is "" or the
 * last word of the name. */
void openmetrics_family(struct strbuf *out, const char *name, const char *type, const char *unit,
                        const char *help);

/* One label; a list of them ends with {NULL}. Values may be any text: they are escaped, and what is
 * not UTF-8 becomes '?'. */
struct openmetrics_label {
    const char *name, *value;
};
/* A sample: 'suffix' is "_total" for a counter, "_info" for an info, "" for a gauge; 'labels' NULL:
 * none. */
void openmetrics_sample(struct strbuf *out, const char *name, const char *suffix,
                        const struct openmetrics_label *labels, uint64_t value);
/* The same for a value in thousandths or millionths: written as a decimal number. */
void openmetrics_seconds(struct strbuf *out, const char *name, const char *suffix,
                         const struct openmetrics_label *labels, uint64_t value_us);
/* The buckets, count and sum of a histogram, in seconds. */
void openmetrics_histogram(struct strbuf *out, const char *name,
                           const struct openmetrics_label *labels,
                           const struct histogram_bounds *bounds,
                           const struct histogram_seen *seen);
void openmetrics_end(struct strbuf *out);
