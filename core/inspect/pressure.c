/* Pressure stall information: see pressure.h. */
#include "core/inspect/pressure.h"

#include "core/base/mem.h"
#include "core/inspect/sysfs.h"

#include <stdio.h>
#include <string.h>

/* "some avg10=1.20 avg60=0.80 avg300=0.50 total=1234" */
static bool line_of(const char *text, const char *word, double *s10, double *s60)
{
    const char *at = strstr(text, word);

    return at && sscanf(at + strlen(word), " avg10=%lf avg60=%lf", s10, s60) == 2;
}

bool pressure_read(int root, const char *resource, struct pressure *out)
{
    CLEANUP(mem_freep) char *text = sys_whole(root, 1024, "proc/pressure/%s", resource);

    *out = (struct pressure){0};
    if (!text || !line_of(text, "some", &out->some_10s, &out->some_60s))
        return false;
    if (!line_of(text, "full", &out->full_10s, &out->full_60s))
        out->full_10s = out->full_60s = 0;
    return true;
}

json_t *pressure_view(int root)
{
    static const char *const resources[] = {"cpu", "memory", "io"};
    json_t *view = json_object();

    for (size_t i = 0; i < ARRAY_LEN(resources); i++) {
        struct pressure p;
        json_t *v = NULL;
        if (pressure_read(root, resources[i], &p)) {
            v = json_object();
            json_put(v, "some_10s_percent", json_real(p.some_10s));
            json_put(v, "some_60s_percent", json_real(p.some_60s));
            json_put(v, "full_10s_percent", json_real(p.full_10s));
            json_put(v, "full_60s_percent", json_real(p.full_60s));
        }
        json_put(view, resources[i], v);
    }
    return view;
}
