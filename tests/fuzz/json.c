/* Fuzz: JSON from strangers. Whatever comes, json_read() gives a value within the limits or a
 * refusal that a JSON reply can carry, and what it gave can be written and read again: the same,
 * but for numbers with a fraction, which are written with 15 digits (JSON_SHORT_REALS) and stay
 * what they are from then on. */
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <stdlib.h>
#include <string.h>

static void must(bool what)
{
    if (!what)
        abort();
}

static bool has_reals(const json_t *value)
{
    const json_t *one;
    const char *key;
    size_t i;

    if (json_is_object(value))
        json_object_foreach ((json_t *)value, key, one)
            if (has_reals(one))
                return true;
    json_array_foreach (value, i, one)
        if (has_reals(one))
            return true;
    return json_is_real(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(json_decrefp) json_t *value = NULL, *again = NULL;
    CLEANUP(mem_freep) char *text = NULL, *once_more = NULL;
    struct err err = {0};

    value = json_read((const char *)data, size, &err);
    if (!value) {
        must(err.code == ERR_MALFORMED && err.detail[0]);
        must(str_is_utf8(err.detail, strlen(err.detail)));
        return 0;
    }
    text = json_write(value);
    again = json_read(text, strlen(text), &err);
    must(again && (has_reals(value) || json_equal(value, again)));
    once_more = json_write(again);
    must(str_eq(text, once_more));
    return 0;
}
