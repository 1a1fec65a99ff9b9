/* Fuzz: a VM's configuration from a stranger, then the same text as a merge patch of what came out.
 * Refusals name a member; what is accepted is encoded and decoded to the same. */
#include "core/base/str.h"
#include "core/model/vm.h"

#include <stdlib.h>
#include <string.h>

static void must(bool what)
{
    if (!what)
        abort();
}

static void refusal_is_fit_to_show(const struct err *err)
{
    must(err->code == ERR_INVALID && err->detail[0]);
    must(str_is_utf8(err->detail, strlen(err->detail)));
    must(str_is_utf8(err->field, strlen(err->field)));
    must(!err->field[0] || err->field[0] == '/');
}

static void same_after_a_round(const struct vm_spec *spec)
{
    CLEANUP(json_decrefp) json_t *once = model_encode(&vm_model, spec), *twice = NULL;
    CLEANUP(vm_spec_clear) struct vm_spec again = {0};
    struct err err = {0};

    must(model_decode(&vm_model, once, MODEL_STORED, &again, &err));
    twice = model_encode(&vm_model, &again);
    must(json_equal(once, twice));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(json_decrefp) json_t *value = NULL, *base = json_pack("{s:s}", "name", "x");
    CLEANUP(vm_spec_clear) struct vm_spec spec = {0}, old = {0}, patched = {0};
    struct err err = {0};

    value = json_read((const char *)data, size, &err);
    if (!value)
        return 0;
    if (model_decode(&vm_model, value, MODEL_CLIENT, &spec, &err))
        same_after_a_round(&spec);
    else
        refusal_is_fit_to_show(&err);
    must(model_decode(&vm_model, base, MODEL_CLIENT, &old, &err));
    if (model_patch(&vm_model, &old, value, &patched, &err))
        same_after_a_round(&patched);
    else
        refusal_is_fit_to_show(&err);
    return 0;
}
