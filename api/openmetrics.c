/* The OpenMetrics text format: see openmetrics.h and
 * https://github.com/OpenObservability/OpenMetrics/blob/main/specification/OpenMetrics.md. */
#include "api/openmetrics.h"

#include "core/base/mem.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void openmetrics_family(struct strbuf *out, const char *name, const char *type, const char *unit,
                        const char *help)
{
    strbuf_addf(out, "# TYPE %s %s\n", name, type);
    if (*unit)
        strbuf_addf(out, "# UNIT %s %s\n", name, unit);
    strbuf_addf(out, "# HELP %s %s\n", name, help);
}

static void add_escaped(struct strbuf *out, const char *value)
{
    CLEANUP(mem_freep) char *text = str_dup(value);

    str_scrub_utf8(text);
    for (const char *p = text; *p;) {
        size_t n = strcspn(p, "\\\"\n");
        strbuf_add(out, p, n);
        p += n;
        if (*p)
            strbuf_adds(out, *p == '\n' ? "\\n" : *p == '"' ? "\\\"" : "\\\\");
        p += *p != 0;
    }
}

/* name_suffix{label="value",…,le="…"} and a space; 'le' may be NULL. */
static void begin_sample(struct strbuf *out, const char *name, const char *suffix,
                         const struct openmetrics_label *labels, const char *le)
{
    const char *sign = "{";

    strbuf_adds(out, name);
    strbuf_adds(out, suffix);
    for (; labels && labels->name; labels++, sign = ",") {
        strbuf_addf(out, "%s%s=\"", sign, labels->name);
        add_escaped(out, labels->value);
        strbuf_adds(out, "\"");
    }
    if (le) {
        strbuf_addf(out, "%sle=\"%s\"", sign, le);
        sign = ",";
    }
    strbuf_adds(out, *sign == ',' ? "} " : " ");
}

void openmetrics_sample(struct strbuf *out, const char *name, const char *suffix,
                        const struct openmetrics_label *labels, uint64_t value)
{
    begin_sample(out, name, suffix, labels, NULL);
    strbuf_addf(out, "%" PRIu64 "\n", value);
}

void openmetrics_seconds(struct strbuf *out, const char *name, const char *suffix,
                         const struct openmetrics_label *labels, uint64_t value_us)
{
    begin_sample(out, name, suffix, labels, NULL);
    strbuf_addf(out, "%" PRIu64 ".%06" PRIu64 "\n", value_us / 1000000, value_us % 1000000);
}

void openmetrics_histogram(struct strbuf *out, const char *name,
                           const struct openmetrics_label *labels,
                           const struct histogram_bounds *bounds, const struct histogram_seen *seen)
{
    for (unsigned i = 0; i <= bounds->n; i++) {
        begin_sample(out, name, "_bucket", labels, bounds->le[i]);
        strbuf_addf(out, "%" PRIu64 "\n", seen->upto[i]);
    }
    openmetrics_sample(out, name, "_count", labels, seen->upto[bounds->n]);
    openmetrics_seconds(out, name, "_sum", labels, seen->sum_us);
}

void openmetrics_end(struct strbuf *out)
{
    strbuf_adds(out, "# EOF\n");
}
