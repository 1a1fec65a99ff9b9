/* Fuzz: what main tells a worker: a LAUNCH, and a QMP request that is to be passed on. What is
 * accepted names only descriptors that came along; what is refused says why. */
#include "core/base/json.h"
#include "core/base/str.h"
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
