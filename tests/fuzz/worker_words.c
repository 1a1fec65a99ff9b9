/* Fuzz: what main tells a worker: a LAUNCH, a PIVOT, and a QMP request that is to be passed on.
 * What is accepted names only descriptors that came along and fits into the commit log; what is
 * refused says why. */
#include "core/base/commitlog.h"
#include "core/base/json.h"
#include "core/base/str.h"
#include "vmmd/worker/pivot_ask.h"
#include "vmmd/worker/rules.h"
#include "vmmd/worker/spec.h"

#include <stdlib.h>
#include <string.h>

static void must(bool what)
{
    if (!what)
        abort();
}

static void must_explain(const struct err *err)
{
    must(err->code != ERR_NONE && err->detail[0]);
    must(str_is_utf8(err->detail, strlen(err->detail)));
}

static void read_pivot(const char *text, size_t len)
{
    struct err err = {0};
    CLEANUP(pivot_ask_freep) struct pivot_ask *ask = pivot_ask_read(text, len, &err);

    if (!ask)
        must_explain(&err);
    else
        must(ask->n && ask->n <= WORKER_PIVOT_MAX && strlen(ask->record) <= COMMITLOG_TEXT_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(json_decrefp) json_t *request = NULL;
    const char *command = NULL;
    struct err err = {0};
    struct spec *spec;

    if (!size)
        return 0;
    spec = spec_read((const char *)data + 1, size - 1, data[0] % 8, &err);
    if (!spec)
        must_explain(&err);
    spec_freep(&spec);
    read_pivot((const char *)data + 1, size - 1);
    err = (struct err){0};
    request = json_read((const char *)data + 1, size - 1, &err);
    if (!request)
        return 0;
    if (rules_check(request, &command, &err))
        must(command && *command);
    else
        must_explain(&err);
    return 0;
}
