/* Fuzz: the documents of bundles. A text is refused with a reason, or it is a bundle that is read
 * again from its own text, and whose VM gets other ids throughout. */
#include "core/base/mem.h"
#include "core/bundle/inside.h"

#include <stdlib.h>
#include <string.h>

static void again(const struct bundle *bundle)
{
    CLEANUP(json_decrefp) json_t *json = bundle_json(bundle);
    CLEANUP(mem_freep) char *text = json_write(json);
    CLEANUP(bundle_clear) struct bundle second = {0};
    struct err err = {0};

    if (!bundle_read(text, strlen(text), &second, &err))
        abort();
}

/* With new ids it is as sound as it was. */
static void turned(struct bundle *bundle)
{
    const struct turn turn = {.job = {{1}}, .pool = {{2}}};
    struct err err = {0};

    turn_copy(&turn, &bundle->copy);
    for (size_t i = 0; i < bundle->copy.n_pools; i++)
        bundle->copy.pools[i].id = turn.pool;
    bundle->copy.n_pools = bundle->copy.n_pools ? 1 : 0;
    if (bundle->copy.n_files && bundle->copy.n_pools && !vm_copy_check(&bundle->copy, &err))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bundle bundle;
    struct err err = {0};
    size_t pools;

    if (!bundle_read((const char *)data, size, &bundle, &err)) {
        if (!err.detail[0])
            abort();
        return 0;
    }
    again(&bundle);
    pools = bundle.copy.n_pools;
    turned(&bundle);
    bundle.copy.n_pools = pools;
    bundle_clear(&bundle);
    return 0;
}
